#include "rollout/gates.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "rollout/gate_spend.h"
#include "rollout/gate_text.h"

namespace sluice::rollout {
namespace {

using config::Gate;

// One test of a statistical gate: what it compared, without a verdict.
struct Test {
    std::optional<double> champion, bound;
    double p = 1;
    std::string text;  // what was seen and what is allowed
};

// A statistical gate before its level is known.
struct Measured {
    std::optional<double> champion, challenger;
    std::uint64_t champion_sample = 0, challenger_sample = 0;
    std::string missing;  // why the data do not suffice; empty: they do
    std::vector<Test> tests;
};

std::string missing_text(const char* whose, const char* what, std::uint64_t count, std::uint64_t wanted) {
    if (count > 0 && count >= wanted) {
        return {};
    }
    return count == 0 ? fmt::format("no {} of the {} seen", what, whose)
                      : fmt::format("only {} of {} {} of the {} seen", count, wanted, what, whose);
}

std::optional<double> rate(const Errors& seen) {
    if (seen.requests == 0) {
        return std::nullopt;
    }
    return static_cast<double>(std::min(seen.failed, seen.requests)) / static_cast<double>(seen.requests);
}

Measured measure_errors(const config::Canary& canary, const Gate& gate, const Seen& seen) {
    const Errors champion = seen.champion_errors.value_or(Errors{});
    const Errors challenger = seen.challenger_errors.value_or(Errors{});
    Measured made{rate(champion), rate(challenger), champion.requests, challenger.requests, {}, {}};
    made.missing = missing_text("challenger", "requests", challenger.requests, canary.minimum_requests);
    if (gate.regression && made.missing.empty()) {
        made.missing = missing_text("champion", "requests", champion.requests, canary.minimum_requests);
    }
    if (!made.challenger) {
        return made;
    }
    const std::string failed =
        fmt::format("{} of {} requests failed", percent_text(*made.challenger), challenger.requests);
    if (gate.max) {
        made.tests.push_back({made.champion, gate.max, error_bound_p(challenger, *gate.max),
                              fmt::format("{}, {} allowed", failed, percent_text(*gate.max))});
    }
    if (gate.regression && made.champion) {
        made.tests.push_back({made.champion, *made.champion + *gate.regression,
                              error_regression_p(champion, challenger, *gate.regression),
                              fmt::format("{} against the champion's {} of {}, {:.3g} points more allowed", failed,
                                          percent_text(*made.champion), champion.requests, *gate.regression * 100)});
    }
    return made;
}

Measured measure_latency(const config::Canary& canary, const Gate& gate, const Seen& seen) {
    static const Durations kNone;
    const Durations& champion = seen.champion_durations ? *seen.champion_durations : kNone;
    const Durations& challenger = seen.challenger_durations ? *seen.challenger_durations : kNone;
    const double q = gate.quantile;
    Measured made{champion.quantile(q), challenger.quantile(q), champion.count(), challenger.count(), {}, {}};
    made.missing = missing_text("challenger", "durations", challenger.offered(), canary.minimum_requests);
    if (gate.regression && made.missing.empty()) {
        made.missing = missing_text("champion", "durations", champion.offered(), canary.minimum_requests);
    }
    if (!made.challenger) {
        return made;
    }
    const std::string now = fmt::format("{} {}", quantile_text(q), seconds_text(*made.challenger));
    if (gate.max) {
        made.tests.push_back({made.champion, gate.max, latency_bound_p(challenger, q, *gate.max),
                              fmt::format("{}, {} allowed", now, seconds_text(*gate.max))});
    }
    if (gate.regression && made.champion) {
        const Allowed allowed{*gate.regression, gate.tolerance};
        const double bound = allowed.of(*made.champion);
        const bool tolerated = bound > *made.champion * (1 + *gate.regression);
        made.tests.push_back(
            {made.champion, bound, latency_regression_p(champion, challenger, q, allowed),
             fmt::format("{} against the champion's {}, {} more allowed", now, seconds_text(*made.champion),
                         tolerated ? seconds_text(gate.tolerance) : percent_text(*gate.regression))});
    }
    return made;
}

GateResult conclude(const Measured& measured, double level) {
    GateResult made;
    made.champion = measured.champion;
    made.challenger = measured.challenger;
    made.champion_sample = measured.champion_sample;
    made.challenger_sample = measured.challenger_sample;
    const auto decides = std::min_element(measured.tests.begin(), measured.tests.end(),
                                          [](const Test& a, const Test& b) { return a.p < b.p; });
    if (decides != measured.tests.end()) {
        made.bound = decides->bound;
        made.p = decides->p;
        made.level = level;
        made.text = fmt::format("{}: p = {}, {} {}", decides->text, chance_text(decides->p),
                                decides->p < level ? "below" : "not below", chance_text(level));
    }
    if (made.p && *made.p < level) {
        made.verdict = Verdict::kFail;
    } else if (measured.missing.empty()) {
        made.verdict = Verdict::kPass;
    } else {
        made.text = measured.missing + (made.text.empty() ? "" : "; " + made.text);
    }
    return made;
}

// Of a value that may have failed: whether often enough in a row.
void count_failure(const Gate& gate, bool failed, std::uint32_t& row, GateResult& made) {
    row = failed ? row + 1 : 0;
    if (!failed) {
        made.verdict = Verdict::kPass;
    } else if (row >= gate.failures) {
        made.verdict = Verdict::kFail;
    }
    if (failed && gate.failures > 1) {
        made.text += fmt::format(", for {} of {} looks in a row", std::min(row, gate.failures), gate.failures);
    }
}

std::string because(const std::string& what, const std::string& problem) {
    return problem.empty() ? what : what + ": " + problem;
}

GateResult judge_query(const Gate& gate, const Seen::Asked& asked, std::uint32_t& row) {
    GateResult made;
    made.champion = asked.champion;
    made.challenger = asked.challenger;
    if (!asked.challenger || std::isnan(*asked.challenger)) {
        made.text = because("no value of the challenger", asked.problem);
        return made;
    }
    const double value = *asked.challenger;
    std::string text = fmt::format("{:.6g}", value);
    bool failed = false;
    const auto bound = [&](bool beyond, double at, const std::string& allowed) {
        text += allowed;
        if (beyond || !made.bound) {
            made.bound = at;
        }
        failed = failed || beyond;
    };
    if (gate.max) {
        bound(value > *gate.max, *gate.max, fmt::format(", at most {:.6g} allowed", *gate.max));
    }
    if (gate.min) {
        bound(value < *gate.min, *gate.min, fmt::format(", at least {:.6g} wanted", *gate.min));
    }
    bool compared = true;
    if (gate.regression) {
        compared = asked.champion && std::isfinite(*asked.champion);
        if (compared) {
            const double most = *asked.champion + std::abs(*asked.champion) * *gate.regression;
            bound(value > most, most,
                  fmt::format(" against the champion's {:.6g}, {} more allowed", *asked.champion,
                              percent_text(*gate.regression)));
        }
    }
    made.text = text;
    if (!failed && !compared) {
        made.text = because("no value of the champion", asked.problem);
    } else if (!failed && !std::isfinite(value)) {
        made.text = text + ": not a value to go by";
    } else {
        count_failure(gate, failed, row, made);
    }
    return made;
}

GateResult judge_webhook(const Gate& gate, const Seen::Asked& asked, std::uint32_t& row) {
    GateResult made;
    if (!asked.approved) {
        made.text = because("no answer", asked.problem);
        return made;
    }
    made.text = because(*asked.approved ? "approved" : "not approved", asked.problem);
    count_failure(gate, !*asked.approved, row, made);
    return made;
}

}  // namespace

const char* verdict_name(Verdict verdict) {
    switch (verdict) {
        case Verdict::kPass:
            return "pass";
        case Verdict::kFail:
            return "fail";
        case Verdict::kNoData:
            break;
    }
    return "no data";
}

std::vector<GateResult> judge(const config::Canary& canary, const Seen& seen, std::size_t looks, bool last,
                              FailuresInARow& failures) {
    failures.resize(canary.gates.size());
    std::vector<GateResult> results(canary.gates.size());
    std::vector<std::optional<Measured>> measured(canary.gates.size());
    bool complete = true;
    for (std::size_t i = 0; i < canary.gates.size(); ++i) {
        const Gate& gate = canary.gates[i];
        const Seen::Asked asked = i < seen.asked.size() ? seen.asked[i] : Seen::Asked{};
        switch (gate.kind) {
            case Gate::Kind::kErrorRate:
                measured[i] = measure_errors(canary, gate, seen);
                break;
            case Gate::Kind::kLatency:
                measured[i] = measure_latency(canary, gate, seen);
                break;
            case Gate::Kind::kQuery:
                results[i] = judge_query(gate, asked, failures[i]);
                break;
            case Gate::Kind::kWebhook:
                results[i] = judge_webhook(gate, asked, failures[i]);
                break;
        }
        complete = complete && (measured[i] ? measured[i]->missing.empty() : results[i].verdict != Verdict::kNoData);
    }
    const double level = spending(canary, looks).level(last && complete);
    for (std::size_t i = 0; i < canary.gates.size(); ++i) {
        if (measured[i]) {
            results[i] = conclude(*measured[i], level);
        }
        results[i].gate = canary.gates[i].name;
    }
    return results;
}

}  // namespace sluice::rollout
