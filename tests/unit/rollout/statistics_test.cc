// The tests behind gates: known values, and no more wrong alarms than stated where the challenger is just allowed.
#include "rollout/statistics.h"

#include <chrono>
#include <limits>
#include <map>

#include "draws.h"
#include "rollout/margin.h"

namespace sluice::rollout {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double choose(std::uint64_t n, std::uint64_t k) {
    double made = 1;
    for (std::uint64_t i = 1; i <= k; ++i) {
        made *= static_cast<double>(n - k + i) / static_cast<double>(i);
    }
    return made;
}

TEST(Statistics, BinomialTailsAreExact) {
    EXPECT_NEAR(error_bound_p({10, 3}, 0.1), 0.0701908264, 1e-10);
    EXPECT_NEAR(error_bound_p({3, 3}, 0.5), 0.125, 1e-15);
    EXPECT_EQ(error_bound_p({1000, 0}, 0.01), 1);
    EXPECT_EQ(error_bound_p({10, 1}, 0), 0);
    EXPECT_EQ(error_bound_p({10, 10}, 1), 1);
    for (std::uint64_t k = 0; k <= 30; ++k) {
        double sum = 0;
        for (std::uint64_t x = k; x <= 30; ++x) {
            sum += choose(30, x) * std::pow(0.07, static_cast<double>(x)) * std::pow(0.93, static_cast<double>(30 - x));
        }
        EXPECT_NEAR(binomial_tail(k, 30, 0.07), sum, 1e-13 + sum * 1e-10) << k;
    }
}

TEST(Statistics, WithoutMarginErrorsAreComparedByFishersTest) {
    // Fisher's lady: 3 of 4 against 1 of 4.
    EXPECT_NEAR(error_regression_p({4, 1}, {4, 3}, 0), 17.0 / 70, 1e-14);
    for (std::uint64_t k = 0; k <= 9; ++k) {
        double sum = 0;
        for (std::uint64_t x = k; x <= 9; ++x) {
            sum += choose(12, x) * choose(20, 9 - x) / choose(32, 9);
        }
        EXPECT_NEAR(hypergeometric_tail(k, 12, 20, 9), sum, 1e-13) << k;
    }
    // More drawn than others are: some are marked for sure.
    EXPECT_EQ(hypergeometric_tail(3, 10, 5, 8), 1);
    EXPECT_NEAR(hypergeometric_tail(8, 10, 5, 8), choose(10, 8) / choose(15, 8), 1e-15);
}

// P(K >= k) by the sum over where the control may stand.
double exceedance_sum(std::uint64_t k, std::uint64_t n, std::uint64_t rank, std::uint64_t control) {
    double sum = 0;
    for (std::uint64_t x = k; x <= n; ++x) {
        const std::uint64_t below = n - x;
        sum += choose(rank - 1 + below, below) * choose(control - rank + x, x) / choose(control + n, n);
    }
    return sum;
}

TEST(Statistics, ExceedancesAreBetaBinomial) {
    for (const std::uint64_t rank : {1, 7, 12, 15}) {
        for (std::uint64_t k = 0; k <= 20; ++k) {
            const double sum = exceedance_sum(k, 20, rank, 15);
            EXPECT_NEAR(exceedance_tail(k, 20, rank, 15), sum, 1e-13) << rank << " " << k;
        }
    }
}

// The chance of p < level over all tables, for one pair of rates.
double error_size(std::uint64_t n1, std::uint64_t n2, double margin, double rate, double level,
                  const std::vector<double>& p) {
    double size = 0;
    for (std::uint64_t x1 = 0; x1 <= n1; ++x1) {
        for (std::uint64_t x2 = 0; x2 <= n2; ++x2) {
            if (p[x1 * (n2 + 1) + x2] < level) {
                size += binomial_mass(x1, n1, rate) * binomial_mass(x2, n2, rate + margin);
            }
        }
    }
    return size;
}

TEST(Statistics, ErrorRegressionHoldsItsLevelAtEverySmallCount) {
    struct Case {
        std::uint64_t n1, n2;
        double margin;
    };
    for (const Case& one :
         {Case{40, 12, 0.05}, Case{12, 40, 0.05}, Case{60, 5, 0.005}, Case{25, 25, 0}, Case{8, 8, 0.3}}) {
        std::vector<double> p;
        for (std::uint64_t x1 = 0; x1 <= one.n1; ++x1) {
            for (std::uint64_t x2 = 0; x2 <= one.n2; ++x2) {
                p.push_back(error_regression_p({one.n1, x1}, {one.n2, x2}, one.margin));
            }
        }
        for (const double level : {0.05, 0.003, 0.00003}) {
            double greatest = 0;
            for (double rate = 0; rate <= 1 - one.margin; rate += 0.004) {
                greatest = std::max(greatest, error_size(one.n1, one.n2, one.margin, rate, level, p));
            }
            EXPECT_LE(greatest, level) << one.n1 << " " << one.n2 << " " << one.margin;
            // … and it does not buy that by never rejecting.
            if (one.n2 > 5 && level > 0.001) {
                EXPECT_GE(greatest, level / 20) << one.n1 << " " << one.n2 << " " << one.margin << " " << level;
            }
        }
    }
}

// Calibration by simulation, at the border of what is allowed.
void calibrate_errors(const Errors& sizes, std::uint64_t n2, double rate, double margin, double level) {
    Draws draws(11);
    constexpr std::uint64_t kDraws = times(20'000);
    std::map<std::pair<std::uint64_t, std::uint64_t>, bool> known;
    std::uint64_t rejected = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        const std::uint64_t x1 = draws.binomial(sizes.requests, rate);
        const std::uint64_t x2 = draws.binomial(n2, rate + margin);
        auto [at, fresh] = known.try_emplace({x1, x2});
        if (fresh) {
            at->second = error_regression_p({sizes.requests, x1}, {n2, x2}, margin) < level;
        }
        rejected += at->second;
    }
    expect_at_most(rejected, kDraws, level, "error regression");
    expect_at_least(rejected, kDraws, level / 4, "error regression");
}

TEST(Statistics, ErrorRegressionIsCalibratedAtItsMargin) {
    calibrate_errors({9500, 0}, 500, 0.001, 0.005, 0.01);
    calibrate_errors({500, 0}, 500, 0.001, 0.005, 0.05);
    calibrate_errors({5000, 0}, 5000, 0.02, 0, 0.01);
}

TEST(Statistics, AgainstAChampionThatIsKnownWellTheMarginIsABound) {
    for (const std::uint64_t failed : {6, 9, 12, 15}) {
        const double bound = error_bound_p({500, failed}, 0.006);
        const double p = error_regression_p({100'000'000, 100'000}, {500, failed}, 0.005);
        EXPECT_GE(p, bound * 0.99) << failed;
        EXPECT_LE(p, bound * 1.2 + 2e-9) << failed;
    }
}

TEST(Statistics, ErrorBoundIsCalibratedAtItsBound) {
    Draws draws(12);
    constexpr std::uint64_t kDraws = times(50'000);
    std::uint64_t rejected = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        rejected += error_bound_p({2000, draws.binomial(2000, 0.01)}, 0.01) < 0.01;
    }
    expect_at_most(rejected, kDraws, 0.01, "error bound");
    expect_at_least(rejected, kDraws, 0.005, "error bound");
}

TEST(Statistics, LatencyRegressionIsCalibratedAtItsFactor) {
    const Lognormal shape(0.05, 0.5);
    Draws draws(13);
    constexpr std::uint64_t kDraws = times(4000);
    for (const double q : {0.5, 0.9, 0.99}) {
        std::uint64_t rejected = 0;
        for (std::uint64_t i = 0; i < kDraws; ++i) {
            const Durations champion = sample(draws, shape, 1500, 1);
            const Durations challenger = sample(draws, shape, 600, 1.1);
            rejected += latency_regression_p(champion, challenger, q, {0.1}) < 0.02;
        }
        expect_at_most(rejected, kDraws, 0.02, "latency regression");
        expect_at_least(rejected, kDraws, 0.01, "latency regression");
    }
}

TEST(Statistics, LatencyRegressionToleratesSoManySecondsWhateverPartTheyAre) {
    const Lognormal shape(0.0003, 0.5);
    Draws draws(16);
    constexpr std::uint64_t kDraws = times(2000);
    std::uint64_t rejected = 0, found = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        const Durations champion = sample(draws, shape, 1500, 1);
        const Durations challenger = sample(draws, shape, 600, 1, 0.001);
        rejected += latency_regression_p(champion, challenger, 0.9, {0.1, 0.001}) < 0.02;
        found += latency_regression_p(champion, challenger, 0.9, {0.1}) < 0.02;
    }
    expect_at_most(rejected, kDraws, 0.02, "latency regression with a tolerance");
    expect_at_least(rejected, kDraws, 0.01, "latency regression with a tolerance");
    EXPECT_EQ(found, kDraws) << "four times slower";
    // It is a part or a time, whichever allows more.
    EXPECT_DOUBLE_EQ((Allowed{0.1, 0.001}.of(0.005)), 0.006);
    EXPECT_DOUBLE_EQ((Allowed{0.1, 0.001}.of(0.05)), 0.055);
}

TEST(Statistics, LatencyBoundIsCalibratedAtItsBound) {
    // Of a lognormal the median is exp(mu): the table's may be off a little, so the bound is the table's.
    const Lognormal shape(0.05, 0.5);
    Draws draws(14);
    Draws apart(15);
    const double bound = *sample(apart, shape, 4'000'000 / 40, 1).quantile(0.5);
    constexpr std::uint64_t kDraws = times(4000);
    std::uint64_t rejected = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        rejected += latency_bound_p(sample(draws, shape, 400, 1), 0.5, bound) < 0.02;
    }
    // The bound's own error is 0.0016 of a share, 0.06 deviations of the count: the level is off by a tenth.
    expect_at_most(rejected, kDraws, 0.023, "latency bound");
    expect_at_least(rejected, kDraws, 0.01, "latency bound");
}

TEST(Statistics, TiesCountForTheChallenger) {
    // Servers that sleep for a fixed time: equal to the bound is not above it, whatever rounding makes of 1.05 * 0.011.
    Durations champion, challenger;
    for (int i = 0; i < 1000; ++i) {
        champion.add(11.0 / 1000);
        challenger.add(11.55 / 1000);
    }
    EXPECT_EQ(latency_regression_p(champion, challenger, 0.99, {0.05}), 1);
    EXPECT_EQ(latency_regression_p(champion, champion, 0.5, {0}), 1);
    EXPECT_LT(latency_regression_p(champion, challenger, 0.99, {0.04}), 1e-100);
}

TEST(Statistics, LatencyRegressionHoldsItsLevelWithTies) {
    // Whole steps of 10 ms: most values are shared.
    const Lognormal shape(0.05, 0.5);
    Draws draws(16);
    constexpr std::uint64_t kDraws = times(3000);
    std::uint64_t rejected = 0;
    const auto stepped = [&](std::uint64_t n) {
        Durations made;
        for (std::uint64_t i = 0; i < n; ++i) {
            made.add(std::ceil(shape(draws) * 100) / 100);
        }
        return made;
    };
    for (std::uint64_t i = 0; i < kDraws; ++i) {
        const Durations champion = stepped(800);
        rejected += latency_regression_p(champion, stepped(400), 0.9, {0}) < 0.05;
    }
    expect_at_most(rejected, kDraws, 0.05, "latency regression with ties");
}

TEST(Statistics, WithoutDataNothingIsFound) {
    const Durations none;
    Durations one;
    one.add(1);
    EXPECT_EQ(error_bound_p({0, 0}, 0.01), 1);
    EXPECT_EQ(error_regression_p({0, 0}, {100, 100}, 0.01), 1);
    EXPECT_EQ(error_regression_p({0, 0}, {100, 100}, 0), 1);
    EXPECT_EQ(error_regression_p({100, 0}, {0, 0}, 0.01), 1);
    EXPECT_EQ(error_regression_p({100, 0}, {0, 0}, 0), 1);
    EXPECT_EQ(latency_bound_p(none, 0.99, 0.1), 1);
    EXPECT_EQ(latency_regression_p(none, one, 0.99, {0.1}), 1);
    EXPECT_EQ(latency_regression_p(one, none, 0.99, {0.1}), 1);
    EXPECT_EQ(latency_power(none, 100, 0.99, 0.1, Allowed{0.1}, 1.2, 0.01), 0);
    EXPECT_EQ(error_power({0, 0}, 100, std::nullopt, 0.1, 0.5, 0.01), 0);
}

TEST(Statistics, ExtremeCountsGiveChances) {
    const std::uint64_t counts[] = {0, 1, 2, 1000, 50'000'000};
    for (const std::uint64_t n1 : counts) {
        for (const std::uint64_t n2 : counts) {
            for (const double share1 : {0.0, 0.5, 1.0, 1.5}) {
                for (const double share2 : {0.0, 0.3, 1.0, 1.5}) {
                    for (const double margin : {0.0, 1e-9, 0.1, 0.9999, 1.0, 2.0}) {
                        const Errors champion{n1, static_cast<std::uint64_t>(share1 * static_cast<double>(n1))};
                        const Errors challenger{n2, static_cast<std::uint64_t>(share2 * static_cast<double>(n2))};
                        const double p = error_regression_p(champion, challenger, margin);
                        EXPECT_TRUE(p >= 0 && p <= 1)
                            << n1 << " " << share1 << " " << n2 << " " << share2 << " " << margin;
                        const double bound = error_bound_p(challenger, margin);
                        EXPECT_TRUE(bound >= 0 && bound <= 1) << n2 << " " << share2 << " " << margin;
                    }
                }
            }
        }
    }
    // All of the challenger's fail, none of the champion's.
    EXPECT_LT(error_regression_p({1000, 0}, {30, 30}, 0.005), 1e-8);
    EXPECT_LT(error_regression_p({1000, 0}, {30, 30}, 0), 1e-40);
}

TEST(Statistics, MoreFailuresAreNeverLessEvidence) {
    for (const double margin : {0.0, 0.005, 0.05}) {
        double last = 1;
        for (std::uint64_t failed = 0; failed <= 60; ++failed) {
            const double p = error_regression_p({2000, 4}, {300, failed}, margin);
            // Bounds from above may each be a tenth off.
            EXPECT_LE(p, last * 1.11) << margin << " " << failed;
            last = p;
        }
        EXPECT_LT(last, 1e-8);
    }
}

TEST(Statistics, TheChanceIsSpentOnceOverAllLooks) {
    const Looks looks(0.95, 2, 4, 31);
    const double stage = 0.05 / 8;
    EXPECT_NEAR(looks.level(true), stage / 2, 1e-15);
    EXPECT_NEAR(looks.level(false), stage / 2 / 30, 1e-15);
    EXPECT_NEAR(8 * (looks.level(true) + 30 * looks.level(false)), 0.05, 1e-15);
    EXPECT_NEAR(Looks(0.95, 2, 4, 1).level(true), stage, 1e-15);
    EXPECT_NEAR(Looks(0.9, 0, 0, 0).level(true), 0.1, 1e-15);
}

TEST(Statistics, AHundredThousandDurationsTakeNoTime) {
    double least = kInfinity;
    for (int i = 0; i < 20; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        EXPECT_NEAR(exceedance_tail(50'500, 100'000, 50'001, 100'000), 0.0126726, 1e-6);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        least = std::min(least, took.count());
    }
    EXPECT_LT(least, 1e-3);
}

}  // namespace
}  // namespace sluice::rollout
