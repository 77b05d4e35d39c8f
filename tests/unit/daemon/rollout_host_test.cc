#include "daemon/rollout_host.h"

#include <sys/file.h>
#include <sys/wait.h>

#include <filesystem>

#include "tests/unit/daemon/fixture.h"

namespace sluice::daemon {
namespace {

using testing::HasSubstr;

class RolloutHostTest : public PipelineTest {
  protected:
    static std::string canary_text(const std::string& host = "ranker") {
        return "apiVersion: sluice.dev/v1\nkind: Canary\nmetadata: {name: ranker-v2, namespace: ml}\nspec:\n  host: " +
               host +
               "\n  champion: v1\n  challenger: v2\n  stages: [{weight: 10, hold: 1m}, {weight: 100}]\n"
               "  gates: [{name: approval, webhook: {url: \"http://127.0.0.1:9/\"}}]\n";
    }
    void SetUp() override {
        put("service.yaml", service("ranker", "10.0.0.10"));
        put("rule.yaml", "# before\n" + weights("ranker", 100, 0) + "# after\n");
        put("canary.yaml", canary_text());
        const LoadReport loaded = start();
        ASSERT_EQ(loaded.outcome, LoadReport::Outcome::kInForce) << loaded.errors.at(0);
        host_.emplace(controller(), base_ + "/rules", [this] { ++changed_; });
    }
    void TearDown() override { host_.reset(); }
    config::ObjectPtr canary() { return host_->canaries().at(0); }
    std::string moved(const std::string& text, const std::string& from, const std::string& to) {
        std::string out = text;
        const std::size_t at = out.find(from);
        EXPECT_NE(at, std::string::npos) << text;
        return out.replace(at, from.size(), to);
    }

    std::optional<RolloutHost> host_;
    int changed_ = 0;
};

TEST_F(RolloutHostTest, finds_canaries_their_text_and_the_rule_in_force) {
    ASSERT_EQ(host_->canaries().size(), 1u);
    EXPECT_EQ(host_->text(*canary()).value(), canary_text());
    const auto rule = host_->rule(*canary());
    ASSERT_TRUE(rule) << rule.error().text();
    EXPECT_EQ(rule->object->key.text(), "VirtualService ml/ranker");
    EXPECT_THAT(rule->text, HasSubstr("subset: v1}, weight: 100}"));
    EXPECT_EQ(rule->generation, generation());
}

TEST_F(RolloutHostTest, put_replaces_the_document_alone_in_one_generation_and_the_history_says_who) {
    const std::string before = host_->rule(*canary())->text;
    const std::string after = moved(moved(before, "weight: 100", "weight: 90"), "weight: 0", "weight: 10");
    const std::uint64_t was = generation();
    const auto put = host_->put(*canary(), before, after, "stage 1", "controller");
    ASSERT_TRUE(put) << put.error().text();
    EXPECT_EQ(*put, was + 1);
    EXPECT_EQ(generation(), was + 1);
    EXPECT_EQ(get("rule.yaml"),
              "# before\n" +
                  moved(moved(weights("ranker", 100, 0), "weight: 100", "weight: 90"), "weight: 0", "weight: 10") +
                  "# after\n");
    EXPECT_EQ(in_force("10.0.0.10"), (std::vector<std::uint32_t>{90, 10}));
    EXPECT_EQ(changed_, 1);
    EXPECT_EQ(host_->rule(*canary())->text, after) << "what was written is what is read again";
    ASSERT_TRUE(host_->put(*canary(), after, before, "back", "alice"));
    state::Store& store = running_->store;
    const auto rows = store.history(2);
    ASSERT_TRUE(rows);
    EXPECT_EQ(rows->at(0).actor.user, "alice");
    EXPECT_EQ(rows->at(1).actor.user, "canary ranker-v2");
    EXPECT_EQ(rows->at(1).source, state::ChangeSource::kCanary);
    EXPECT_EQ(rows->at(1).message, "stage 1");
}

TEST_F(RolloutHostTest, put_changes_nothing_when_the_document_is_another_by_then) {
    const std::string before = host_->rule(*canary())->text;
    const std::string after = moved(before, "weight: 100", "weight: 90");
    const std::string edited = weights("ranker", 80, 20);
    PipelineTest::put("rule.yaml", edited);
    const auto put = host_->put(*canary(), before, after, "stage 1", "controller");
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code, ECANCELED);
    EXPECT_EQ(get("rule.yaml"), edited);
    EXPECT_EQ(in_force("10.0.0.10"), (std::vector<std::uint32_t>{80, 20})) << "the edit itself is taken";
}

TEST_F(RolloutHostTest, a_text_that_the_mesh_refuses_is_not_written) {
    const std::string before = host_->rule(*canary())->text, was = get("rule.yaml");
    const auto put = host_->put(*canary(), before, moved(before, "subset: v2", "subset: v9"), "", "controller");
    ASSERT_FALSE(put);
    EXPECT_NE(put.error().code, ECANCELED);
    EXPECT_THAT(put.error().text(), HasSubstr("v9"));
    EXPECT_EQ(get("rule.yaml"), was);
    const auto other = host_->put(*canary(), before, weights("other", 1, 1), "", "controller");
    ASSERT_FALSE(other);
    EXPECT_THAT(other.error().text(), HasSubstr("expected one document, VirtualService ml/ranker"));
}

TEST_F(RolloutHostTest, no_rule_is_told_from_one_that_cannot_be_read_now) {
    PipelineTest::put("rule.yaml", "apiVersion: networking.istio.io/v1\nkind: Virt");
    const auto broken = host_->rule(*canary());
    ASSERT_FALSE(broken);
    EXPECT_NE(broken.error().code, ENOENT) << "a file half saved is no rule removed";
    const config::ObjectPtr known = canary();
    std::filesystem::remove(base_ + "/rules/rule.yaml");
    std::filesystem::remove(base_ + "/rules/canary.yaml");
    EXPECT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kInForce);
    const auto none = host_->rule(*known);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, ENOENT);
}

TEST_F(RolloutHostTest, a_lease_has_one_owner_who_is_named_and_leaves_nothing) {
    auto lease = host_->lease(*canary());
    ASSERT_TRUE(lease) << lease.error().text();
    RolloutHost other(controller(), base_ + "/rules", [] {});
    const auto refused = other.lease(*canary());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().text(), HasSubstr("process " + std::to_string(::getpid())));
    EXPECT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kUnchanged);
    lease->reset();
    EXPECT_TRUE(other.lease(*canary()));
    for (const auto& entry : std::filesystem::directory_iterator(base_ + "/rules")) {
        EXPECT_FALSE(entry.path().filename().string().starts_with('.')) << entry.path();
    }
}

TEST_F(RolloutHostTest, a_lease_of_a_killed_process_is_free) {
    const pid_t child = ::fork();
    if (child == 0) {
        const auto lease = host_->lease(*canary());
        ::_exit(lease ? 0 : 1);  // without giving it back
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    EXPECT_TRUE(std::filesystem::exists(base_ + "/rules/.sluice-canary-ranker.ml.svc.cluster.local.lock"));
    EXPECT_TRUE(host_->lease(*canary()));
}

}  // namespace
}  // namespace sluice::daemon
