// Durations: what is kept, and what can be said when only buckets are known.
#include <algorithm>
#include <cmath>
#include <limits>

#include "draws.h"
#include "rollout/statistics.h"

namespace sluice::rollout {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(StatisticsDurations, DurationsThatAreNoneCountForNothing) {
    Durations durations;
    durations.add(kNan);
    EXPECT_EQ(durations.offered(), 0);
    durations.add(-1);
    EXPECT_EQ(durations.quantile(0.5), 0);
    durations.add(kInfinity);
    EXPECT_EQ(durations.count(), 2);
    EXPECT_EQ(durations.above(1e300).count, 1);
    EXPECT_EQ(durations.quantile(0.99), kInfinity);
    // A champion whose control is infinite allows all.
    EXPECT_EQ(latency_regression_p(durations, durations, 0.99, {0.1}), 1);
}

TEST(StatisticsDurations, TheReservoirIsASampleOfAll) {
    // Of 0..99,999 the kept 1,000 lie evenly, whatever came first and however often it is asked in between.
    Durations durations(1000, 3);
    for (int i = 0; i < 100'000; ++i) {
        durations.add(i);
        if (i % 1000 == 999) {
            durations.quantile(0.3);
        }
    }
    EXPECT_EQ(durations.count(), 1000);
    EXPECT_EQ(durations.offered(), 100'000);
    for (const double q : {0.1, 0.5, 0.9}) {
        // The share below is binomial: 4 deviations.
        EXPECT_NEAR(*durations.quantile(q), q * 100'000, 4 * 100'000 * std::sqrt(q * (1 - q) / 1000)) << q;
    }
}

TEST(StatisticsDurations, BucketsAnswerAsHistogramQuantile) {
    const Durations buckets = Durations::buckets({0.1, 0.2, 0.5}, {50, 30, 10, 10});
    EXPECT_EQ(buckets.count(), 100);
    EXPECT_NEAR(*buckets.quantile(0.5), 0.1, 1e-12);
    EXPECT_NEAR(*buckets.quantile(0.65), 0.15, 1e-12);
    EXPECT_NEAR(*buckets.quantile(0.99), 0.5, 1e-12) << "the last finite bound";
    EXPECT_EQ(buckets.control(0.65)->seconds, 0.2);
    EXPECT_EQ(buckets.control(0.99)->seconds, kInfinity);
    EXPECT_EQ(buckets.above(0.15).count, 20);
    EXPECT_EQ(buckets.above(0.15).bound, 0.2);
    EXPECT_EQ(buckets.above(0.2).count, 20);
    EXPECT_EQ(buckets.above(0.6).count, 0);
    EXPECT_NEAR(buckets.share_above(0.05), 0.75, 1e-12);
    EXPECT_NEAR(buckets.share_above(0.2), 0.2, 1e-12);
    EXPECT_NEAR(buckets.share_above(std::sqrt(0.1 * 0.2)), std::sqrt(0.5 * 0.2), 1e-12);
    EXPECT_NEAR(buckets.share_above(0.6), 0, 1e-12);
    EXPECT_EQ(Durations::buckets({}, {}).quantile(0.5), std::nullopt);
    EXPECT_EQ(Durations::buckets({0.1}, {0, 0}).quantile(0.5), std::nullopt);
}

Durations in_buckets(const Durations& exact, const std::vector<double>& bounds) {
    std::vector<std::uint64_t> counts;
    std::uint64_t before = exact.count();
    for (const double bound : bounds) {
        counts.push_back(before - exact.above(bound).count);
        before -= counts.back();
    }
    counts.push_back(before);
    return Durations::buckets(bounds, counts);
}

// The same without the exact ones in between.
Durations sample_in(const std::vector<double>& bounds, Draws& draws, const Lognormal& shape, std::uint64_t n,
                    double factor) {
    std::vector<std::uint64_t> counts(bounds.size() + 1);
    for (std::uint64_t i = 0; i < n; ++i) {
        const double value = shape(draws) * factor;
        ++counts[static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin())];
    }
    return Durations::buckets(bounds, counts);
}

std::vector<double> growing(double first, double factor, double last) {
    std::vector<double> bounds;
    for (double bound = first; bound < last; bound *= factor) {
        bounds.push_back(bound);
    }
    return bounds;
}

TEST(StatisticsDurations, LatencyRegressionHoldsItsLevelInBuckets) {
    // Coarse ones, fine ones, and some with a bound just where the quantile is: there the choice of the bucket is open.
    const Lognormal shape(0.05, 0.5);
    Draws draws(17);
    constexpr std::uint64_t kDraws = times(1500);
    const double p90 = 0.05 * std::exp(0.5 * 1.2816);
    for (const double step : {2.0, 1.2, 1.02}) {
        const std::vector<double> bounds = growing(p90 / std::pow(step, std::floor(3 / std::log(step))), step, 2);
        for (const double factor : {1.0, 1.1}) {
            std::uint64_t rejected = 0;
            for (std::uint64_t i = 0; i < kDraws; ++i) {
                const Durations champion = sample_in(bounds, draws, shape, 400, 1);
                const Durations challenger = sample_in(bounds, draws, shape, 200, factor);
                rejected += latency_regression_p(champion, challenger, 0.9, {factor - 1}) < 0.05;
            }
            expect_at_most(rejected, kDraws, 0.05, "latency regression in buckets");
            if (factor == 1) {
                expect_at_least(rejected, kDraws, 0.005, "latency regression in buckets");
            }
        }
    }
}

TEST(StatisticsDurations, TheChoiceOfTheBucketIsNoAdvantage) {
    // A tenth lies above the first bound, a hundredth above the second: by chance the p90 is in the first bucket or in
    // the second. A large level, where counts are fine enough to show what a choice would gain.
    Draws draws(20);
    constexpr std::uint64_t kDraws = times(20'000);
    std::uint64_t rejected = 0;
    const auto counts = [&](std::uint64_t n) {
        const std::uint64_t above = draws.binomial(n, 0.1);
        const std::uint64_t far = draws.binomial(above, 0.1);
        return Durations::buckets({0.1, 0.2}, {n - above, above - far, far});
    };
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        const Durations champion = counts(4000);
        rejected += latency_regression_p(champion, counts(2000), 0.9, {0}) < 0.2;
    }
    expect_at_most(rejected, kDraws, 0.2, "latency regression in buckets");
}

TEST(StatisticsDurations, BucketsBelowTheQuantileDoNotDecide) {
    // The challenger's middle is slower, its slowest hundredth is not.
    const Durations champion = Durations::buckets({0.1, 0.25}, {9200, 750, 50});
    const Durations challenger = Durations::buckets({0.1, 0.25}, {8000, 1950, 50});
    EXPECT_GT(latency_regression_p(champion, challenger, 0.99, {0}), 0.4);
}

TEST(StatisticsDurations, BucketsAreCountedForTheChallenger) {
    // A bound, and a control in a bucket of the one beside exact durations of the other: p is greater, never smaller.
    const Lognormal shape(0.05, 0.5);
    Draws draws(18);
    const std::vector<double> bounds = growing(0.01, 1.25, 1);
    for (int i = 0; i < 300; ++i) {
        const Durations champion = sample(draws, shape, 1000, 1);
        const Durations challenger = sample(draws, shape, 1000, 1 + 0.01 * i);
        for (const double q : {0.5, 0.9, 0.99}) {
            const double bound = latency_bound_p(challenger, q, 0.11);
            EXPECT_GE(latency_bound_p(in_buckets(challenger, bounds), q, 0.11), bound);
            const double p = latency_regression_p(champion, challenger, q, {0.1});
            EXPECT_GE(latency_regression_p(in_buckets(champion, bounds), challenger, q, {0.1}), p);
            EXPECT_GE(latency_regression_p(champion, in_buckets(challenger, bounds), q, {0.1}), p);
        }
    }
}

TEST(StatisticsDurations, BucketsShowWhatIsMuchWorse) {
    const Lognormal shape(0.05, 0.5);
    Draws draws(19);
    const std::vector<double> bounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1};
    const Durations champion = in_buckets(sample(draws, shape, 10'000, 1), bounds);
    EXPECT_LT(latency_regression_p(champion, in_buckets(sample(draws, shape, 10'000, 1.5), bounds), 0.99, {0}), 1e-4);
    EXPECT_LT(latency_regression_p(champion, in_buckets(sample(draws, shape, 1000, 5), bounds), 0.99, {0.1}), 1e-10);
    // All in the same bucket as the champion's control: nothing can be said.
    EXPECT_EQ(latency_regression_p(champion, Durations::buckets(bounds, {0, 0, 0, 0, 1000, 0, 0}), 0.99, {0.1}), 1);
}

}  // namespace
}  // namespace sluice::rollout
