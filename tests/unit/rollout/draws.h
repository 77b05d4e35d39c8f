// Simulated versions: latencies and failures by a quick generator with a fixed seed, and what a rate may be by chance.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "rollout/gates.h"
#include "rollout/machine.h"
#include "rollout/tails.h"

namespace sluice::rollout {

// How often a simulation is repeated. It has one thread: ThreadSanitizer only has to see the code once.
constexpr std::uint64_t times(std::uint64_t usual) {
#ifdef __SANITIZE_THREAD__
    return usual / 20;
#else
    return usual;
#endif
}

// By chance a stated level is exceeded by so much once in 10,000 tests.
inline constexpr double kByChance = 1e-4;

// `hits` of `draws` is no evidence of a rate above `level`.
inline void expect_at_most(std::uint64_t hits, std::uint64_t draws, double level, const char* what) {
    EXPECT_GE(binomial_tail(hits, draws, level), kByChance)
        << what << ": " << hits << " of " << draws << ", stated is " << level;
}

// … nor of one below `level`.
inline void expect_at_least(std::uint64_t hits, std::uint64_t draws, double level, const char* what) {
    EXPECT_GE(binomial_tail(draws - hits, draws, 1 - level), kByChance)
        << what << ": " << hits << " of " << draws << ", stated is " << level;
}

// Draws by splitmix64. Latencies are lognormal with the given median and sigma, out of a table of 2^16 quantiles: that
// is continuous enough for every sample here, and a hundred times quicker than exp().
class Draws {
  public:
    explicit Draws(std::uint64_t seed) : state_(seed) {}
    std::uint64_t operator()() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    static constexpr std::uint64_t min() { return 0; }
    static constexpr std::uint64_t max() { return ~std::uint64_t{0}; }
    double uniform() { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
    std::uint64_t binomial(std::uint64_t n, double p) {
        return static_cast<std::uint64_t>(
            std::binomial_distribution<std::int64_t>(static_cast<std::int64_t>(n), p)(*this));
    }

  private:
    std::uint64_t state_;
};

class Lognormal {
  public:
    Lognormal(double median, double sigma) : values_(1 << 16) {
        std::mt19937_64 random(7);
        std::lognormal_distribution<double> shape(std::log(median), sigma);
        for (double& value : values_) {
            value = shape(random);
        }
    }
    // Moved a little off the table, so that values are all different. Takes 40 random bits.
    double operator()(std::uint64_t bits) const {
        return values_[bits & 0xffff] * (1 + 1e-3 * 0x1p-24 * static_cast<double>(bits >> 16 & 0xff'ffff));
    }
    double operator()(Draws& draws) const { return (*this)(draws()); }

  private:
    std::vector<double> values_;
};

// n latencies, each times `factor` and `more` seconds longer.
inline Durations sample(Draws& draws, const Lognormal& shape, std::uint64_t n, double factor, double more = 0) {
    Durations made;
    for (std::uint64_t i = 0; i < n; ++i) {
        made.add(shape(draws) * factor + more);
    }
    return made;
}

// One version: what it takes and how often it fails.
struct Version {
    const Lognormal* latency = nullptr;
    double factor = 1;
    double errors = 0;

    void serve(Draws& draws, Errors& counted, Durations& durations) const {
        const std::uint64_t bits = draws();
        ++counted.requests;
        if (static_cast<double>(bits >> 40) * 0x1p-24 < errors) {
            ++counted.failed;
        } else {
            durations.add((*latency)(bits)*factor);
        }
    }
};

// The source text's canary: 5, 10, 25, 50, 100, and gates for errors and for the p99.
inline config::Canary usual_canary(double errors_more, double latency_more) {
    config::Canary canary;
    for (const std::uint32_t weight : {5, 10, 25, 50, 100}) {
        canary.stages.push_back({weight, weight == 100 ? std::chrono::minutes(0) : std::chrono::minutes(1)});
    }
    config::Gate errors, tail;
    errors.kind = config::Gate::Kind::kErrorRate;
    errors.name = "errors";
    errors.regression = errors_more;
    tail.kind = config::Gate::Kind::kLatency;
    tail.name = "tail";
    tail.regression = latency_more;
    tail.quantile = 0.99;
    canary.gates = {errors, tail};
    canary.minimum_requests = 100;
    canary.data_timeout = std::chrono::seconds(60);
    return canary;
}

enum class Outcome { kPromoted, kRolledBack, kNoData };

// Plays a canary through its machine, against a clock of its own: `requests` of both versions together in the hold of
// each stage, evenly over its looks.
inline Outcome play(const config::Canary& canary, const Version& champion, const Version& challenger,
                    std::uint64_t requests, Draws& draws) {
    Facts facts;
    facts.now = Time(std::chrono::hours(1'000'000));
    facts.present = &canary;
    facts.command = Command::kStart;
    State state = arrived(advance(canary, {}, facts).next, facts.now);
    facts.command.reset();
    Seen none;
    none.champion_errors = none.challenger_errors = Errors{};
    none.champion_durations = none.challenger_durations = Durations();
    facts.seen = none;
    while (running(state.phase)) {
        const std::uint32_t weight = canary.stages[state.stage].weight;
        const std::uint64_t now = requests / looks(canary, state.phase, state.stage);
        Seen& seen = *facts.seen;
        for (std::uint64_t i = 0; i < now; ++i) {
            if (draws.uniform() * 100 < weight) {
                challenger.serve(draws, *seen.challenger_errors, *seen.challenger_durations);
            } else {
                champion.serve(draws, *seen.champion_errors, *seen.champion_durations);
            }
        }
        facts.now += std::chrono::duration_cast<Time::duration>(canary.interval);
        const Decision decision = advance(canary, state, facts);
        state = decision.next;
        if (state.moving) {
            state = arrived(state, facts.now);
            facts.seen = none;
        }
        if (state.phase == Phase::kAborted) {
            const bool failed = std::ranges::any_of(
                decision.results, [](const GateResult& result) { return result.verdict == Verdict::kFail; });
            return failed ? Outcome::kRolledBack : Outcome::kNoData;
        }
    }
    return Outcome::kPromoted;
}

}  // namespace sluice::rollout
