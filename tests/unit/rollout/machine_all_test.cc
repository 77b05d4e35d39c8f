// Every state with every command and fact against a table, and random lives against what must hold in all of them.
#include <random>

#include "rollout/machine.h"
#include "tests/unit/rollout/machine_canary.h"

namespace sluice::rollout {
namespace {

const Time kStart = Time(std::chrono::seconds(1'790'000'000));
constexpr std::array kPhases{Phase::kIdle,   Phase::kMirror,   Phase::kStage,
                             Phase::kPaused, Phase::kPromoted, Phase::kAborted};
constexpr std::array<std::optional<Command>, 6> kCommands{std::nullopt,     Command::kStart,   Command::kPause,
                                                          Command::kResume, Command::kPromote, Command::kAbort};
enum class Seeing { kNot, kGood, kBad, kNothing };
enum class Object { kSame, kChanged, kRemoved };

// One point of the space.
struct Case {
    Phase phase;
    bool moving;
    std::optional<Command> command;
    bool edited;
    Object object;
    Seeing seeing;
    bool over;    // the hold
    bool waited;  // … and the time to wait for data
};

// Where it must lead; empty: refused. From the text of the contract, not from the code.
std::optional<Phase> expected(const Case& at) {
    const bool runs = at.phase == Phase::kMirror || at.phase == Phase::kStage;
    const bool ended = at.phase == Phase::kPromoted || at.phase == Phase::kAborted;
    const bool unfinished = ended && at.moving;
    if (at.command) {
        switch (*at.command) {
            case Command::kStart:
                return (at.phase == Phase::kIdle || ended) && !unfinished ? std::optional(Phase::kMirror)
                                                                          : std::nullopt;
            case Command::kPause:
                return runs ? std::optional(Phase::kPaused) : std::nullopt;
            case Command::kResume:
                return at.phase == Phase::kPaused && at.object != Object::kRemoved ? std::optional(Phase::kStage)
                                                                                   : std::nullopt;
            case Command::kPromote:
                return runs || at.phase == Phase::kPaused || unfinished ? std::optional(Phase::kPromoted)
                                                                        : std::nullopt;
            case Command::kAbort:
                return runs || at.phase == Phase::kPaused || unfinished ? std::optional(Phase::kAborted) : std::nullopt;
        }
    }
    if (at.edited && (runs || unfinished)) {
        return Phase::kPaused;
    }
    if (!runs) {
        return at.phase;
    }
    if (at.object != Object::kSame) {
        return Phase::kPaused;
    }
    if (at.moving) {
        return at.phase;
    }
    switch (at.seeing) {
        case Seeing::kNot:
            return at.phase;
        case Seeing::kBad:
            return Phase::kAborted;
        case Seeing::kGood:
            return at.over ? at.phase == Phase::kMirror ? Phase::kStage : Phase::kPromoted : at.phase;
        case Seeing::kNothing:
            return at.over && at.waited ? Phase::kAborted : at.phase;
    }
    return at.phase;
}

class Space : public testing::Test {
  protected:
    // The last stage that holds, so that passing it promotes.
    config::ObjectPtr object_ = parsed_object(canary_text(kMirror));
    const config::Canary& canary() const { return std::get<config::Canary>(object_->spec); }

    State state_of(const Case& at) const {
        State out;
        out.phase = at.phase;
        out.stage = at.phase == Phase::kMirror || at.phase == Phase::kIdle ? 0 : 1;
        out.paused_from = at.phase == Phase::kMirror || at.phase == Phase::kIdle ? Phase::kIdle : Phase::kStage;
        out.digest = 7;
        out.since = kStart;
        out.in_force = wanted(canary(), at.phase, out.stage);
        if (at.moving) {
            out.moving = at.phase == Phase::kPromoted ? Wanted{Wanted::What::kWeight, 100, false} : Wanted{};
        }
        if (at.waited) {
            out.data_missing = kStart + 20s;
        }
        return out;
    }
    Facts facts_of(const Case& at) const {
        Facts out;
        out.now = at.over ? kStart + 20s + (at.waited ? 6s : 0s) : kStart + 7s;
        out.edited = at.edited;
        out.edit = at.edited ? "now v45 1, v47 2" : "";
        out.present = at.object == Object::kRemoved ? nullptr : &canary();
        out.digest = at.object == Object::kChanged ? 8 : 7;
        out.command = at.command;
        out.who = "alice";
        if (at.seeing != Seeing::kNot) {
            out.seen = at.seeing == Seeing::kGood ? kGood : at.seeing == Seeing::kBad ? kBad : kNothing;
        }
        return out;
    }
};

TEST_F(Space, every_state_does_with_every_command_and_fact_what_the_table_says) {
    std::size_t cases = 0;
    for (const Phase phase : kPhases) {
        for (const auto& command : kCommands) {
            for (unsigned bits = 0; bits < 16; ++bits) {
                for (const Object object : {Object::kSame, Object::kChanged, Object::kRemoved}) {
                    for (const Seeing seeing : {Seeing::kNot, Seeing::kGood, Seeing::kBad, Seeing::kNothing}) {
                        const Case at{phase,  (bits & 1) != 0, command,         (bits & 2) != 0,
                                      object, seeing,          (bits & 4) != 0, (bits & 8) != 0};
                        if (at.moving && (phase == Phase::kIdle || phase == Phase::kPaused)) {
                            continue;  // there is no such state
                        }
                        const State state = state_of(at);
                        const Decision decision = advance(canary(), state, facts_of(at));
                        const auto must = expected(at);
                        SCOPED_TRACE(testing::Message()
                                     << phase_name(phase) << " moving=" << at.moving << " command="
                                     << (command ? command_name(*command) : "-") << " edited=" << at.edited
                                     << " object=" << static_cast<int>(object) << " seen=" << static_cast<int>(seeing)
                                     << " over=" << at.over << " waited=" << at.waited);
                        ++cases;
                        if (!must) {
                            ASSERT_NE(decision.refused, "");
                            ASSERT_EQ(decision.next, state) << "a refused command changes nothing";
                            ASSERT_TRUE(decision.steps.empty());
                            continue;
                        }
                        ASSERT_EQ(decision.refused, "");
                        ASSERT_STREQ(phase_name(decision.next.phase), phase_name(*must));
                        if (decision.next.phase != phase) {
                            ASSERT_EQ(decision.steps.size(), 1u);
                            ASSERT_EQ(decision.steps[0].from, phase);
                            ASSERT_EQ(decision.steps[0].to, *must);
                            ASSERT_NE(decision.steps[0].reason, "");
                            ASSERT_EQ(decision.steps[0].who, command ? "alice" : "controller");
                        }
                        if (*must == Phase::kAborted && phase != Phase::kAborted) {
                            ASSERT_EQ(decision.next.moving, Wanted{});
                        }
                        if (*must == Phase::kPaused) {
                            ASSERT_EQ(decision.next.moving, std::nullopt);
                            ASSERT_EQ(decision.next.in_force, state.in_force);
                        }
                    }
                }
            }
        }
    }
    EXPECT_GT(cases, 5000u);
}

// A life: commands, looks, edits and clocks at random. The rule follows a decision at once or never comes to it.
class Life {
  public:
    Life(const config::Canary& canary, unsigned seed) : canary_(canary), random_(seed) {}

    void live(int turns) {
        for (int i = 0; i < turns && !testing::Test::HasFatalFailure(); ++i) {
            now_ += std::chrono::milliseconds(random_() % 9000);
            turn();
        }
    }

  private:
    void turn() {
        Facts told;
        told.now = now_;
        told.digest = random_() % 40 == 0 ? 8 : 7;
        told.present = random_() % 40 == 0 ? nullptr : &canary_;
        told.edited = random_() % 25 == 0;
        told.edit = told.edited ? "now other" : "";
        told.who = "alice";
        if (random_() % 4 == 0) {
            constexpr std::array kAll{Command::kStart,  Command::kStart,   Command::kPause, Command::kResume,
                                      Command::kResume, Command::kPromote, Command::kAbort};
            told.command = kAll[random_() % (random_() % 4 == 0 ? kAll.size() : 5)];
        }
        if (!state_.moving && random_() % 3 != 0) {
            const auto which = random_() % 16;
            told.seen = which == 0 ? kBad : which < 8 ? kNothing : kGood;
        }
        const Decision decision = advance(canary_, state_, told);
        ASSERT_NO_FATAL_FAILURE(check(told, decision));
        state_ = decision.next;
        if (state_.moving && random_() % 4 != 0) {
            state_ = arrived(state_, now_);
        }
    }
    void check(const Facts& told, const Decision& decision) const {
        const State& next = decision.next;
        for (const Wanted& wanted : {next.moving.value_or(next.in_force), next.in_force}) {
            ASSERT_TRUE(sound(wanted)) << static_cast<int>(wanted.what) << " " << wanted.weight;
        }
        if (next.phase == Phase::kPromoted && next.phase != state_.phase) {
            ASSERT_EQ(next.moving, (Wanted{Wanted::What::kWeight, 100, false}));
        }
        if (next.phase == Phase::kAborted && next.phase != state_.phase) {
            ASSERT_EQ(next.moving, Wanted{});
        }
        if ((next.phase == Phase::kPromoted || next.phase == Phase::kAborted) && !next.moving) {
            const bool all = next.in_force == Wanted{Wanted::What::kWeight, 100, false};
            ASSERT_TRUE(next.phase == Phase::kPromoted ? all : next.in_force == Wanted{});
        }
        const bool onward = next.phase != state_.phase || next.stage != state_.stage;
        if (onward && !told.command && (next.phase == Phase::kStage || next.phase == Phase::kPromoted)) {
            ASSERT_TRUE(told.seen) << "no pass without data";
            ASSERT_TRUE(told.seen->asked.at(0).challenger == 0.5);
            ASSERT_GE(told.now - state_.since, hold(canary_, state_)) << "no pass before the end of the hold";
            ASSERT_FALSE(state_.moving) << "no pass before the weights were in force";
        }
        if (next.phase == Phase::kStage && running(state_.phase) && next.stage != state_.stage) {
            ASSERT_EQ(next.stage, state_.phase == Phase::kMirror ? 0 : state_.stage + 1) << "no stage is left out";
        }
        ASSERT_EQ(onward, !decision.steps.empty() && !(next.phase == state_.phase && next.stage == state_.stage));
        if (!decision.steps.empty()) {
            ASSERT_EQ(decision.steps.back().reason, next.reason);
        }
    }
    // What the rule may be asked to say at all.
    bool sound(const Wanted& wanted) const {
        if (wanted.what != Wanted::What::kWeight) {
            return wanted.weight == 0 && !wanted.internal;
        }
        if (wanted.weight == 100) {
            return !wanted.internal;
        }
        return wanted.internal &&
               std::ranges::any_of(canary_.stages, [&](const auto& stage) { return stage.weight == wanted.weight; });
    }

    const config::Canary& canary_;
    std::mt19937 random_;
    State state_;
    Time now_ = kStart;
};

TEST(Lives, at_random_keep_what_must_hold_in_all) {
    const auto object = parsed_object(canary_text(kMirror + kInternal,
                                                  "[{weight: 5, hold: 10s}, {weight: 25, hold: 5s},"
                                                  " {weight: 60, hold: 9s}, {weight: 100}]"));
    for (unsigned seed = 0; seed < 2000; ++seed) {
        SCOPED_TRACE(seed);
        Life(std::get<config::Canary>(object->spec), seed).live(120);
        ASSERT_FALSE(testing::Test::HasFatalFailure());
    }
}

}  // namespace
}  // namespace sluice::rollout
