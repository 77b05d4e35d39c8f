// Agents that end at any moment, and those that come after them.
#include <random>

#include "tests/unit/rollout/controller_world.h"

namespace sluice::rollout {
namespace {

using testing::HasSubstr;

const config::ObjectKey kKey{config::Kind::kCanary, "ml-serving", "ranking"};

class Restart : public ControllerTest {
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

TEST_F(Restart, a_canary_goes_on_where_it_was) {
    begin();
    pass(16s);
    turn(5s);
    start_agent();
    EXPECT_EQ(view().state.stage, 1u);
    EXPECT_EQ(view().steps.size(), 2u);
    EXPECT_EQ(world_.puts.size(), 2u);
    pass(9s);
    EXPECT_EQ(phase(), Phase::kPromoted) << "the hold of 20s began at 10s";
}

TEST_F(Restart, what_was_missed_while_no_agent_ran_is_waited_for) {
    begin();
    turn(1h);
    world_.what = kNothing;
    start_agent();
    pass(5s);
    EXPECT_EQ(phase(), Phase::kStage) << "the hold is long over, but nothing was seen yet";
    world_.what = kGood;
    pass(2s);
    EXPECT_EQ(view().state.stage, 1u);
}

TEST_F(Restart, the_time_to_wait_for_data_begins_anew) {
    world_.what = kNothing;
    begin();
    pass(12s);
    EXPECT_TRUE(view().state.data_missing);
    core_.reset();
    turn(1h);
    start_agent();
    pass(5s);
    EXPECT_EQ(phase(), Phase::kStage) << "nobody could see any";
    pass(4s);
    EXPECT_EQ(phase(), Phase::kAborted);
}

TEST_F(Restart, an_edit_while_no_agent_ran_pauses) {
    begin();
    core_.reset();
    edit("weight: 95", "weight: 50");
    start_agent();
    EXPECT_EQ(phase(), Phase::kPaused);
    EXPECT_THAT(view().state.reason, HasSubstr("now v45 50"));
}

TEST_F(Restart, waits_for_its_lease_and_says_who_has_it) {
    begin();
    core_.reset();
    world_.lease_error = Error{0, "the agent with pid 7 moves content-ranking-svc"};
    world_.what = kBad;
    start_agent();
    pass(1min);
    EXPECT_EQ(phase(), Phase::kStage);
    EXPECT_EQ(view().held_by, "the agent with pid 7 moves content-ranking-svc");
    EXPECT_EQ(world_.looks, 0);
    EXPECT_THAT(command(Command::kAbort).error().message, HasSubstr("pid 7"));
    world_.lease_error.reset();
    pass(4s);
    EXPECT_EQ(view().held_by, "");
    EXPECT_EQ(phase(), Phase::kAborted);
}

TEST_F(Restart, a_removed_canary_object_stops_it_and_can_still_be_aborted) {
    begin();
    world_.objects.clear();
    changed();
    EXPECT_EQ(phase(), Phase::kPaused);
    EXPECT_TRUE(view().missing);
    EXPECT_EQ(world_.rule_text, rule_at(95, 5));
    start_agent();
    EXPECT_EQ(phase(), Phase::kPaused);
    EXPECT_NE(view().canary, nullptr) << "from its stored document";
    EXPECT_THAT(command(Command::kResume).error().message, HasSubstr("put it back first"));
    ASSERT_TRUE(command(Command::kAbort));
    EXPECT_EQ(world_.rule_text, kRule);
    EXPECT_THAT(command(Command::kStart).error().message, HasSubstr("no such Canary object"));
}

TEST_F(Restart, a_changed_canary_object_counts_from_resume_on) {
    begin();
    world_.add(canary_text("", "[{weight: 20, hold: 10s}]"));
    changed();
    EXPECT_EQ(phase(), Phase::kPaused);
    ASSERT_TRUE(command(Command::kResume));
    EXPECT_EQ(world_.rule_text, rule_at(80, 20));
    start_agent();
    EXPECT_EQ(phase(), Phase::kStage) << "it is the one that was resumed";
    pass(10s);
    EXPECT_EQ(phase(), Phase::kPromoted);
}

TEST_F(Restart, a_rule_that_is_gone_pauses_and_abort_takes_nothing_back) {
    begin();
    world_.rule_text.clear();
    changed();
    EXPECT_EQ(phase(), Phase::kPaused);
    EXPECT_THAT(view().state.reason, HasSubstr("its rule is gone: no VirtualService"));
    EXPECT_THAT(command(Command::kPromote).error().message, HasSubstr("its rule is gone"));
    auto aborted = command(Command::kAbort);
    ASSERT_TRUE(aborted) << aborted.error().text();
    EXPECT_THAT(aborted->state.reason, HasSubstr("nothing was taken back"));
    EXPECT_EQ(world_.rule_text, "");
}

TEST_F(Restart, a_rule_that_cannot_be_read_now_is_waited_for) {
    begin();
    world_.rule_error = Error{EIO, "ranking.yaml"};
    changed();
    EXPECT_EQ(phase(), Phase::kStage);
    EXPECT_THAT(view().problem, HasSubstr("ranking.yaml: Input/output error"));
    ASSERT_TRUE(command(Command::kPause)) << "a pause changes nothing";
    world_.rule_error.reset();
    ASSERT_TRUE(command(Command::kResume));
}

TEST_F(Restart, a_wall_clock_that_is_set_neither_ends_nor_extends_a_hold) {
    for (const auto jump : {24h * 365, -24h * 365}) {
        world_.rule_text = kRule;
        begin();
        pass(4s);
        world_.clock.wall += jump;
        pass(5s);
        EXPECT_EQ(view().state.stage, 0u) << "9s of 10s";
        start_agent();
        EXPECT_EQ(view().state.stage, 0u) << "what is stored was moved along";
        pass(1s);
        EXPECT_EQ(view().state.stage, 1u);
        ASSERT_TRUE(command(Command::kAbort));
    }
}

TEST_F(Restart, a_clock_that_was_set_back_while_no_agent_ran_makes_the_hold_at_most_begin_anew) {
    begin();
    pass(9s);
    core_.reset();
    world_.clock.wall -= 24h;
    start_agent();
    pass(9s);
    EXPECT_EQ(view().state.stage, 0u);
    pass(1s);
    EXPECT_EQ(view().state.stage, 1u);
}

TEST_F(Restart, a_state_that_cannot_be_stored_after_the_change_is_stored_later) {
    begin();

    world_.before_put = [&] { world_.save_error = Error{ENOSPC, "disk full"}; };
    pass(10s);
    EXPECT_EQ(world_.rule_text, rule_at(75, 25));
    EXPECT_EQ(view().state.stage, 1u);
    EXPECT_THAT(view().problem, HasSubstr("disk full"));
    EXPECT_TRUE(from_json(world_.states.at(kKey))->moving) << "an agent that starts now finds the change done";
    world_.save_error.reset();
    pass(2s);
    EXPECT_EQ(view().problem, "");
    EXPECT_FALSE(from_json(world_.states.at(kKey))->moving);
}

TEST_F(Restart, a_state_of_a_later_release_is_refused_by_name) {
    world_.states[kKey] = R"({"phase":"melting"})";
    Core core(
        world_, world_, world_, [this] { return world_.clock; }, [] {});
    EXPECT_THAT(core.load().error().message, HasSubstr("unknown phase"));
}

// ---- the end of the process at every call ------------------------------------------------------------------------

// What a person and the world do. After a crash the same goes on from where the canary is.
struct Story {
    const char* name;
    std::string more;  // of the Canary
    Seen seen;
    std::optional<Command> by_hand;  // 12s after the start
    std::string end;                 // the rule then; "PROMOTED"
};

class Crash : public ControllerTest {
  protected:
    // Every text that the machine may want.
    std::set<std::string> texts(const std::string& canary) {
        World world;
        world.add(canary);
        const auto object = world.objects.begin()->second.first;
        const auto& spec = std::get<config::Canary>(object->spec);
        std::set<std::string> out{kRule};
        auto take = [&](const Wanted& wanted) { out.insert(edited(*object, kRule, kRule, kRule, wanted)->text); };
        if (spec.mirror) {
            take(wanted(spec, Phase::kMirror, 0));
        }
        for (std::size_t i = 0; i < spec.stages.size(); ++i) {
            take(wanted(spec, Phase::kStage, i));
        }
        take({Wanted::What::kWeight, 100, false});
        return out;
    }
    void live(const Story& story) {
        for (int turn = 0; turn < 200; ++turn) {
            const Phase now = phase();
            if (now == Phase::kIdle) {
                static_cast<void>(command(Command::kStart));
            } else if (story.by_hand && seconds_ >= 12 && !told_) {
                // The agent before may have taken it with its last breath.
                told_ = command(*story.by_hand).has_value() || phase() == Phase::kPaused;
            } else if (now == Phase::kPaused && seconds_ >= 20) {
                static_cast<void>(command(Command::kResume));
            }
            if ((phase() == Phase::kPromoted || phase() == Phase::kAborted) && !view().state.moving) {
                return;
            }
            ++seconds_;
            pass(1s);
        }
        FAIL() << "it does not end: " << to_json(view().state);
    }
    // Ends agents at the given calls, one after the other.
    void play(const Story& story, std::vector<int> kills) {
        world_.~World();
        new (&world_) World();
        world_.add(canary_text(story.more));
        world_.what = story.seen;
        seconds_ = 0;
        told_ = false;
        const std::set<std::string> allowed = texts(canary_text(story.more));
        for (std::size_t life = 0; life <= kills.size(); ++life) {
            world_.kill_at = life < kills.size() ? world_.calls + kills[life] : 0;
            try {
                start_agent();
                live(story);
                life = kills.size();
            } catch (const Killed&) {
                ++killed_;
                // What was held dies with the process: leases, watches.
                core_.reset();
                ASSERT_TRUE(allowed.contains(world_.rule_text)) << world_.rule_text;
                turn(1s);
            }
        }
        ASSERT_EQ(world_.rule_text, story.end == "PROMOTED" ? rule_at(0, 100) : kRule);
        ASSERT_EQ(phase(), story.end == "PROMOTED" ? Phase::kPromoted : Phase::kAborted) << view().state.reason;
        ASSERT_TRUE(world_.leases.empty());
        for (const World::Put& put : world_.puts) {
            ASSERT_TRUE(allowed.contains(put.text));
        }
        ASSERT_NO_FATAL_FAILURE(check_history());
    }
    // No step is lost or told twice: each begins where the one before ended.
    void check_history() {
        Phase at = Phase::kIdle;
        const std::deque<Step>& steps = world_.history[kKey];
        std::size_t ends = 0;
        for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
            ASSERT_EQ(step->from, at) << step->reason;
            at = step->to;
            ends += at == Phase::kPromoted || at == Phase::kAborted ? 1 : 0;
        }
        ASSERT_EQ(ends, 1u);
        ASSERT_EQ(at, phase());
    }

    int seconds_ = 0;
    bool told_ = false;
    int killed_ = 0;
};

const std::vector<Story> kStories{
    {"promotes", kMirror + kInternal, kGood, std::nullopt, "PROMOTED"},
    {"is rolled back", kInternal, kBad, std::nullopt, ""},
    {"has no data", "", kNothing, std::nullopt, ""},
    {"is aborted by hand", kMirror + kInternal, kGood, Command::kAbort, ""},
    {"is promoted by hand", kInternal, kGood, Command::kPromote, "PROMOTED"},
    {"is paused and resumed", "", kGood, Command::kPause, "PROMOTED"},
};

TEST_F(Crash, at_every_call_leaves_weights_of_the_machine_and_ends_cleanly) {
    for (const Story& story : kStories) {
        ASSERT_NO_FATAL_FAILURE(play(story, {}));
        const int calls = world_.calls;
        EXPECT_GE(calls, 12) << story.name;
        killed_ = 0;
        for (int at = 1; at <= calls; ++at) {
            SCOPED_TRACE(testing::Message() << story.name << ", killed at call " << at);
            ASSERT_NO_FATAL_FAILURE(play(story, {at}));
        }
        EXPECT_EQ(killed_, calls);
    }
}

TEST_F(Crash, again_and_again_leaves_weights_of_the_machine_and_ends_cleanly) {
    std::mt19937 random(7);
    for (int i = 0; i < 150; ++i) {
        std::vector<int> kills;
        for (unsigned n = 1 + random() % 12; n > 0; --n) {
            kills.push_back(1 + static_cast<int>(random() % 8));
        }
        const Story& story = kStories[random() % kStories.size()];
        SCOPED_TRACE(testing::Message() << story.name << " " << testing::PrintToString(kills));
        ASSERT_NO_FATAL_FAILURE(play(story, kills));
    }
}

}  // namespace
}  // namespace sluice::rollout
