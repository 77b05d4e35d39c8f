// The life of a canary: what each state does with each command and each thing that may be seen.
#include "rollout/machine.h"

#include "tests/unit/rollout/machine_canary.h"

namespace sluice::rollout {
namespace {

using testing::HasSubstr;

const Time kStart = Time(std::chrono::seconds(1'790'000'000));

class MachineTest : public testing::Test {
  protected:
    config::ObjectPtr object_ = parsed_object(canary_text(kMirror + kInternal));
    const config::Canary& canary() const { return std::get<config::Canary>(object_->spec); }

    Facts facts(Time now) const {
        Facts out;
        out.now = now;
        out.present = &canary();
        out.digest = 7;
        out.who = "alice";
        return out;
    }
    Decision command(const State& state, Command command, Time now = kStart) const {
        Facts told = facts(now);
        told.command = command;
        return advance(canary(), state, told);
    }
    Decision look(const State& state, const Seen& what, Time now) const {
        Facts told = facts(now);
        told.seen = what;
        return advance(canary(), state, told);
    }
    State started() const { return arrived(command({}, Command::kStart).next, kStart); }
    // In stage `stage`, whose hold began at kStart.
    State in_stage(std::size_t stage) const {
        State out = started();
        out.phase = Phase::kStage;
        out.stage = stage;
        out.in_force = wanted(canary(), Phase::kStage, stage);
        return out;
    }
};

TEST_F(MachineTest, a_good_challenger_goes_through_mirror_and_stages_to_promotion) {
    Decision decision = command({}, Command::kStart);
    EXPECT_EQ(decision.next.phase, Phase::kMirror);
    EXPECT_EQ(decision.next.moving, (Wanted{Wanted::What::kMirror, 0, false}));
    EXPECT_EQ(decision.next.digest, 7u);
    EXPECT_TRUE(decision.adopt);
    ASSERT_EQ(decision.steps.size(), 1u);
    EXPECT_EQ(decision.steps[0].who, "alice");
    EXPECT_EQ(decision.steps[0].from, Phase::kIdle);

    State state = arrived(decision.next, kStart);
    EXPECT_EQ(state.moving, std::nullopt);
    decision = look(state, kGood, kStart + 6s);
    EXPECT_EQ(decision.next, state) << "the hold of 8s is not over";
    EXPECT_EQ(decision.results.size(), 1u);
    decision = look(state, kGood, kStart + 8s);
    EXPECT_EQ(decision.next.phase, Phase::kStage);
    EXPECT_EQ(decision.next.moving, (Wanted{Wanted::What::kWeight, 5, true}));
    EXPECT_THAT(decision.steps.at(0).reason, HasSubstr("mirror held for 8s, every gate passes: quality"));
    EXPECT_EQ(decision.steps.at(0).who, "controller");

    state = arrived(decision.next, kStart + 9s);
    EXPECT_EQ(state.since, kStart + 9s) << "the hold begins when the weights are in force";
    decision = look(state, kGood, kStart + 18s);
    EXPECT_EQ(decision.next, state);
    decision = look(state, kGood, kStart + 19s);
    EXPECT_EQ(decision.next.stage, 1u);
    EXPECT_EQ(decision.next.moving, (Wanted{Wanted::What::kWeight, 25, true}));
    EXPECT_THAT(decision.steps.at(0).reason, HasSubstr("stage 1 of 3 (5%) held for 10s"));

    state = arrived(decision.next, kStart + 20s);
    decision = look(state, kGood, kStart + 40s);
    EXPECT_EQ(decision.next.phase, Phase::kPromoted) << "a stage of 100 is the promotion";
    EXPECT_EQ(decision.next.moving, (Wanted{Wanted::What::kWeight, 100, false}));
    state = arrived(decision.next, kStart + 41s);
    EXPECT_EQ(state.in_force, (Wanted{Wanted::What::kWeight, 100, false}));
    EXPECT_EQ(look(state, kBad, kStart + 99s).next, state) << "it is over";
}

TEST_F(MachineTest, stages_that_end_below_100_are_promoted_after_the_last_one) {
    object_ = parsed_object(canary_text("", "[{weight: 30, hold: 10s}]"));
    const Decision start = command({}, Command::kStart);
    EXPECT_EQ(start.next.phase, Phase::kStage);
    EXPECT_EQ(start.next.moving, (Wanted{Wanted::What::kWeight, 30, false}));
    const Decision end = look(arrived(start.next, kStart), kGood, kStart + 10s);
    EXPECT_EQ(end.next.phase, Phase::kPromoted);
    EXPECT_EQ(end.next.moving->weight, 100u);
}

TEST_F(MachineTest, a_canary_that_nothing_could_judge_does_not_start) {
    object_ = parsed_object(canary_text("", "[{weight: 100}]"));
    EXPECT_THAT(command({}, Command::kStart).refused, HasSubstr("no stage below 100"));
    object_ = parsed_object(canary_text(kMirror, "[{weight: 100}]"));
    EXPECT_EQ(command({}, Command::kStart).refused, "") << "copies are judged";
}

TEST_F(MachineTest, a_failing_gate_aborts_at_any_look) {
    for (const Time now : {kStart + 2s, kStart + 10s, kStart + 12s}) {
        const Decision decision = look(in_stage(0), kBad, now);
        EXPECT_EQ(decision.next.phase, Phase::kAborted);
        EXPECT_EQ(decision.next.moving, Wanted{});
        EXPECT_EQ(decision.next.paused_from, Phase::kStage);
        EXPECT_THAT(decision.next.reason, HasSubstr("gate fails: quality: 2"));
        EXPECT_EQ(decision.next.who, "controller");
    }
}

TEST_F(MachineTest, missing_data_holds_on_and_then_aborts_never_passes) {
    State state = in_stage(0);
    EXPECT_EQ(look(state, kNothing, kStart + 8s).next, state) << "before the end of the hold it may still come";
    Decision decision = look(state, kNothing, kStart + 11s);
    EXPECT_EQ(decision.next.phase, Phase::kStage);
    EXPECT_EQ(decision.next.data_missing, kStart + 11s);
    EXPECT_TRUE(decision.steps.empty());
    state = decision.next;
    EXPECT_EQ(look(state, kNothing, kStart + 16s).next, state);
    EXPECT_EQ(look(state, kBad, kStart + 16s).next.phase, Phase::kAborted) << "a gate may still fail";
    EXPECT_EQ(look(state, kGood, kStart + 16s).next.stage, 1u) << "data that came late count";
    EXPECT_EQ(look(state, kGood, kStart + 16s).next.data_missing, std::nullopt);
    decision = look(state, kNothing, kStart + 17s);
    EXPECT_EQ(decision.next.phase, Phase::kAborted);
    EXPECT_THAT(decision.next.reason, HasSubstr("no data for 6s after the hold"));
    EXPECT_THAT(decision.next.reason, HasSubstr("the server gave no answer"));
}

TEST_F(MachineTest, a_stage_without_the_minimum_of_requests_does_not_pass) {
    State state = in_stage(0);
    Seen few = seen(0.5, 99);
    Decision decision = look(state, few, kStart + 10s);
    EXPECT_EQ(decision.next.phase, Phase::kStage);
    EXPECT_EQ(decision.next.stage, 0u);
    EXPECT_TRUE(decision.next.data_missing);
    few.challenger_errors.reset();
    EXPECT_EQ(look(state, few, kStart + 10s).next.stage, 0u) << "not counted is not enough";
    decision = look(decision.next, seen(0.5, 99), kStart + 16s);
    EXPECT_EQ(decision.next.phase, Phase::kAborted);
    EXPECT_THAT(decision.next.reason, HasSubstr("the challenger had 99 requests, 100 are the minimum"));
    EXPECT_EQ(look(state, seen(0.5, 100), kStart + 10s).next.stage, 1u);
}

TEST_F(MachineTest, a_resumed_stage_holds_anew) {
    State state = in_stage(1);
    state.data_missing = kStart;
    state.failures = {1};
    const Decision paused = command(state, Command::kPause, kStart + 19s);
    EXPECT_EQ(paused.next.phase, Phase::kPaused);
    EXPECT_EQ(paused.next.moving, std::nullopt) << "the weights stay";
    EXPECT_EQ(paused.next.in_force, state.in_force);
    EXPECT_EQ(look(paused.next, kBad, kStart + 25s).next, paused.next) << "nothing is judged";
    const Decision resumed = command(paused.next, Command::kResume, kStart + 100s);
    EXPECT_EQ(resumed.next.phase, Phase::kStage);
    EXPECT_EQ(resumed.next.stage, 1u);
    EXPECT_EQ(resumed.next.moving, (Wanted{Wanted::What::kWeight, 25, true}));
    const State again = arrived(resumed.next, kStart + 101s);
    EXPECT_EQ(again.failures, FailuresInARow{});
    EXPECT_EQ(again.data_missing, std::nullopt);
    EXPECT_EQ(look(again, kGood, kStart + 120s).next, again);
    EXPECT_EQ(look(again, kGood, kStart + 121s).next.phase, Phase::kPromoted);
}

TEST_F(MachineTest, an_edit_of_the_weights_by_others_pauses_once_and_says_so) {
    Facts told = facts(kStart + 5s);
    told.edited = true;
    told.edit = "now v45 60, v47 40, were v45 95, v47 5";
    Decision decision = advance(canary(), in_stage(0), told);
    EXPECT_EQ(decision.next.phase, Phase::kPaused);
    EXPECT_THAT(decision.next.reason, HasSubstr("changed by others: now v45 60"));
    EXPECT_EQ(decision.steps.at(0).who, "controller");
    EXPECT_EQ(advance(canary(), decision.next, told).next, decision.next) << "said once";
    told.edit = "now v45 0, v47 100, were v45 95, v47 5";
    decision = advance(canary(), decision.next, told);
    EXPECT_THAT(decision.steps.at(0).reason, HasSubstr("v47 100")) << "a further edit is another step";
    EXPECT_EQ(decision.steps.at(0).from, Phase::kPaused);

    told.command = Command::kResume;
    decision = advance(canary(), decision.next, told);
    EXPECT_EQ(decision.next.phase, Phase::kStage) << "a person may overrule the edit";
    EXPECT_EQ(decision.next.moving, (Wanted{Wanted::What::kWeight, 5, true}));
}

TEST_F(MachineTest, an_edit_that_comes_before_the_way_back_is_done_pauses_and_keeps_the_reason) {
    const Decision aborting = look(in_stage(0), kBad, kStart + 5s);
    Facts told = facts(kStart + 6s);
    told.edited = true;
    told.edit = "now v45 100, v47 0";
    const Decision decision = advance(canary(), aborting.next, told);
    EXPECT_EQ(decision.next.phase, Phase::kPaused);
    EXPECT_EQ(decision.next.moving, std::nullopt);
    EXPECT_EQ(decision.next.paused_from, Phase::kStage);
    EXPECT_THAT(decision.next.reason, HasSubstr("it was about to go back (gate fails"));
}

TEST_F(MachineTest, a_changed_canary_object_pauses_and_resume_takes_the_new_one) {
    const auto other =
        parsed_object(canary_text("", "[{weight: 2, hold: 10s}, {weight: 7, hold: 1m}, {weight: 50, hold: 1m}]"));
    Facts told = facts(kStart + 5s);
    told.present = &std::get<config::Canary>(other->spec);
    told.digest = 8;
    const Decision paused = advance(canary(), in_stage(0), told);
    EXPECT_EQ(paused.next.phase, Phase::kPaused);
    EXPECT_EQ(paused.next.digest, 7u);
    EXPECT_THAT(paused.next.reason, HasSubstr("the Canary object was changed"));
    told.command = Command::kResume;
    const Decision resumed = advance(canary(), paused.next, told);
    EXPECT_EQ(resumed.next.phase, Phase::kStage);
    EXPECT_EQ(resumed.next.stage, 1u) << "the first stage that is not below the 5% in force";
    EXPECT_EQ(resumed.next.moving, (Wanted{Wanted::What::kWeight, 7, false}));
    EXPECT_EQ(resumed.next.digest, 8u);
    EXPECT_TRUE(resumed.adopt);
}

TEST_F(MachineTest, resume_never_promotes_by_a_change_of_the_stages) {
    const auto other = parsed_object(canary_text("", "[{weight: 5, hold: 10s}, {weight: 100}]"));
    Facts told = facts(kStart + 5s);
    told.present = &std::get<config::Canary>(other->spec);
    told.digest = 8;
    told.command = Command::kResume;
    State paused = in_stage(1);
    paused.phase = Phase::kPaused;
    paused.paused_from = Phase::kStage;
    const Decision resumed = advance(canary(), paused, told);
    EXPECT_EQ(resumed.next.phase, Phase::kStage);
    EXPECT_EQ(resumed.next.stage, 0u) << "the last stage that can be judged";
}

TEST_F(MachineTest, a_canary_object_that_moves_something_else_now_cannot_be_resumed) {
    std::string text = canary_text();
    text.replace(text.find("challenger: v47"), 15, "challenger: v48");
    const auto other = parsed_object(text);
    State paused = in_stage(0);
    paused.phase = Phase::kPaused;
    paused.paused_from = Phase::kStage;
    Facts told = facts(kStart);
    told.present = &std::get<config::Canary>(other->spec);
    told.digest = 8;
    told.command = Command::kResume;
    EXPECT_THAT(advance(canary(), paused, told).refused, HasSubstr("moves another host, route or version now"));
    told.command = Command::kAbort;
    EXPECT_EQ(advance(canary(), paused, told).next.phase, Phase::kAborted);
}

TEST_F(MachineTest, a_removed_canary_object_pauses_and_can_still_be_aborted) {
    Facts told = facts(kStart + 5s);
    told.present = nullptr;
    const Decision paused = advance(canary(), in_stage(1), told);
    EXPECT_EQ(paused.next.phase, Phase::kPaused);
    EXPECT_EQ(paused.next.in_force.weight, 25u) << "the weights stay";
    EXPECT_THAT(paused.next.reason, HasSubstr("was removed"));
    told.command = Command::kResume;
    EXPECT_THAT(advance(canary(), paused.next, told).refused, HasSubstr("put it back first"));
    told.command = Command::kAbort;
    EXPECT_EQ(advance(canary(), paused.next, told).next.moving, Wanted{});
}

TEST_F(MachineTest, refusals_say_what_is_allowed) {
    EXPECT_EQ(command({}, Command::kPause).refused, "cannot pause: the canary is idle; now allowed: start");
    EXPECT_EQ(command(started(), Command::kStart).refused,
              "cannot start: the canary is mirror; now allowed: pause, promote, abort");
    State promoted = started();
    promoted.phase = Phase::kPromoted;
    EXPECT_EQ(command(promoted, Command::kAbort).refused,
              "cannot abort: the canary is promoted; now allowed: start (sluice rollback goes back to an earlier "
              "generation)");
}

TEST_F(MachineTest, counts_the_looks_of_a_hold) {
    EXPECT_EQ(looks(canary(), Phase::kMirror, 0), 4u);
    EXPECT_EQ(looks(canary(), Phase::kStage, 0), 5u);
    EXPECT_EQ(looks(canary(), Phase::kStage, 1), 10u);
    object_ = parsed_object(canary_text("", "[{weight: 5, hold: 3s}, {weight: 6, hold: 1s}]"));
    EXPECT_EQ(looks(canary(), Phase::kStage, 0), 2u) << "the end of the hold is a look, too";
    EXPECT_EQ(looks(canary(), Phase::kStage, 1), 1u);
}

}  // namespace
}  // namespace sluice::rollout
