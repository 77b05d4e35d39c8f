// Where finished requests are counted: each key at its one place, or in the map when another holds that.
#include <bpf/bpf.h>

#include "tests/bpf/http.h"

namespace sluice::test {
namespace {

class Places : public HttpTest {
  protected:
    std::string one_request() {
        return with_pair([](Pair& p) { return p.ask(get()) && p.answer(answer_of(200, 5)); });
    }
    std::size_t held() const { return kernel_->dump("request_slots").value().size(); }
};

TEST_F(Places, ThatAreTakenSendTheOthersToTheMap) {
    serve();
    const auto one_of_each = [&] {
        return with_pair([](Pair& p) {
            for (int status = 400; status < 420; ++status) {
                if (!p.ask(get()) || !p.answer(answer_of(status, 1))) {
                    return false;
                }
            }
            return true;
        });
    };
    EXPECT_EQ("done", one_of_each());
    EXPECT_EQ("done", one_of_each());
    // 16 places for 20 keys, or more when several CPUs count; the map has room for 64, the overflow row among them.
    EXPECT_GT(held(), 4u);
    EXPECT_LE(held(), 16u);
    EXPECT_GT(kernel_->dump("requests").value().size(), 4u);
    EXPECT_EQ(20u, rows().size());
    for (const auto& [key, row] : rows()) {
        EXPECT_EQ(2u, row.requests) << key.status;
    }
}

TEST_F(Places, OfAClusterThatIsForgottenAreFree) {
    const std::uint32_t cluster = serve();
    EXPECT_EQ("done", one_request());
    EXPECT_EQ(1u, held());
    EXPECT_TRUE(kernel_->erase_requests([&](const sl_request_key& key) { return key.cluster != cluster; }));
    EXPECT_EQ("200x1", counts());
    EXPECT_TRUE(kernel_->erase_requests([&](const sl_request_key& key) { return key.cluster == cluster; }));
    EXPECT_EQ("", counts());
    EXPECT_EQ(0u, held());
    EXPECT_EQ("done", one_request());
    EXPECT_EQ("200x1", counts());
    EXPECT_EQ(1u, held());
}

// Places that an agent left when it ended in the middle of it.
TEST_F(Places, ThatWereLeftAreFreeAfterARestart) {
    serve();
    EXPECT_EQ("done", one_request());
    {
        const Fd map(
            bpf_obj_get((bpffs_.path + "/sluice/v" + std::to_string(SL_ABI_VERSION) + "/maps/request_slots").c_str()));
        std::vector<sl_request_slot> slots(options_.capacities.request_slots);
        const std::uint32_t first = 0;
        ASSERT_EQ(0, bpf_map_lookup_elem(map.get(), &first, slots.data()));
        for (sl_request_slot& slot : slots) {
            slot.what = SL_SLOT_LEFT;
        }
        ASSERT_EQ(0, bpf_map_update_elem(map.get(), &first, slots.data(), BPF_ANY));
    }
    EXPECT_EQ("", counts());
    EXPECT_EQ("done", one_request());
    EXPECT_EQ("200x1", counts());                             // in the map
    EXPECT_EQ(2u, kernel_->dump("requests").value().size());  // with the overflow row
    kernel_.reset();
    start();
    rules_->rebind(*kernel_);
    EXPECT_EQ(0u, held());
    EXPECT_EQ("done", one_request());
    EXPECT_EQ("200x2", counts());
    EXPECT_EQ(1u, held());
}

}  // namespace
}  // namespace sluice::test
