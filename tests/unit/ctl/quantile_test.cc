#include "ctl/quantile.h"

#include <gtest/gtest.h>

#include <array>

#include "sluice/abi/http.h"

namespace sluice::ctl {
namespace {

using Counts = std::array<std::uint64_t, SL_HISTOGRAM_BUCKETS>;

TEST(Quantile, NothingCountedHasNone) {
    EXPECT_FALSE(quantile_ms(Counts{}, 0.5));
    EXPECT_FALSE(quantile_ms(std::array<std::uint64_t, 3>{1, 1, 1}, 0.5));
}

// Expected values as Prometheus' histogram_quantile() gives for the same buckets.
TEST(Quantile, IsLinearWithinTheBucket) {
    Counts counts{};
    counts[3] = 100;  // (5, 10] ms
    EXPECT_DOUBLE_EQ(*quantile_ms(counts, 0.5), 7.5);
    EXPECT_DOUBLE_EQ(*quantile_ms(counts, 0.99), 9.95);
    EXPECT_DOUBLE_EQ(*quantile_ms(counts, 1), 10);
}

TEST(Quantile, TheFirstBucketBeginsAtZero) {
    Counts counts{};
    counts[0] = 4;  // up to 0.5 ms
    EXPECT_DOUBLE_EQ(*quantile_ms(counts, 0.5), 0.25);
}

TEST(Quantile, GoesOnIntoTheBucketWhereTheRankFalls) {
    Counts counts{};
    counts[1] = 90;  // (0.5, 1]
    counts[6] = 10;  // (50, 100]
    EXPECT_DOUBLE_EQ(*quantile_ms(counts, 0.5), 0.5 + 0.5 * 50 / 90);
    EXPECT_DOUBLE_EQ(*quantile_ms(counts, 0.9), 1);
    EXPECT_DOUBLE_EQ(*quantile_ms(counts, 0.95), 75);
    EXPECT_NEAR(*quantile_ms(counts, 0.99), 95, 1e-9);
}

TEST(Quantile, AboveTheHighestBoundIsThatBound) {
    Counts counts{};
    counts[SL_HISTOGRAM_BUCKETS - 1] = 1;
    EXPECT_DOUBLE_EQ(*quantile_ms(counts, 0.5), 3'600'000);
}

}  // namespace
}  // namespace sluice::ctl
