// Failed connects eject an endpoint at once, for every client, and it comes back by itself.
#include "tests/bpf/rules.h"
#include "tests/bpf/world.h"

namespace sluice::test {
namespace {

class Outlier : public MeshTest {
  protected:
    static std::uint16_t unused_port() {
        std::uint16_t port = 0;
        listen_on("127.0.0.1", port);
        return port;
    }
    std::string dial_many(int times) {
        return in_cgroup(cgroup_, [&] {
            int answered = 0, refused = 0, other = 0;
            for (int i = 0; i < times; ++i) {
                const std::string seen = ask_once("127.10.0.1", 80);
                (seen == "v1" ? answered : seen == "Connection refused" ? refused : other) += 1;
            }
            return std::to_string(answered) + " answered " + std::to_string(refused) + " refused " +
                   std::to_string(other) + " other";
        });
    }
    std::vector<sl_event> events() {
        std::vector<sl_event> seen;
        EXPECT_TRUE(kernel_->poll_events([&](const sl_event& event) { seen.push_back(event); }));
        return seen;
    }
};

TEST_F(Outlier, EjectedAfterTheConfiguredNumberOfRefusals) {
    Server server("v1", "127.0.0.1");
    rules_->service(
        "127.10.0.1", 80,
        {rules_->cluster({{"127.0.0.1", unused_port()}, {"127.0.0.1", server.port}}, [](sl_cluster_row& row) {
            row.flags = SL_CLUSTER_OUTLIER;
            row.consecutive_5xx = 3;
        })});
    rules_->publish();
    EXPECT_EQ("97 answered 3 refused 0 other", dial_many(100));
    const std::vector<sl_event> seen = events();
    ASSERT_EQ(1u, seen.size());
    EXPECT_EQ(static_cast<__u32>(SL_EVENT_EJECTED), seen[0].kind);
    EXPECT_EQ(0u, seen[0].endpoint);
    EXPECT_EQ(static_cast<__u32>(SL_EJECTION_5XX), seen[0].reason);
    EXPECT_EQ(seen[0].until_ns, rules_->tables().health[0].ejected_until);
    EXPECT_EQ(3u, rules_->tables().health[0].failures_total);
    EXPECT_EQ(3u, counted(SL_REASON_REFUSED));
    EXPECT_TRUE(released());
}

TEST_F(Outlier, AllEjectedIsRefusedByTheMeshUntilOneReturns) {
    const std::uint16_t port = unused_port();
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", port}}, [](sl_cluster_row& row) {
                        row.flags = SL_CLUSTER_OUTLIER;
                        row.consecutive_5xx = 2;
                        row.base_ejection_ns = 1'500'000'000;
                    })});
    rules_->publish();
    EXPECT_EQ("0 answered 5 refused 0 other", dial_many(5));
    EXPECT_EQ(2u, counted(SL_REASON_REFUSED));
    EXPECT_EQ(3u, counted(SL_REASON_NO_HEALTHY_UPSTREAM));
    // No agent does anything here: the decision itself brings it back when its time has passed.
    Server server("v1", "127.0.0.1", port);
    EXPECT_TRUE(eventually([&] { return dial_many(1) == "1 answered 0 refused 0 other"; }));
    const std::vector<sl_event> seen = events();
    ASSERT_EQ(2u, seen.size());
    EXPECT_EQ(static_cast<__u32>(SL_EVENT_EJECTED), seen[0].kind);
    EXPECT_EQ(static_cast<__u32>(SL_EVENT_RETURNED), seen[1].kind);
    EXPECT_GE(seen[1].time_ns, seen[0].until_ns);
}

TEST_F(Outlier, ASuccessBetweenFailuresStartsTheCountAgain) {
    const std::uint16_t port = unused_port();
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", port}}, [](sl_cluster_row& row) {
                        row.flags = SL_CLUSTER_OUTLIER;
                        row.consecutive_5xx = 2;
                    })});
    rules_->publish();
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ("0 answered 1 refused 0 other", dial_many(1));
        Server server("v1", "127.0.0.1", port);
        EXPECT_EQ("1 answered 0 refused 0 other", dial_many(1));
    }
    EXPECT_TRUE(events().empty());
}

}  // namespace
}  // namespace sluice::test
