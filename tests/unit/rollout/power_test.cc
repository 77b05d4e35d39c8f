// Whole canaries, simulated: equal versions are rolled back no more often than stated, worse ones as often as computed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "draws.h"
#include "rollout/gates.h"

namespace sluice::rollout {
namespace {

constexpr double kErrors = 0.001;

const Lognormal& usual() {
    static const Lognormal shape(0.05, 0.5);
    return shape;
}

std::uint64_t rolled_back(const config::Canary& canary, const Version& champion, const Version& challenger,
                          std::uint64_t canaries, std::uint64_t requests, std::uint64_t seed) {
    Draws draws(seed);
    std::uint64_t back = 0;
    for (std::uint64_t i = 0; i < canaries; ++i) {
        const Outcome outcome = play(canary, champion, challenger, requests, draws);
        EXPECT_NE(outcome, Outcome::kNoData);
        back += outcome == Outcome::kRolledBack;
    }
    std::printf("%d of %d canaries were rolled back\n", static_cast<int>(back), static_cast<int>(canaries));
    return back;
}

TEST(Power, OfTwoThousandCanariesOfEqualVersionsNoMoreThanStatedAreRolledBack) {
    const config::Canary canary = usual_canary(0.005, 0.1);
    const Version version{&usual(), 1, kErrors};
    const std::uint64_t back = rolled_back(canary, version, version, times(2000), 3000, 21);
    expect_at_most(back, times(2000), 1 - canary.confidence, "wrong rollbacks");
}

TEST(Power, EvenWithoutMarginNoMoreThanStatedAreRolledBack) {
    // Nothing more allowed: equal versions are at the very border, where tests err most.
    const config::Canary canary = usual_canary(0, 0);
    const Version version{&usual(), 1, 0.01};
    const std::uint64_t back = rolled_back(canary, version, version, times(1000), 3000, 22);
    expect_at_most(back, times(1000), 1 - canary.confidence, "wrong rollbacks");
    expect_at_least(back, times(1000), 0.002, "wrong rollbacks");
}

TEST(Power, VersionsAtTheMarginAreRolledBackNoMoreThanStated) {
    const config::Canary canary = usual_canary(0.005, 0.1);
    const Version champion{&usual(), 1, kErrors};
    const Version challenger{&usual(), 1.1, kErrors + 0.005};
    const std::uint64_t back = rolled_back(canary, champion, challenger, times(300), 3000, 23);
    expect_at_most(back, times(300), 1 - canary.confidence, "wrong rollbacks");
}

TEST(Power, BadChallengersAreRolledBack) {
    const config::Canary canary = usual_canary(0.005, 0.1);
    const Version champion{&usual(), 1, kErrors};
    const Version failing{&usual(), 1, kErrors + 0.02};
    const Version slow{&usual(), 1.5, kErrors};
    EXPECT_GE(rolled_back(canary, champion, failing, times(100), 8000, 24), times(98));
    EXPECT_GE(rolled_back(canary, champion, slow, times(100), 8000, 25), times(98));
}

// What powers() computes of the first stage's last look is what happens. The bound: four deviations of the simulated
// rate, and a point for the plan's own roughness (quadrature, and quantiles of a sample of the champion).
void agrees(double computed, std::uint64_t failed, std::uint64_t draws, const char* what) {
    const double rate = static_cast<double>(failed) / static_cast<double>(draws);
    const double deviation = std::sqrt(std::max(computed * (1 - computed), 1e-4) / static_cast<double>(draws));
    EXPECT_NEAR(rate, computed, 4 * deviation + 0.01) << what;
    EXPECT_GT(computed, 0.1) << what << ": says little";
    EXPECT_LT(computed, 0.99) << what << ": says little";
}

GateResult power_of(const config::Canary& canary, const Seen& seen) {
    const std::vector<GateResult> results = powers(canary, seen, 6);
    EXPECT_EQ(results.size(), 1);
    EXPECT_TRUE(results[0].power.has_value());
    return results[0];
}

void errors_agree(std::optional<double> max, std::optional<double> regression, std::uint64_t champion,
                  std::uint64_t challenger) {
    config::Canary canary = usual_canary(0, 0);
    canary.gates.pop_back();
    canary.gates[0].max = max;
    canary.gates[0].regression = regression;
    canary.minimum_requests = challenger;
    Seen now;
    now.champion_errors =
        Errors{champion * 1000, static_cast<std::uint64_t>(kErrors * 1000 * static_cast<double>(champion))};
    now.challenger_errors = Errors{challenger * 1000, 0};
    const double computed = *power_of(canary, now).power;
    Draws draws(31);
    FailuresInARow failures;
    constexpr std::uint64_t kDraws = times(3000);
    std::uint64_t failed = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        Seen seen;
        seen.champion_errors = Errors{champion, draws.binomial(champion, kErrors)};
        seen.challenger_errors = Errors{challenger, draws.binomial(challenger, kErrors + kMoreErrors)};
        failed += judge(canary, seen, 6, true, failures)[0].verdict == Verdict::kFail;
    }
    agrees(computed, failed, kDraws, "errors");
}

TEST(Power, AgainstTwoPercentOfErrorsIsAsComputed) {
    errors_agree(std::nullopt, 0.005, 9500, 500);
    errors_agree(std::nullopt, 0.005, 500, 500);
    errors_agree(std::nullopt, 0, 4500, 250);
    errors_agree(0.01, std::nullopt, 1000, 1000);
}

void latency_agrees(double q, std::optional<double> max, std::optional<double> regression, std::uint64_t champion,
                    std::uint64_t challenger) {
    config::Canary canary = usual_canary(0, 0);
    canary.gates.erase(canary.gates.begin());
    canary.gates[0].quantile = q;
    canary.gates[0].max = max;
    canary.gates[0].regression = regression;
    canary.minimum_requests = challenger;
    Draws draws(32);
    const Version version{&usual(), 1, 0}, worse{&usual(), kWorseLatency, 0};
    Seen now;
    Errors ignored;
    // The champion's distribution is known well, and the ratio of the two as in the test.
    Durations many(400'000), few(400'000 * challenger / champion);
    for (std::uint64_t i = 0; i < 400'000; ++i) {
        version.serve(draws, ignored, many);
    }
    for (std::uint64_t i = 0; i < 400'000 * challenger / champion; ++i) {
        few.add(1);
    }
    now.champion_durations = many;
    now.challenger_durations = few;
    const double computed = *power_of(canary, now).power;
    FailuresInARow failures;
    const std::uint64_t all = times(std::clamp<std::uint64_t>(6'000'000 / (champion + challenger), 600, 4000));
    std::uint64_t failed = 0;
    for (std::uint64_t i = 0; i < all; ++i) {
        Seen seen;
        seen.champion_durations = seen.challenger_durations = Durations();
        for (std::uint64_t j = 0; j < champion; ++j) {
            version.serve(draws, ignored, *seen.champion_durations);
        }
        for (std::uint64_t j = 0; j < challenger; ++j) {
            worse.serve(draws, ignored, *seen.challenger_durations);
        }
        failed += judge(canary, seen, 6, true, failures)[0].verdict == Verdict::kFail;
    }
    agrees(computed, failed, all, "latency");
}

TEST(Power, AgainstATwentyPercentWorseQuantileIsAsComputed) {
    latency_agrees(0.99, std::nullopt, 0.1, 8000, 8000);
    latency_agrees(0.99, std::nullopt, 0, 9500, 1000);
    latency_agrees(0.9, std::nullopt, 0, 300, 300);
    latency_agrees(0.5, std::nullopt, 0.1, 2000, 400);
    latency_agrees(0.99, 0.16, std::nullopt, 800, 800);
}

// Lognormal latencies of 50 ms and sigma 0.5, times `factor`, as a histogram counts them.
Durations in_istios_buckets(Draws& draws, std::uint64_t n, double factor) {
    const std::vector<double> bounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1};
    std::vector<std::uint64_t> counts;
    double left_share = 1;
    for (const double bound : bounds) {
        const double above = std::erfc(std::log(bound / (0.05 * factor)) / 0.5 / std::sqrt(2.0)) / 2;
        const std::uint64_t here = draws.binomial(n, std::clamp(1 - above / left_share, 0.0, 1.0));
        counts.push_back(here);
        n -= here;
        left_share = above;
    }
    counts.push_back(n);
    return Durations::buckets(bounds, counts);
}

TEST(Power, InBucketsNoMoreIsPromisedThanHappens) {
    config::Canary canary = usual_canary(0, 0);
    canary.gates.erase(canary.gates.begin());
    canary.minimum_requests = 8000;
    Draws draws(33);
    Seen now;
    now.champion_durations = in_istios_buckets(draws, 1'900'000, 1);
    now.challenger_durations = in_istios_buckets(draws, 100'000, 1);
    const double computed = *power_of(canary, now).power;
    FailuresInARow failures;
    constexpr int kDraws = 2000;
    int failed = 0;
    for (int i = 0; i < kDraws; ++i) {
        Seen seen;
        seen.champion_durations = in_istios_buckets(draws, 19 * canary.minimum_requests, 1);
        seen.challenger_durations = in_istios_buckets(draws, canary.minimum_requests, kWorseLatency);
        failed += judge(canary, seen, 6, true, failures)[0].verdict == Verdict::kFail;
    }
    // Between the bounds at 100 and 250 ms the tail is guessed, here a fifth too low.
    const double rate = failed / double{kDraws};
    EXPECT_LE(computed, rate + 0.03);
    EXPECT_GE(computed, rate - 0.4);
    EXPECT_LT(rate, 0.95);
}

TEST(Power, IsSaidInWords) {
    config::Canary canary = usual_canary(0.005, 0.1);
    canary.minimum_requests = 500;
    config::Gate& hook = canary.gates.emplace_back();
    hook.kind = config::Gate::Kind::kWebhook;
    Seen seen;
    std::vector<GateResult> results = powers(canary, seen, 6);
    ASSERT_EQ(results.size(), 2);
    for (const GateResult& result : results) {
        EXPECT_EQ(result.verdict, Verdict::kNoData);
        EXPECT_FALSE(result.power);
        EXPECT_EQ(result.text, "no data of the champion");
    }
    seen.champion_errors = Errors{1900, 2};
    seen.challenger_errors = Errors{100, 0};
    seen.champion_durations = Durations::buckets({0.1, 0.11, 0.12, 0.2}, {1700, 100, 90, 9, 1});
    results = powers(canary, seen, 6);
    EXPECT_EQ(results[0].champion_sample, 9500);
    EXPECT_NE(results[0].text.find("finds errors of 2.11% instead of 0.105% with a chance of "), std::string::npos)
        << results[0].text;
    EXPECT_NE(results[0].text.find(" in a stage of 500 requests (9500 of the champion)"), std::string::npos);
    EXPECT_EQ(results[1].champion_sample, 500) << "no durations of the challenger yet";
    EXPECT_NE(results[1].text.find("finds a p99 that is 20% worse with a chance of "), std::string::npos)
        << results[1].text;
}

}  // namespace
}  // namespace sluice::rollout
