#include "rollout/machine_text.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace sluice::rollout {

namespace {

// What a person may do now.
const char* allowed(const State& state) {
    switch (state.phase) {
        case Phase::kIdle:
            return "start";
        case Phase::kMirror:
        case Phase::kStage:
            return "pause, promote, abort";
        case Phase::kPaused:
            return "resume, promote, abort";
        case Phase::kPromoted:
        case Phase::kAborted:
            break;
    }
    return state.moving ? "promote, abort" : "start";
}

std::string gate_text(const GateResult& result) {
    return result.text.empty() ? result.gate : result.gate + ": " + result.text;
}

}  // namespace

std::string duration_text(std::chrono::nanoseconds duration) {
    using namespace std::chrono;
    if (duration.count() == 0) {
        return "0s";
    }
    constexpr std::array<std::pair<nanoseconds, const char*>, 3> kUnits{
        {{hours(1), "h"}, {minutes(1), "m"}, {seconds(1), "s"}}};
    std::string out;
    for (const auto& [unit, name] : kUnits) {
        if (duration >= unit) {
            out += std::to_string(duration / unit) + name;
            duration %= unit;
        }
    }
    if (duration.count() != 0) {
        out += fmt::format("{}ms", duration_cast<nanoseconds>(duration).count() / 1e6);
    }
    return out;
}

std::string where_text(const config::Canary& canary, const State& state) {
    const Phase phase = running(state.phase) ? state.phase : state.paused_from;
    if (phase == Phase::kMirror) {
        return "mirror";
    }
    if (phase != Phase::kStage || state.stage >= canary.stages.size()) {
        return phase_name(state.phase);
    }
    return fmt::format("stage {} of {} ({}%)", state.stage + 1, canary.stages.size(),
                       canary.stages[state.stage].weight);
}

std::string by_hand(const std::string& what, const std::string& message) {
    return message.empty() ? what + " by hand" : what + " by hand: " + message;
}

std::string edit_text(const State& state, const std::string& edit) {
    std::string out = "the weights were changed by others: " + edit;
    if (state.moving && state.phase == Phase::kAborted) {
        out += "; it was about to go back (" + state.reason + ")";
    }
    return out;
}

std::string removed_text() {
    return "the Canary object was removed: the weights stay as they are; promote or abort it, or put the object back";
}

std::string changed_text() {
    return "the Canary object was changed: resume goes on with the new one";
}

std::string pass_text(const config::Canary& canary, const State& state, const std::vector<GateResult>& results) {
    std::string out =
        fmt::format("{} held for {}, every gate passes", where_text(canary, state), duration_text(hold(canary, state)));
    const char* separator = ": ";
    for (const GateResult& result : results) {
        out += separator + gate_text(result);
        separator = "; ";
    }
    return out;
}

std::string fail_text(const GateResult& failed) {
    return "gate fails: " + gate_text(failed);
}

std::string missing_text(const config::Canary& canary, const std::vector<GateResult>& results,
                         const std::string& sample) {
    std::string out = fmt::format("no data for {} after the hold", duration_text(canary.data_timeout));
    const char* separator = ": ";
    auto add = [&](const std::string& text) {
        out += separator + text;
        separator = "; ";
    };
    for (const GateResult& result : results) {
        if (result.verdict != Verdict::kPass) {
            add(gate_text(result));
        }
    }
    if (!sample.empty()) {
        add(sample);
    }
    return out;
}

std::string sample_missing(const config::Canary& canary, const Seen& seen) {
    const bool counted = std::ranges::any_of(canary.gates, [](const config::Gate& gate) {
        return gate.kind == config::Gate::Kind::kErrorRate || gate.kind == config::Gate::Kind::kLatency;
    });
    if (counted || canary.minimum_requests == 0) {
        return "";
    }
    if (!seen.challenger_errors) {
        return "the challenger's requests could not be counted";
    }
    if (seen.challenger_errors->requests >= canary.minimum_requests) {
        return "";
    }
    return fmt::format("the challenger had {} requests, {} are the minimum", seen.challenger_errors->requests,
                       canary.minimum_requests);
}

std::string refused_text(Command command, const State& state, const std::string& why) {
    std::string out = fmt::format("cannot {}: the canary is {}", command_name(command), phase_name(state.phase));
    if (!why.empty()) {
        out += ", and " + why;
    }
    out += fmt::format("; now allowed: {}", allowed(state));
    if (state.phase == Phase::kPromoted && !state.moving && command == Command::kAbort) {
        out += " (sluice rollback goes back to an earlier generation)";
    }
    return out;
}

}  // namespace sluice::rollout
