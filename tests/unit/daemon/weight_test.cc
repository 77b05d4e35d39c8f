// Controller::weight: one rule's weights in their file and in force.
#include "fixture.h"

namespace sluice::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Weights = std::vector<std::uint32_t>;
using Outcome = ApplyReport::Outcome;

class WeightTest : public PipelineTest {
  protected:
    void SetUp() override {
        put("a.yaml", service("a", "10.9.0.1"));
        put("weights.yaml", "# before\n" + weights("a", 90, 10) + "# after\n");
        start();
    }
    static admin::WeightRequest wanted(const std::string& list) {
        return {.service = "a", .weights = list, .message = "why", .peer = {0, 1}};
    }
};

TEST_F(WeightTest, IsInForceInTheFileAndInTheHistory) {
    const auto report = controller().weight(wanted("v2=25,v1=75"));
    EXPECT_EQ(report.apply.outcome, Outcome::kDone) << testing::PrintToString(report.apply.errors);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{75, 25}));
    EXPECT_EQ(get("weights.yaml"), "# before\n" + weights("a", 75, 25) + "# after\n");
    EXPECT_EQ(report.apply.generation, generation());
    EXPECT_EQ(report.object, "VirtualService ml/a");
    EXPECT_THAT(report.file, HasSubstr("/rules/weights.yaml"));
    EXPECT_EQ(report.line, 9);
    ASSERT_EQ(report.weights.size(), 2u);
    EXPECT_EQ(report.weights[1].before, 10u);
    EXPECT_EQ(report.weights[1].after, 25u);
    const auto history = controller().history(1);
    ASSERT_TRUE(history);
    EXPECT_EQ(history->front().source, state::ChangeSource::kWeight);
    EXPECT_EQ(history->front().message, "why");
    EXPECT_EQ(history->front().actor.uid, 0);
    EXPECT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kUnchanged);
}

TEST_F(WeightTest, OfADryRunChangesNothing) {
    const std::uint64_t before = generation();
    admin::WeightRequest request = wanted("v2=25");
    request.dry_run = true;
    const auto report = controller().weight(request);
    EXPECT_EQ(report.apply.outcome, Outcome::kDone) << testing::PrintToString(report.apply.errors);
    ASSERT_EQ(report.apply.changes.size(), 1u);
    EXPECT_NE(report.apply.changes[0].before, report.apply.changes[0].after);
    EXPECT_EQ(generation(), before);
    EXPECT_EQ(get("weights.yaml"), "# before\n" + weights("a", 90, 10) + "# after\n");
}

TEST_F(WeightTest, TakesAFileThatWasJustEdited) {
    put("weights.yaml", "# mine\n" + weights("a", 60, 40));
    EXPECT_EQ(controller().weight(wanted("v2=41")).apply.outcome, Outcome::kDone);
    EXPECT_EQ(get("weights.yaml"), "# mine\n" + weights("a", 60, 41));
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{60, 41}));
}

TEST_F(WeightTest, ThatNoRuleHasOrThatIsNoneIsRefused) {
    const std::uint64_t before = generation();
    auto report = controller().weight(wanted("v3=25"));
    EXPECT_EQ(report.apply.outcome, Outcome::kInvalid);
    EXPECT_THAT(report.apply.errors,
                ElementsAre("no rule for a has all of these destinations:", HasSubstr("has no v3, only v1, v2")));
    EXPECT_EQ(report.object, "");
    EXPECT_EQ(controller().weight(wanted("v1")).apply.outcome, Outcome::kInvalid);
    report = controller().weight(wanted("v1=0,v2=0"));
    EXPECT_EQ(report.apply.outcome, Outcome::kInvalid);
    EXPECT_THAT(report.apply.errors, ElementsAre(HasSubstr("add up to 0")));
    EXPECT_EQ(report.object, "VirtualService ml/a");
    EXPECT_EQ(generation(), before);
    EXPECT_EQ(get("weights.yaml"), "# before\n" + weights("a", 90, 10) + "# after\n");
}

TEST_F(WeightTest, OfAnItemOfAListIsRefused) {
    put("list.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: VirtualService\n  metadata: "
        "{name: b, namespace: "
        "ml}\n  spec: {hosts: [b.ml.svc.cluster.local], tcp: [{route: [{destination: {host: "
        "b.ml.svc.cluster.local, subset: v1}}]}]}\n");
    put("b.yaml", service("b", "10.9.0.2"));
    ASSERT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kInForce);
    admin::WeightRequest request = wanted("v1=5");
    request.service = "b";
    const auto report = controller().weight(request);
    EXPECT_EQ(report.apply.outcome, Outcome::kFailed);
    EXPECT_THAT(report.apply.errors, ElementsAre(HasSubstr("item of a List")));
}

TEST_F(WeightTest, TellsOfACanaryThatMovesTheRule) {
    put("canary.yaml",
        "apiVersion: sluice.dev/v1\nkind: Canary\nmetadata: {name: c, namespace: ml}\nspec:\n  host: a\n  champion: "
        "v1\n"
        "  challenger: v2\n  stages: [{weight: 50, hold: 1s}]\n  gates: [{webhook: {url: 'http://127.0.0.1:1'}}]\n");
    ASSERT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kInForce);
    EXPECT_THAT(controller().weight(wanted("v2=41")).apply.notes,
                testing::Contains(HasSubstr("Canary ml/c moves this rule")));
}

}  // namespace
}  // namespace sluice::daemon
