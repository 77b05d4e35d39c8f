// Buckets are Istio's: the first whose bound is not below the value.
#include "bpf/lib/histogram.h"

#include <gtest/gtest.h>

#include <iterator>

namespace sluice::test {
namespace {

constexpr std::uint64_t kBoundsX2[] = {SL_HISTOGRAM_BOUNDS_X2};

std::uint64_t expected(long double value_x2) {
    std::uint64_t bucket = 0;
    while (bucket < std::size(kBoundsX2) && value_x2 > static_cast<long double>(kBoundsX2[bucket])) {
        ++bucket;
    }
    return bucket;
}

TEST(Histogram, BytesFallIntoTheFirstBucketWhoseBoundIsNotBelow) {
    EXPECT_EQ(SL_HISTOGRAM_BUCKETS, std::size(kBoundsX2) + 1);
    for (const std::uint64_t bound : kBoundsX2) {
        for (const std::uint64_t value : {bound / 2 - (bound > 1), bound / 2, bound / 2 + 1}) {
            EXPECT_EQ(expected(2.0L * static_cast<long double>(value)), sl_histogram_bytes(value)) << value;
        }
    }
    EXPECT_EQ(SL_HISTOGRAM_BUCKETS - 1, sl_histogram_bytes(~0ull));
    EXPECT_EQ(0u, sl_histogram_bytes(0));
}

TEST(Histogram, DurationsAreNotRoundedIntoALowerBucket) {
    for (const std::uint64_t bound : kBoundsX2) {
        const std::uint64_t ns = bound * SL_HISTOGRAM_HALF_MS_NS;
        EXPECT_EQ(expected(static_cast<long double>(bound)), sl_histogram_duration(ns)) << ns;
        EXPECT_EQ(expected(static_cast<long double>(bound) + 0.5L), sl_histogram_duration(ns + 1)) << ns;
        EXPECT_EQ(expected(static_cast<long double>(bound) - 0.5L), sl_histogram_duration(ns - 1)) << ns;
    }
    EXPECT_EQ(SL_HISTOGRAM_BUCKETS - 1, sl_histogram_duration(~0ull));
}

}  // namespace
}  // namespace sluice::test
