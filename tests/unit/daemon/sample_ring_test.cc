#include "daemon/sample_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::daemon {
namespace {

using testing::ElementsAre;

bool all(const proxy::Sample&) {
    return true;
}

SampleRing ring_of(std::size_t size, std::uint64_t count) {
    SampleRing ring(size);
    for (std::uint64_t i = 0; i < count; ++i) {
        proxy::Sample sample;
        sample.seen.cookie = i;
        sample.seen.cluster = static_cast<std::uint32_t>(i % 2);
        ring.push(sample);
    }
    return ring;
}

std::vector<std::uint64_t> cookies(const SampleRing::Taken& taken) {
    std::vector<std::uint64_t> out;
    for (const proxy::Sample& sample : taken.samples) {
        out.push_back(sample.seen.cookie);
    }
    return out;
}

TEST(SampleRing, AReaderGoesOnWhereItLeftOff) {
    SampleRing ring = ring_of(8, 5);
    auto taken = ring.since(3, 100, all);
    EXPECT_THAT(cookies(taken), ElementsAre(3, 4));
    EXPECT_EQ(taken.next, 5u);
    EXPECT_EQ(taken.skipped, 0u);
    taken = ring.since(taken.next, 100, all);
    EXPECT_THAT(cookies(taken), ElementsAre());
    EXPECT_EQ(taken.next, 5u);
}

TEST(SampleRing, WhatWasOverwrittenIsCounted) {
    const SampleRing ring = ring_of(4, 10);
    const auto taken = ring.since(3, 100, all);
    EXPECT_THAT(cookies(taken), ElementsAre(6, 7, 8, 9));
    EXPECT_EQ(taken.skipped, 3u);
}

TEST(SampleRing, TheLimitLeavesTheRestForTheNextCall) {
    const SampleRing ring = ring_of(8, 8);
    auto taken = ring.since(0, 3, all);
    EXPECT_THAT(cookies(taken), ElementsAre(0, 1, 2));
    taken = ring.since(taken.next, 3, all);
    EXPECT_THAT(cookies(taken), ElementsAre(3, 4, 5));
}

TEST(SampleRing, SamplesThatAreNotWantedArePassedOver) {
    const SampleRing ring = ring_of(8, 8);
    const auto taken = ring.since(1, 2, [](const proxy::Sample& sample) { return sample.seen.cluster == 0; });
    EXPECT_THAT(cookies(taken), ElementsAre(2, 4));
    EXPECT_EQ(taken.next, 5u);
    EXPECT_EQ(ring.since(5, 100, [](const proxy::Sample&) { return false; }).next, 8u);
}

TEST(SampleRing, ANumberOfAnEarlierAgentMeansAllThatAreKept) {
    const SampleRing ring = ring_of(4, 6);
    const auto taken = ring.since(1'000, 100, all);
    EXPECT_THAT(cookies(taken), ElementsAre(2, 3, 4, 5));
    EXPECT_EQ(taken.skipped, 0u);
    EXPECT_THAT(cookies(ring_of(4, 0).since(9, 100, all)), ElementsAre());
}

}  // namespace
}  // namespace sluice::daemon
