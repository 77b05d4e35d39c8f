#include "rollout/machine.h"

#include <algorithm>
#include <array>

#include "rollout/machine_text.h"

namespace sluice::rollout {

namespace {

constexpr const char* kController = "controller";
constexpr std::uint32_t kAll = 100;

std::size_t rounded_up(std::chrono::nanoseconds whole, std::chrono::nanoseconds part) {
    return part.count() <= 0 ? 0 : static_cast<std::size_t>((whole.count() + part.count() - 1) / part.count());
}

// The first stage that is not the promotion and not below `weight`, or the last that is not the promotion.
std::optional<std::size_t> stage_from(const config::Canary& canary, std::uint32_t weight) {
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < canary.stages.size() && canary.stages[i].weight < kAll; ++i) {
        found = i;
        if (canary.stages[i].weight >= weight) {
            break;
        }
    }
    return found;
}

bool same_target(const config::Canary& a, const config::Canary& b) {
    return a.host == b.host && a.route == b.route && a.champion == b.champion && a.challenger == b.challenger;
}

class Advance {
  public:
    Advance(const config::Canary& canary, const State& state, const Facts& facts)
        : canary_(&canary), state_(state), facts_(facts) {
        out_.next = state;
    }

    Decision run() {
        if (facts_.command) {
            command(*facts_.command);
        } else if (running(state_.phase) || unsettled()) {
            automatic();
        } else if (state_.phase == Phase::kPaused) {
            note_edit();
        }
        return std::move(out_);
    }

  private:
    // Promoted or aborted, but the rule does not say so yet.
    bool unsettled() const {
        return state_.moving && (state_.phase == Phase::kPromoted || state_.phase == Phase::kAborted);
    }

    // ---- steps ---------------------------------------------------------------------------------------------------
    void step(Phase to, std::string reason, const std::string& who) {
        State& next = out_.next;
        if (running(next.phase)) {
            next.paused_from = next.phase;
        }
        const Phase from = next.phase;
        next.phase = to;
        next.reason = reason;
        next.who = who;
        next.data_missing.reset();
        next.failures.clear();
        const Wanted weights = next.moving.value_or(next.in_force);
        out_.steps.push_back({facts_.now, from, to, next.stage, weights.weight, who, std::move(reason)});
    }
    void pause(std::string reason, const std::string& who) {
        out_.next.moving.reset();
        out_.next.edit = facts_.edited ? facts_.edit : "";
        step(Phase::kPaused, std::move(reason), who);
    }
    void promote(std::string reason, const std::string& who) {
        out_.next.moving = Wanted{Wanted::What::kWeight, kAll, false};
        step(Phase::kPromoted, std::move(reason), who);
    }
    void abort(std::string reason, const std::string& who) {
        out_.next.moving = Wanted{};
        step(Phase::kAborted, std::move(reason), who);
    }
    // Into a stage; into the promotion when there is none any more.
    void enter(Phase phase, std::size_t stage, std::string reason, const std::string& who) {
        if (phase == Phase::kStage && (stage >= canary_->stages.size() || canary_->stages[stage].weight >= kAll)) {
            return promote(std::move(reason), who);
        }
        out_.next.stage = stage;
        out_.next.moving = wanted(*canary_, phase, stage);
        step(phase, std::move(reason), who);
    }

    // ---- without a command ---------------------------------------------------------------------------------------
    void automatic() {
        if (facts_.edited) {
            return pause(edit_text(state_, facts_.edit), kController);
        }
        if (unsettled()) {
            return;
        }
        if (facts_.present == nullptr) {
            return pause(removed_text(), kController);
        }
        if (facts_.digest != state_.digest) {
            return pause(changed_text(), kController);
        }
        if (facts_.seen && !state_.moving) {
            look();
        }
    }
    void note_edit() {
        const std::string now = facts_.edited ? facts_.edit : "";
        if (now == state_.edit) {
            return;
        }
        out_.next.edit = now;
        if (facts_.edited) {
            step(Phase::kPaused, edit_text(state_, facts_.edit), kController);
        }
    }
    void look() {
        const bool last = facts_.now - state_.since >= hold(*canary_, state_);
        const std::size_t all = looks(*canary_, state_.phase, state_.stage);
        out_.results = judge(*canary_, *facts_.seen, all, last, out_.next.failures);
        if (std::ranges::all_of(out_.next.failures, [](std::uint32_t row) { return row == 0; })) {
            out_.next.failures.clear();  // one way to say none: what did not change is not stored again
        }
        const std::string sample = sample_missing(*canary_, *facts_.seen);
        auto failed = std::ranges::find(out_.results, Verdict::kFail, &GateResult::verdict);
        if (failed != out_.results.end()) {
            return abort(fail_text(*failed), kController);
        }
        if (!last) {
            return;
        }
        const bool missing = out_.results.size() != canary_->gates.size() ||
                             std::ranges::any_of(out_.results, [](const GateResult& result) {
                                 return result.verdict != Verdict::kPass;
                             });
        if (!missing && sample.empty()) {
            const bool mirror = state_.phase == Phase::kMirror;
            return enter(Phase::kStage, mirror ? 0 : state_.stage + 1, pass_text(*canary_, state_, out_.results),
                         kController);
        }
        State& next = out_.next;
        if (!next.data_missing) {
            next.data_missing = facts_.now;
        }
        if (facts_.now - *next.data_missing >= canary_->data_timeout) {
            abort(missing_text(*canary_, out_.results, sample), kController);
        }
    }

    // ---- commands ------------------------------------------------------------------------------------------------
    void refuse(Command command, const std::string& why) { out_.refused = refused_text(command, state_, why); }

    void command(Command command) {
        switch (command) {
            case Command::kStart:
                return start();
            case Command::kPause:
                if (!running(state_.phase)) {
                    return refuse(command, "");
                }
                return pause(by_hand("paused", facts_.message), facts_.who);
            case Command::kResume:
                return resume();
            case Command::kPromote:
            case Command::kAbort: {
                const bool can = running(state_.phase) || state_.phase == Phase::kPaused || unsettled();
                if (!can) {
                    return refuse(command, "");
                }
                out_.next.edit.clear();
                return command == Command::kAbort ? abort(by_hand("aborted", facts_.message), facts_.who)
                                                  : promote(by_hand("promoted", facts_.message), facts_.who);
            }
        }
    }
    void start() {
        const bool ended = state_.phase == Phase::kPromoted || state_.phase == Phase::kAborted;
        if (state_.phase != Phase::kIdle && !ended) {
            return refuse(Command::kStart, "");
        }
        if (unsettled()) {
            return refuse(Command::kStart, "its last weights are not in force yet");
        }
        if (!canary_->mirror && !stage_from(*canary_, 0)) {
            return refuse(Command::kStart, "it has no stage below 100 that a gate could judge");
        }
        State fresh;
        fresh.phase = state_.phase;
        fresh.digest = facts_.digest;
        out_.next = std::move(fresh);
        out_.adopt = true;
        enter(canary_->mirror ? Phase::kMirror : Phase::kStage, 0, by_hand("started", facts_.message), facts_.who);
    }
    void resume() {
        if (state_.phase != Phase::kPaused) {
            return refuse(Command::kResume, "");
        }
        if (facts_.present == nullptr) {
            return refuse(Command::kResume, "the Canary object was removed: put it back first");
        }
        Phase phase = state_.paused_from;
        std::size_t stage = state_.stage;
        if (facts_.digest != state_.digest) {
            if (!same_target(*canary_, *facts_.present)) {
                return refuse(Command::kResume,
                              "the Canary object moves another host, route or version now: abort, then start it");
            }
            const std::uint32_t weight = phase == Phase::kStage ? canary_->stages[stage].weight : 0;
            const auto nearest = stage_from(*facts_.present, weight);
            phase = phase == Phase::kMirror && facts_.present->mirror ? Phase::kMirror : Phase::kStage;
            if (phase == Phase::kStage && !nearest) {
                return refuse(Command::kResume, "the Canary object has no stage below 100 any more");
            }
            stage = phase == Phase::kStage ? *nearest : 0;
            canary_ = facts_.present;
            out_.next.digest = facts_.digest;
            out_.adopt = true;
        }
        out_.next.edit.clear();
        enter(phase, stage, by_hand("resumed", facts_.message), facts_.who);
    }

    const config::Canary* canary_;
    const State& state_;
    const Facts& facts_;
    Decision out_;
};

}  // namespace

const char* phase_name(Phase phase) {
    constexpr std::array kNames{"idle", "mirror", "stage", "paused", "promoted", "aborted"};
    return kNames[static_cast<std::size_t>(phase)];
}

bool running(Phase phase) {
    return phase == Phase::kMirror || phase == Phase::kStage;
}

const char* command_name(Command command) {
    constexpr std::array kNames{"start", "pause", "resume", "promote", "abort"};
    return kNames[static_cast<std::size_t>(command)];
}

std::optional<Command> command_of(const std::string& name) {
    for (const Command command :
         {Command::kStart, Command::kPause, Command::kResume, Command::kPromote, Command::kAbort}) {
        if (name == command_name(command)) {
            return command;
        }
    }
    return std::nullopt;
}

Decision advance(const config::Canary& canary, const State& state, const Facts& facts) {
    return Advance(canary, state, facts).run();
}

State arrived(State state, Time now) {
    state.in_force = state.moving.value_or(state.in_force);
    state.moving.reset();
    state.since = now;
    return state;
}

std::chrono::nanoseconds hold(const config::Canary& canary, const State& state) {
    const Phase phase = running(state.phase) ? state.phase : state.paused_from;
    if (phase == Phase::kMirror && canary.mirror) {
        return canary.mirror->hold;
    }
    const bool staged = phase == Phase::kStage && state.stage < canary.stages.size();
    return staged ? canary.stages[state.stage].hold : std::chrono::nanoseconds(0);
}

std::size_t looks(const config::Canary& canary, Phase phase, std::size_t stage) {
    State state;
    state.phase = phase;
    state.stage = stage;
    return std::max<std::size_t>(rounded_up(hold(canary, state), canary.interval), 1);
}

Wanted wanted(const config::Canary& canary, Phase phase, std::size_t stage) {
    if (phase == Phase::kMirror) {
        return {Wanted::What::kMirror, 0, false};
    }
    if (phase != Phase::kStage || stage >= canary.stages.size()) {
        return {};
    }
    return {Wanted::What::kWeight, canary.stages[stage].weight, !canary.internal.empty()};
}

}  // namespace sluice::rollout
