#include "admin/canaries.h"

#include <algorithm>
#include <cmath>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "admin/watching.h"

namespace sluice::admin {

namespace {

using rollout::Phase;
using Seconds = std::chrono::duration<double>;

template <typename T>
Json or_null(const std::optional<T>& value) {
    return value ? Json(*value) : Json(nullptr);
}

Json text_or_null(const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

std::string time_text(rollout::Time time) {
    return unix_time_text(std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

double seconds(std::chrono::nanoseconds time) {
    return std::round(Seconds(time).count() * 1000) / 1000;
}

const char* kind_text(config::Gate::Kind kind) {
    switch (kind) {
        case config::Gate::Kind::kErrorRate:
            return "errorRate";
        case config::Gate::Kind::kLatency:
            return "latency";
        case config::Gate::Kind::kQuery:
            return "query";
        case config::Gate::Kind::kWebhook:
            return "webhook";
    }
    return "";
}

Json gates_json(const config::Canary& canary, const std::vector<rollout::GateResult>& gates) {
    Json out = Json::array();
    for (const rollout::GateResult& gate : gates) {
        const auto known = std::ranges::find(canary.gates, gate.gate, &config::Gate::name);
        out.push_back({{"gate", gate.gate},
                       {"kind", known == canary.gates.end() ? Json(nullptr) : Json(kind_text(known->kind))},
                       {"verdict", rollout::verdict_name(gate.verdict)},
                       {"champion", or_null(gate.champion)},
                       {"challenger", or_null(gate.challenger)},
                       {"bound", or_null(gate.bound)},
                       {"p", or_null(gate.p)},
                       {"level", or_null(gate.level)},
                       {"champion_sample", gate.champion_sample},
                       {"challenger_sample", gate.challenger_sample},
                       {"text", gate.text}});
    }
    return out;
}

Json powers_json(const std::vector<rollout::GateResult>& powers) {
    Json out = Json::array();
    for (const rollout::GateResult& power : powers) {
        out.push_back({{"gate", power.gate}, {"power", or_null(power.power)}, {"text", power.text}});
    }
    return out;
}

Json steps_json(const std::vector<rollout::Step>& steps) {
    Json out = Json::array();
    for (const rollout::Step& step : steps) {
        out.push_back({{"time", time_text(step.time)},
                       {"from", rollout::phase_name(step.from)},
                       {"to", rollout::phase_name(step.to)},
                       {"stage", step.to == Phase::kStage ? Json(step.stage + 1) : Json(nullptr)},
                       {"weight", step.weight},
                       {"who", step.who},
                       {"reason", step.reason}});
    }
    return out;
}

std::string without_data(const std::vector<rollout::GateResult>& gates) {
    std::string out;
    for (const rollout::GateResult& gate : gates) {
        if (gate.verdict == rollout::Verdict::kNoData) {
            out += (out.empty() ? "" : ", ") + gate.gate;
        }
    }
    return out;
}

std::string waits_for(const rollout::View& view, const config::Canary& canary,
                      const std::optional<std::chrono::nanoseconds>& left, rollout::Time now) {
    const rollout::State& state = view.state;
    if (!view.held_by.empty() && state.phase != Phase::kPromoted && state.phase != Phase::kAborted) {
        return "another controller, which has this service: " + view.held_by;
    }
    switch (state.phase) {
        case Phase::kIdle:
            return "a person: sluice canary start " + view.canary->key.name;
        case Phase::kPaused:
            return "a person: resume, promote or abort";
        case Phase::kPromoted:
        case Phase::kAborted:
            return "nothing: it has ended";
        case Phase::kMirror:
        case Phase::kStage:
            break;
    }
    if (!view.problem.empty()) {
        return "this to end: " + view.problem;
    }
    if (state.moving) {
        return "the rule to be written";
    }
    const std::string missing = without_data(view.gates);
    if (left && left->count() > 0) {
        return fmt::format("its hold, {:.0f} s more{}", Seconds(*left).count(),
                           missing.empty() ? "" : ", and data of " + missing);
    }
    if (state.data_missing) {
        return fmt::format("data of {}; it is aborted in {:.0f} s", missing.empty() ? "its gates" : missing,
                           std::max(0.0, Seconds(*state.data_missing + canary.data_timeout - now).count()));
    }
    return "the next look at its gates";
}

}  // namespace

Json canary_json(const rollout::View& view, std::chrono::system_clock::time_point now) {
    const auto& canary = std::get<config::Canary>(view.canary->spec);
    const rollout::State& state = view.state;
    std::optional<std::chrono::nanoseconds> hold, left;
    if (rollout::running(state.phase)) {
        hold = rollout::hold(canary, state);
        left = std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(state.since + *hold - now));
    }
    const bool in_stage =
        state.phase == Phase::kStage || (state.phase != Phase::kIdle && state.paused_from == Phase::kStage);
    Json out{{"canary", view.canary->key.name},
             {"namespace", view.canary->key.ns},
             {"service", canary.host},
             {"route", text_or_null(canary.route)},
             {"champion", canary.champion},
             {"challenger", canary.challenger},
             {"state", rollout::phase_name(state.phase)},
             {"stage", in_stage ? state.stage + 1 : 0},
             {"stages", canary.stages.size()},
             {"weight", state.in_force.what == rollout::Wanted::What::kWeight ? state.in_force.weight : 0},
             {"since", state.since == rollout::Time() ? Json(nullptr) : Json(time_text(state.since))},
             {"hold_s", hold ? Json(seconds(*hold)) : Json(nullptr)},
             {"hold_left_s", left ? Json(seconds(*left)) : Json(nullptr)},
             {"waits_for", waits_for(view, canary, left, now)},
             {"reason", text_or_null(state.reason)},
             {"who", text_or_null(state.who)},
             {"problem", text_or_null(view.problem)},
             {"held_by", text_or_null(view.held_by)},
             {"in_force", !view.missing},
             {"changing", state.moving.has_value()},
             {"minimum_requests", canary.minimum_requests},
             {"interval_s", seconds(canary.interval)}};
    out["gates"] = gates_json(canary, view.gates);
    out["powers"] = powers_json(view.powers);
    out["steps"] = steps_json(view.steps);
    return out;
}

Json canary_row(const Json& canary) {
    Json out = Json::object();
    for (const char* name : {"canary", "namespace", "service", "champion", "challenger", "state", "stage", "stages",
                             "weight", "hold_left_s", "waits_for"}) {
        out[name] = canary.value(name, Json());
    }
    return out;
}

}  // namespace sluice::admin
