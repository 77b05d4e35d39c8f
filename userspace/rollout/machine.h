// The life of one canary, as a pure state machine: what is known goes in, what is to be done comes out.
//
//   idle --start--> [mirror] -> stage 1 -> … -> stage N --hold over, every gate passes--> promoted
//   any running state --pause--> paused --resume--> the same stage, its hold anew
//   any running state --a gate fails, or data is missing for too long--> aborted (the former rule, one generation)
//   any running state --the same weights, or the Canary object, are changed by others--> paused, and says so
//   running or paused --promote--> promoted, --abort--> aborted
//
// A stage of weight 100 is the promotion: nothing is left to compare with, so it does not hold. Stages that end below
// it are promoted after the last one's hold.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/canary.h"
#include "rollout/gates.h"

namespace sluice::rollout {

// Wall clock, because it persists. Within one run of the agent it goes as the monotonic clock does (controller.h).
using Time = std::chrono::system_clock::time_point;

enum class Phase : std::uint8_t { kIdle, kMirror, kStage, kPaused, kPromoted, kAborted };
const char* phase_name(Phase phase);  // "idle", "mirror", "stage", "paused", "promoted", "aborted"
// kMirror, kStage: gates are looked at.
bool running(Phase phase);

// What the rule should say: the canary's part of it.
struct Wanted {
    enum class What : std::uint8_t { kFormer, kMirror, kWeight } what = What::kFormer;
    std::uint32_t weight = 0;  // kWeight: percent of the challenger
    bool internal = false;     // the rule for internal users stands before it
    bool operator==(const Wanted&) const = default;
};

// What a rule says of a canary's versions: numbers as in the rule, so that an edit by others can be told.
struct Part {
    std::optional<std::uint32_t> champion, challenger;  // weights; empty: no such destination
    bool mirrored = false;                              // a copy goes to the challenger
    bool internal = false;                              // the canary's rule for internal users is there
    bool operator==(const Part&) const = default;
};

// Everything that persists. `moving` is stored before the rule is changed and cleared after: an agent that finds it set
// looks at the rule, and does the change, or finds it done. The machine keeps all but the texts and `part`, which are
// the controller's.
struct State {
    Phase phase = Phase::kIdle;
    Phase paused_from = Phase::kIdle;  // kMirror or kStage: where it was when it was paused, promoted or aborted
    std::size_t stage = 0;             // of canary.stages
    std::optional<Wanted> moving;      // to there
    Wanted in_force;
    Time since{};                      // the phase or stage began
    std::optional<Time> data_missing;  // since when a gate has no data after the hold was over
    FailuresInARow failures;
    std::string reason;        // of the last step, a sentence
    std::string who;           // … and whose it was
    std::string edit;          // by others, as far as it was noted while paused
    std::uint64_t digest = 0;  // of the Canary object that was started: a change of it pauses
    std::string spec;          // its document
    Part part;                 // what the rule says, or said when `moving` was decided
    std::string former;        // the rule's document without the canary
    std::string written;       // … as the canary last wrote it
    std::string writing;       // … as it is to be; empty unless `moving`
    bool operator==(const State&) const = default;
};

enum class Command : std::uint8_t { kStart, kPause, kResume, kPromote, kAbort };
const char* command_name(Command command);  // "start", …
std::optional<Command> command_of(const std::string& name);

// One step, for the history of the canary.
struct Step {
    Time time{};
    Phase from = Phase::kIdle, to = Phase::kIdle;
    std::size_t stage = 0;
    std::uint32_t weight = 0;
    std::string who;     // a user, or "controller"
    std::string reason;  // with numbers
    bool operator==(const Step&) const = default;
};

// What the machine is told each time.
struct Facts {
    Time now{};
    bool edited = false;  // the rule's part is not what the canary wrote, or there is no rule any more
    std::string edit;     // … in words
    // The Canary object in force; null: it was removed. `digest` is its own.
    const config::Canary* present = nullptr;
    std::uint64_t digest = 0;
    std::optional<Seen> seen;        // since the stage began; absent: not looked at this time
    std::optional<Command> command;  // of a person
    std::string who;
    std::string message;  // of the person; may be empty
};

struct Decision {
    State next;
    std::vector<Step> steps;          // to be recorded
    std::vector<GateResult> results;  // of this look
    std::string refused;              // of the command: why not, and what is allowed; empty: it was taken, or none was
    bool adopt = false;               // from now on the object in force counts: take over its spec
};

// Pure. The caller brings the rule to `next.moving`, then calls arrived(). `canary`: the one that was started; of a
// start the one in force. While state.moving is set, looks and holds do not count: give no `seen`.
Decision advance(const config::Canary& canary, const State& state, const Facts& facts);

// The rule says what `moving` wanted: the hold begins.
State arrived(State state, Time now);

// How many looks the hold of a stage has, at least one. `phase`: kMirror or kStage.
std::size_t looks(const config::Canary& canary, Phase phase, std::size_t stage);
// Of the state's stage (of the stage that a paused one was in); 0 when there is none.
std::chrono::nanoseconds hold(const config::Canary& canary, const State& state);
// What of the challenger a running canary of that phase and stage wants.
Wanted wanted(const config::Canary& canary, Phase phase, std::size_t stage);

}  // namespace sluice::rollout
