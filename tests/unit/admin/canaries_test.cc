#include "admin/canaries.h"

#include <gmock/gmock.h>

namespace sluice::admin {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;
using rollout::Phase;

class CanariesTest : public testing::Test {
  protected:
    CanariesTest() {
        auto object = std::make_shared<config::Object>();
        object->key = {config::Kind::kCanary, "ml", "ranker-v2"};
        config::Canary canary;
        canary.host = "ranker";
        canary.champion = "v1";
        canary.challenger = "v2";
        canary.stages = {{5, 10min}, {50, 20min}, {100, 0min}};
        canary.data_timeout = 5min;
        canary.minimum_requests = 500;
        canary.gates.resize(1);
        canary.gates[0].kind = config::Gate::Kind::kLatency;
        canary.gates[0].name = "tail";
        object->spec = canary;
        view_.canary = object;
        view_.state.since = now_ - 5min;
    }
    void stage(std::size_t index, std::uint32_t weight) {
        view_.state.phase = Phase::kStage;
        view_.state.stage = index;
        view_.state.in_force = {rollout::Wanted::What::kWeight, weight, false};
    }
    Json json() { return canary_json(view_, now_); }

    rollout::Time now_ = rollout::Time(1'700'000'000s);
    rollout::View view_;
};

TEST_F(CanariesTest, says_where_it_is_and_how_long_its_hold_goes_on) {
    stage(1, 50);
    const Json out = json();
    EXPECT_EQ(out["state"], "stage");
    EXPECT_EQ(out["stage"], 2);
    EXPECT_EQ(out["stages"], 3);
    EXPECT_EQ(out["weight"], 50);
    EXPECT_EQ(out["hold_s"], 1200);
    EXPECT_EQ(out["hold_left_s"], 900);
    EXPECT_EQ(out["waits_for"], "its hold, 900 s more");
    EXPECT_EQ(out["since"], "2023-11-14T22:08:20.000Z");
}

TEST_F(CanariesTest, names_the_gates_that_have_no_data_and_when_it_gives_up) {
    stage(0, 5);
    rollout::GateResult& gate = view_.gates.emplace_back();
    gate.gate = "tail";
    gate.verdict = rollout::Verdict::kNoData;
    EXPECT_EQ(json()["waits_for"], "its hold, 300 s more, and data of tail");
    view_.state.since = now_ - 12min;
    view_.state.data_missing = now_ - 2min;
    const Json out = json();
    EXPECT_EQ(out["hold_left_s"], 0);
    EXPECT_EQ(out["waits_for"], "data of tail; it is aborted in 180 s");
    EXPECT_EQ(out["gates"][0]["verdict"], "no data");
    EXPECT_EQ(out["gates"][0]["kind"], "latency");
    EXPECT_TRUE(out["gates"][0]["p"].is_null()) << "absent, not 0";
}

TEST_F(CanariesTest, each_state_says_what_it_waits_for) {
    EXPECT_THAT(json()["waits_for"], HasSubstr("sluice canary start ranker-v2"));
    EXPECT_EQ(json()["stage"], 0);
    stage(0, 5);
    view_.state.moving = rollout::Wanted{};
    EXPECT_EQ(json()["waits_for"], "the rule to be written");
    view_.problem = "read-only";
    EXPECT_EQ(json()["waits_for"], "this to end: read-only");
    view_.held_by = "process 7 on there";
    EXPECT_THAT(json()["waits_for"], HasSubstr("process 7 on there"));
    view_.held_by.clear();
    view_.state.phase = Phase::kPaused;
    view_.state.paused_from = Phase::kStage;
    EXPECT_EQ(json()["waits_for"], "a person: resume, promote or abort");
    EXPECT_EQ(json()["stage"], 1);
    EXPECT_TRUE(json()["hold_left_s"].is_null());
    view_.state.phase = Phase::kAborted;
    EXPECT_EQ(json()["waits_for"], "nothing: it has ended");
}

TEST_F(CanariesTest, steps_tell_who_and_why) {
    view_.steps = {{.time = now_,
                    .from = Phase::kStage,
                    .to = Phase::kPaused,
                    .stage = 1,
                    .weight = 50,
                    .who = "alice",
                    .reason = "lunch"},
                   {.time = now_,
                    .from = Phase::kIdle,
                    .to = Phase::kStage,
                    .stage = 0,
                    .weight = 5,
                    .who = "alice",
                    .reason = "go"}};
    const Json steps = json()["steps"];
    EXPECT_EQ(steps[0]["to"], "paused");
    EXPECT_TRUE(steps[0]["stage"].is_null());
    EXPECT_EQ(steps[1]["stage"], 1);
    EXPECT_EQ(steps[1]["who"], "alice");
}

}  // namespace
}  // namespace sluice::admin
