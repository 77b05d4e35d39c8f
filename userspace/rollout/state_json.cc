#include "rollout/state_json.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

namespace sluice::rollout {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kPhases{Phase::kIdle,   Phase::kMirror,   Phase::kStage,
                             Phase::kPaused, Phase::kPromoted, Phase::kAborted};
constexpr std::array<std::string_view, 3> kWhats{"former", "mirror", "weight"};

std::optional<Phase> phase_of(const std::string& name) {
    for (const Phase phase : kPhases) {
        if (name == phase_name(phase)) {
            return phase;
        }
    }
    return std::nullopt;
}

std::int64_t nanoseconds(Time time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}
Time time_of(std::int64_t since) {
    return Time(std::chrono::duration_cast<Time::duration>(std::chrono::nanoseconds(since)));
}

Json json(const Wanted& wanted) {
    return {{"what", kWhats[static_cast<std::size_t>(wanted.what)]},
            {"weight", wanted.weight},
            {"internal", wanted.internal}};
}
Wanted wanted_of(const Json& value) {
    Wanted out;
    const auto what = std::ranges::find(kWhats, value.at("what").get<std::string>());
    if (what == kWhats.end()) {
        throw Json::other_error::create(501, "unknown weights", &value);
    }
    out.what = static_cast<Wanted::What>(what - kWhats.begin());
    out.weight = value.value("weight", 0u);
    out.internal = value.value("internal", false);
    return out;
}

Json json(const Part& part) {
    Json out{{"mirrored", part.mirrored}, {"internal", part.internal}};
    if (part.champion) {
        out["champion"] = *part.champion;
    }
    if (part.challenger) {
        out["challenger"] = *part.challenger;
    }
    return out;
}
Part part_of(const Json& value) {
    auto weight = [&](const char* name) {
        return value.contains(name) ? std::optional(value.at(name).get<std::uint32_t>()) : std::nullopt;
    };
    return {weight("champion"), weight("challenger"), value.value("mirrored", false), value.value("internal", false)};
}

State read(const Json& value) {
    State out;
    const auto phase = phase_of(value.at("phase").get<std::string>());
    const auto from = phase_of(value.value("paused_from", std::string("idle")));
    if (!phase || !from) {
        throw Json::other_error::create(501, "unknown phase", &value);
    }
    out.phase = *phase;
    out.paused_from = *from;
    out.stage = value.value("stage", std::size_t{0});
    if (value.contains("moving")) {
        out.moving = wanted_of(value.at("moving"));
    }
    if (value.contains("in_force")) {
        out.in_force = wanted_of(value.at("in_force"));
    }
    out.since = time_of(value.value("since_ns", std::int64_t{0}));
    if (value.contains("data_missing_ns")) {
        out.data_missing = time_of(value.at("data_missing_ns").get<std::int64_t>());
    }
    out.failures = value.value("failures", FailuresInARow());
    out.part = part_of(value.value("part", Json::object()));
    out.digest = value.value("digest", std::uint64_t{0});
    for (const auto& [name, text] : {std::pair{"reason", &out.reason},
                                     {"who", &out.who},
                                     {"edit", &out.edit},
                                     {"spec", &out.spec},
                                     {"former", &out.former},
                                     {"written", &out.written},
                                     {"writing", &out.writing}}) {
        *text = value.value(name, std::string());
    }
    return out;
}

}  // namespace

std::string to_json(const State& state) {
    Json out{{"phase", phase_name(state.phase)},
             {"paused_from", phase_name(state.paused_from)},
             {"stage", state.stage},
             {"in_force", json(state.in_force)},
             {"since_ns", nanoseconds(state.since)},
             {"failures", state.failures},
             {"part", json(state.part)},
             {"digest", state.digest},
             {"reason", state.reason},
             {"who", state.who},
             {"edit", state.edit},
             {"spec", state.spec},
             {"former", state.former},
             {"written", state.written},
             {"writing", state.writing}};
    if (state.moving) {
        out["moving"] = json(*state.moving);
    }
    if (state.data_missing) {
        out["data_missing_ns"] = nanoseconds(*state.data_missing);
    }
    // Reasons hold what servers answered: bytes that are no UTF-8 are replaced, not refused.
    return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<State> from_json(const std::string& text) {
    try {
        return read(Json::parse(text));
    } catch (const Json::exception& problem) {
        return fail(std::string("the stored state of a canary cannot be read: ") + problem.what());
    }
}

state::CanaryStep to_row(const Step& step) {
    return {step.time, phase_name(step.from), phase_name(step.to), step.stage, step.weight, step.who, step.reason};
}

Step from_row(const state::CanaryStep& row) {
    return {row.time,
            phase_of(row.from).value_or(Phase::kIdle),
            phase_of(row.to).value_or(Phase::kIdle),
            row.stage,
            row.weight,
            row.who,
            row.reason};
}

}  // namespace sluice::rollout
