// The controller between a rule, a store and the versions, on a clock that the test turns.
#include "tests/unit/rollout/controller_world.h"

namespace sluice::rollout {
namespace {

using testing::HasSubstr;

class Canaries : public ControllerTest {
  protected:
    void SetUp() override {
        world_.add(canary_text());
        start_agent();
    }
    void begin() {
        auto started = command(Command::kStart);
        ASSERT_TRUE(started) << started.error().text();
    }
};

TEST_F(Canaries, is_idle_until_a_person_starts_it) {
    pass(1h);
    EXPECT_EQ(phase(), Phase::kIdle);
    EXPECT_EQ(world_.rule_text, kRule);
    EXPECT_EQ(world_.calls, 0) << "nothing is stored";
    EXPECT_EQ(next_, std::nullopt) << "and nothing waited for";
    EXPECT_NE(view().canary, nullptr);
}

TEST_F(Canaries, promotes_a_good_challenger_stage_by_stage) {
    auto started = command(Command::kStart, "new model");
    ASSERT_TRUE(started) << started.error().text();
    EXPECT_EQ(started->state.phase, Phase::kStage);
    EXPECT_EQ(started->state.moving, std::nullopt) << "in force when the command returns";
    EXPECT_EQ(world_.rule_text, rule_at(95, 5));
    EXPECT_EQ(world_.puts.at(0).who, "alice");
    EXPECT_EQ(world_.puts.at(0).message, "canary ranking: v47 at 5%: started by hand: new model");
    pass(9s);
    EXPECT_EQ(world_.rule_text, rule_at(95, 5));
    EXPECT_EQ(world_.looks, 4) << "each 2s";
    pass(1s);
    EXPECT_EQ(world_.rule_text, rule_at(75, 25));
    EXPECT_EQ(world_.puts.at(1).who, "controller");
    EXPECT_EQ(world_.begun, 2) << "each stage is looked at anew";
    pass(20s);
    EXPECT_EQ(world_.rule_text, rule_at(0, 100));
    const View end = view();
    EXPECT_EQ(end.state.phase, Phase::kPromoted);
    EXPECT_EQ(end.problem, "");
    EXPECT_EQ(end.gates.size(), 1u);
    ASSERT_EQ(end.steps.size(), 3u);
    EXPECT_EQ(end.steps[0].to, Phase::kPromoted);
    EXPECT_EQ(end.steps[2].from, Phase::kIdle);
    EXPECT_EQ(end.transitions, (std::map<std::string, std::uint64_t>{{"promoted", 1}, {"stage", 2}}));
    EXPECT_TRUE(world_.leases.empty());
    EXPECT_EQ(next_, std::nullopt);
}

TEST_F(Canaries, a_failing_gate_brings_the_former_rule_back_in_one_change) {
    begin();
    pass(11s);
    world_.what = kBad;
    pass(2s);
    EXPECT_EQ(phase(), Phase::kAborted);
    EXPECT_EQ(world_.rule_text, kRule) << "byte for byte";
    EXPECT_EQ(world_.puts.size(), 3u);
    EXPECT_THAT(world_.puts.back().message, HasSubstr("the former weights: gate fails: quality: 2"));
    EXPECT_TRUE(world_.leases.empty());
    pass(1h);
    EXPECT_EQ(world_.puts.size(), 3u);
}

TEST_F(Canaries, missing_data_ends_in_an_abort_after_the_hold_and_the_time_to_wait) {
    world_.what = kNothing;
    begin();
    pass(15s);
    EXPECT_EQ(phase(), Phase::kStage);
    EXPECT_EQ(world_.rule_text, rule_at(95, 5));
    pass(1s);
    EXPECT_EQ(phase(), Phase::kAborted);
    EXPECT_EQ(world_.rule_text, kRule);
    EXPECT_THAT(view().state.reason, HasSubstr("no data for 6s"));
}

TEST_F(Canaries, an_answer_that_is_late_is_looked_at_when_it_comes) {
    world_.silent = true;
    begin();
    pass(11s);
    EXPECT_EQ(world_.rule_text, rule_at(95, 5)) << "the hold is over, and nothing is known";
    EXPECT_TRUE(view().gates.empty());
    world_.silent = false;
    world_.answered();
    EXPECT_EQ(wakes_, 1);
    pass(0s);
    EXPECT_EQ(world_.rule_text, rule_at(95, 5)) << "it is not time to look";
    next_ = core_->tick(false);
    EXPECT_EQ(world_.rule_text, rule_at(75, 25));
}

TEST_F(Canaries, commands_do_not_wait_for_an_answer) {
    world_.silent = true;
    begin();
    pass(3s);
    ASSERT_TRUE(command(Command::kPause));
    ASSERT_TRUE(command(Command::kResume));
    ASSERT_TRUE(command(Command::kAbort));
    EXPECT_EQ(world_.rule_text, kRule);
}

TEST_F(Canaries, a_manual_edit_of_the_weights_pauses_and_a_person_decides) {
    begin();
    edit("weight: 95", "weight: 60");
    changed();
    EXPECT_EQ(phase(), Phase::kPaused);
    EXPECT_THAT(view().state.reason, HasSubstr("now v45 60, v47 5, were v45 95, v47 5"));
    const std::string theirs = world_.rule_text;
    pass(1h);
    EXPECT_EQ(world_.rule_text, theirs);
    EXPECT_FALSE(world_.leases.empty()) << "a paused canary is not over";
    ASSERT_TRUE(command(Command::kResume));
    EXPECT_EQ(world_.rule_text, rule_at(95, 5)) << "the stage's weights again";
    EXPECT_EQ(phase(), Phase::kStage);
    edit("weight: 95", "weight: 60");
    changed();
    EXPECT_EQ(phase(), Phase::kPaused) << "the same edit again is an edit again";
    ASSERT_TRUE(command(Command::kAbort));
    EXPECT_EQ(world_.rule_text, kRule);
}

TEST_F(Canaries, other_edits_of_the_document_do_not_disturb_and_are_kept) {
    begin();
    edit("timeout: 200ms", "timeout: 300ms");
    changed();
    EXPECT_EQ(phase(), Phase::kStage);
    pass(10s);
    EXPECT_THAT(world_.rule_text, HasSubstr("timeout: 300ms"));
    EXPECT_THAT(world_.rule_text, HasSubstr("weight: 75"));
    ASSERT_TRUE(command(Command::kAbort));
    std::string expected = kRule;
    expected.replace(expected.find("200ms"), 5, "300ms");
    EXPECT_EQ(world_.rule_text, expected);
}

TEST_F(Canaries, an_edit_between_look_and_put_is_looked_at_again) {
    begin();
    world_.before_put = [&] { edit("timeout: 200ms", "timeout: 300ms"); };
    pass(10s);
    EXPECT_EQ(phase(), Phase::kStage);
    EXPECT_THAT(world_.rule_text, HasSubstr("timeout: 300ms"));
    EXPECT_THAT(world_.rule_text, HasSubstr("weight: 75"));
    EXPECT_EQ(view().state.in_force.weight, 25u);

    world_.before_put = [&] { edit("weight: 75", "weight: 50"); };
    pass(20s);
    EXPECT_EQ(phase(), Phase::kPaused) << "of the weights, by others";
    EXPECT_THAT(world_.rule_text, HasSubstr("weight: 50"));
    EXPECT_THAT(view().state.reason, HasSubstr("now v45 50"));
}

TEST_F(Canaries, a_put_that_fails_keeps_the_last_weights_says_why_and_is_tried_at_each_look) {
    begin();
    world_.put_error = Error{EROFS, "cannot write rules/ranking.yaml"};
    pass(10s);
    EXPECT_EQ(world_.rule_text, rule_at(95, 5));
    EXPECT_THAT(view().problem, HasSubstr("cannot write rules/ranking.yaml: Read-only file system"));
    const int reads = world_.rule_reads;
    for (int i = 0; i < 100; ++i) {
        changed();
    }
    EXPECT_EQ(world_.rule_reads, reads) << "what failing itself may cause does not make it spin";
    pass(10s);
    EXPECT_LE(world_.rule_reads, reads + 15);
    world_.put_error.reset();
    pass(2s);
    EXPECT_EQ(world_.rule_text, rule_at(75, 25));
    EXPECT_EQ(view().problem, "");
    pass(19s);
    EXPECT_EQ(phase(), Phase::kStage) << "the hold began when the weights were in force";
    pass(1s);
    EXPECT_EQ(phase(), Phase::kPromoted);
}

TEST_F(Canaries, a_start_is_all_or_nothing) {
    world_.put_error = Error{0, "rules/other.yaml:3:1: spec: wrong"};
    auto started = command(Command::kStart);
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().message, HasSubstr("rules/other.yaml:3:1"));
    EXPECT_EQ(phase(), Phase::kIdle);
    EXPECT_TRUE(world_.leases.empty());
    EXPECT_THAT(view().steps.at(0).reason, HasSubstr("could not start"));
    world_.put_error.reset();
    pass(1h);
    EXPECT_EQ(world_.rule_text, kRule);
    world_.start_error = Error{0, "the rule is split by Experiment ml-serving/ab"};
    EXPECT_THAT(command(Command::kStart).error().message, HasSubstr("split by Experiment"));
    world_.start_error.reset();
    world_.save_error = Error{ENOSPC, "disk"};
    EXPECT_THAT(command(Command::kStart).error().message, HasSubstr("cannot be recorded, so nothing was changed"));
    EXPECT_EQ(world_.rule_text, kRule) << "no change without a record of it";
    world_.save_error.reset();
    EXPECT_TRUE(command(Command::kStart));
}

TEST_F(Canaries, an_abort_that_cannot_be_written_is_decided_and_done_later) {
    begin();
    world_.put_error = Error{EROFS, "cannot write"};
    auto aborted = command(Command::kAbort);
    ASSERT_FALSE(aborted);
    EXPECT_THAT(aborted.error().message, HasSubstr("decided, but not in force yet"));
    EXPECT_EQ(phase(), Phase::kAborted);
    EXPECT_TRUE(view().state.moving);
    EXPECT_THAT(command(Command::kStart).error().message, HasSubstr("not in force yet"));
    world_.put_error.reset();
    pass(2s);
    EXPECT_EQ(world_.rule_text, kRule);
    EXPECT_EQ(view().state.moving, std::nullopt);
}

TEST_F(Canaries, commands_that_cannot_be_taken_say_what_can) {
    EXPECT_THAT(command(Command::kPause).error().message, HasSubstr("now allowed: start"));
    EXPECT_THAT(core_->command("nobody", Command::kStart, "alice", "").error().message,
                HasSubstr("no Canary nobody; there is ml-serving/ranking"));
    begin();
    EXPECT_THAT(command(Command::kStart).error().message, HasSubstr("now allowed: pause, promote, abort"));
    ASSERT_TRUE(command(Command::kPause));
    EXPECT_THAT(command(Command::kPause).error().message, HasSubstr("now allowed: resume, promote, abort"));
    ASSERT_TRUE(command(Command::kPromote));
    EXPECT_EQ(world_.rule_text, rule_at(0, 100));
    EXPECT_TRUE(core_->command("ml-serving/ranking", Command::kStart, "alice", "")
                    .error()
                    .message.find("nothing is left to move") != std::string::npos);
}

TEST_F(Canaries, a_resumed_stage_holds_anew) {
    begin();
    pass(9s);
    ASSERT_TRUE(command(Command::kPause));
    pass(1h);
    EXPECT_EQ(world_.rule_text, rule_at(95, 5));
    ASSERT_TRUE(command(Command::kResume));
    EXPECT_EQ(world_.puts.size(), 1u) << "the weights are there already";
    pass(9s);
    EXPECT_EQ(view().state.stage, 0u);
    pass(1s);
    EXPECT_EQ(view().state.stage, 1u);
}

TEST_F(Canaries, one_canary_a_service) {
    begin();
    std::string other = canary_text();
    other.replace(other.find("ranking,"), 7, "second");
    world_.add(other);
    auto second = core_->command("second", Command::kStart, "bob", "");
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().message, HasSubstr("another canary moves content-ranking-svc"));
    EXPECT_EQ(core_->view("")->size(), 2u);
    ASSERT_TRUE(command(Command::kAbort));
    EXPECT_TRUE(core_->command("second", Command::kStart, "bob", ""));
}

TEST_F(Canaries, the_internal_rule_and_the_copies_come_and_go) {
    world_.add(canary_text(kMirror + kInternal));
    begin();
    EXPECT_EQ(phase(), Phase::kMirror);
    EXPECT_TRUE(world_.mirror);
    EXPECT_THAT(world_.rule_text, HasSubstr("mirrors"));
    pass(8s);
    EXPECT_FALSE(world_.mirror);
    EXPECT_THAT(world_.rule_text, testing::Not(HasSubstr("mirrors")));
    EXPECT_THAT(world_.rule_text, HasSubstr("canary-ranking-internal"));
    pass(10s);
    EXPECT_THAT(world_.rule_text, HasSubstr("canary-ranking-internal"));
    pass(20s);
    EXPECT_EQ(world_.rule_text, rule_at(0, 100));
}

}  // namespace
}  // namespace sluice::rollout
