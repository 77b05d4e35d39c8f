// What the gates of a canary say of a stage so far. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/canary.h"
#include "rollout/statistics.h"

namespace sluice::rollout {

// What was seen of both versions since the stage began. A value that could not be had is absent, never zero.
struct Seen {
    std::optional<Errors> champion_errors, challenger_errors;
    std::optional<Durations> champion_durations, challenger_durations;
    // One a gate of the canary, in order; only queries and webhooks have one.
    struct Asked {
        std::optional<double> champion, challenger;  // query
        std::optional<bool> approved;                // webhook; absent: no answer
        std::string problem;                         // why a value is absent
    };
    std::vector<Asked> asked;
};

enum class Verdict : std::uint8_t { kPass, kFail, kNoData };
const char* verdict_name(Verdict verdict);  // "pass", "fail", "no data"

// Of one gate. Of a gate with `max` and `regression`, which is two tests, the numbers are those of the test that
// decides.
struct GateResult {
    std::string gate;
    Verdict verdict = Verdict::kNoData;
    std::optional<double> champion, challenger, bound;  // what was compared, in the gate's unit
    std::optional<double> p, level;                     // statistical gates: fail when p < level
    std::uint64_t champion_sample = 0, challenger_sample = 0;
    std::optional<double> power;  // of powers() alone
    std::string text;             // one sentence with the numbers, for people
};

// Counts looks in a row that failed, one a gate, for gates with `failures` over 1. Part of what persists.
using FailuresInARow = std::vector<std::uint32_t>;

// One result a gate, in order. `last`: the hold is over. `looks`: how many the hold has in all. Mirror-only stages
// judge the copies. Pure but for `failures`.
//
// Missing data is never a pass: a test with too few requests (minimum_requests, of the champion too where it compares),
// a value that is absent, NaN or infinite, a webhook without answer are kNoData, unless what is there fails already. So
// is a value that fails, but not yet for `failures` looks in a row; an absent one neither adds to the row nor ends it.
//
// A statistical gate (errorRate, latency) fails when p < level. The level is what Looks leaves of 1 - confidence for
// this look: the large part is spent once a stage, on the look that ends it (the hold is over and no gate is without
// data); all others, those of data_timeout too, share the small part. So the stated chance holds however long data is
// waited for.
std::vector<GateResult> judge(const config::Canary& canary, const Seen& seen, std::size_t looks, bool last,
                              FailuresInARow& failures);

// What powers() asks for: a quantile that is 20% worse, 2 percentage points more errors.
inline constexpr double kWorseLatency = 1.2;
inline constexpr double kMoreErrors = 0.02;

// Of each statistical gate (others have no result): the chance that the look that ends a stage finds a quantile that is
// 20% worse, or 2 percentage points more errors, with minimum_requests of the challenger, as many of the champion as it
// has now for so many of the challenger's (at least minimum_requests), and with what the champion does now. No data of
// the champion: no power, kNoData. Takes some milliseconds.
std::vector<GateResult> powers(const config::Canary& canary, const Seen& seen, std::size_t looks);

}  // namespace sluice::rollout
