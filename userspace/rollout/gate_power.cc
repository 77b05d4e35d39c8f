#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "rollout/gate_spend.h"
#include "rollout/gate_text.h"
#include "rollout/gates.h"

namespace sluice::rollout {
namespace {

using config::Gate;

bool is_statistical(const Gate& gate) {
    return gate.kind == Gate::Kind::kErrorRate || gate.kind == Gate::Kind::kLatency;
}

// How many of the champion's there are once the challenger has `wanted`.
std::uint64_t beside(std::uint64_t champion, std::uint64_t challenger, std::uint64_t wanted) {
    if (challenger == 0) {
        return wanted;
    }
    const double ratio = static_cast<double>(champion) / static_cast<double>(challenger);
    return std::max(wanted, static_cast<std::uint64_t>(std::llround(static_cast<double>(wanted) * ratio)));
}

void error_result(const Gate& gate, const Seen& seen, std::uint64_t wanted, GateResult& made) {
    const Errors champion = seen.champion_errors.value_or(Errors{});
    const Errors challenger = seen.challenger_errors.value_or(Errors{});
    if (champion.requests == 0) {
        return;
    }
    const double rate =
        static_cast<double>(std::min(champion.failed, champion.requests)) / static_cast<double>(champion.requests);
    const double worse = std::min(rate + kMoreErrors, 1.0);
    made.champion_sample = beside(champion.requests, challenger.requests, wanted);
    made.champion = rate;
    made.challenger = worse;
    made.power = error_power(champion, wanted, gate.max, gate.regression, worse, *made.level, made.champion_sample);
    made.text = fmt::format("errors of {} instead of {}", percent_text(worse), percent_text(rate));
}

void latency_result(const Gate& gate, const Seen& seen, std::uint64_t wanted, GateResult& made) {
    if (!seen.champion_durations || seen.champion_durations->count() == 0) {
        return;
    }
    const Durations& champion = *seen.champion_durations;
    made.champion_sample =
        beside(champion.offered(), seen.challenger_durations ? seen.challenger_durations->offered() : 0, wanted);
    made.champion = champion.quantile(gate.quantile);
    made.challenger = made.champion ? std::optional(*made.champion * kWorseLatency) : std::nullopt;
    const auto allowed = gate.regression ? std::optional(Allowed{*gate.regression, gate.tolerance}) : std::nullopt;
    made.power = latency_power(champion, wanted, gate.quantile, gate.max, allowed, kWorseLatency, *made.level,
                               made.champion_sample);
    made.text = fmt::format("a {} that is {} worse", quantile_text(gate.quantile), percent_text(kWorseLatency - 1));
}

}  // namespace

Looks spending(const config::Canary& canary, std::size_t looks) {
    std::size_t tests = 0;
    for (const Gate& gate : canary.gates) {
        if (is_statistical(gate)) {
            tests +=
                static_cast<std::size_t>(gate.max.has_value()) + static_cast<std::size_t>(gate.regression.has_value());
        }
    }
    const auto judged = [](const config::Canary::Stage& stage) { return stage.weight < 100; };
    const auto stages = std::count_if(canary.stages.begin(), canary.stages.end(), judged);
    const auto interval = std::max<std::int64_t>(canary.interval.count(), 1);
    const std::int64_t waiting = canary.data_timeout.count() / interval + 1;
    return Looks(canary.confidence, tests, static_cast<std::size_t>(stages) + (canary.mirror ? 1 : 0),
                 looks + static_cast<std::size_t>(waiting));
}

std::vector<GateResult> powers(const config::Canary& canary, const Seen& seen, std::size_t looks) {
    std::vector<GateResult> results;
    for (const Gate& gate : canary.gates) {
        if (!is_statistical(gate)) {
            continue;
        }
        GateResult& made = results.emplace_back();
        made.gate = gate.name;
        made.level = spending(canary, looks).level(true);
        const std::uint64_t wanted = std::max<std::uint64_t>(canary.minimum_requests, 1);
        made.challenger_sample = wanted;
        gate.kind == Gate::Kind::kErrorRate ? error_result(gate, seen, wanted, made)
                                            : latency_result(gate, seen, wanted, made);
        if (!made.power) {
            made.text = "no data of the champion";
            continue;
        }
        made.verdict = Verdict::kPass;
        made.text = fmt::format("finds {} with a chance of {} in a stage of {} requests ({} of the champion)",
                                made.text, percent_text(*made.power), wanted, made.champion_sample);
    }
    return results;
}

}  // namespace sluice::rollout
