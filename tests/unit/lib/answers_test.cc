// Outlier detection by observed answers against Envoy's state machine, one line of it a test.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <latch>
#include <thread>
#include <vector>

#include "world.h"

namespace sluice::test {
namespace {

constexpr std::uint64_t kSecond = World::kSecond;

// Answers `times` times with `status`; how many of these ejected the endpoint.
int answer_times(World& world, std::uint32_t endpoint, std::uint32_t status, int times) {
    int ejections = 0;
    for (int i = 0; i < times; ++i) {
        ejections += world.answer(endpoint, status) ? 1 : 0;
    }
    return ejections;
}

TEST(Answers, The5xxThatReachesTheThresholdEjects) {
    World world;
    world.add_cluster(4);
    EXPECT_EQ(answer_times(world, 2, 500, 4), 0);
    EXPECT_EQ(world.health[2].ejected_until, 0u);
    sl_event event{};
    EXPECT_TRUE(world.answer(2, 500, &event));
    EXPECT_EQ(event.kind, SL_EVENT_EJECTED);
    EXPECT_EQ(event.reason, SL_EJECTION_5XX);
    EXPECT_EQ(event.cluster, 0u);
    EXPECT_EQ(event.endpoint, 2u);
    EXPECT_EQ(event.time_ns, world.now);
    EXPECT_EQ(event.until_ns, world.health[2].ejected_until);
    EXPECT_EQ(world.clusters[0].ejected, 1u);
    EXPECT_EQ(world.health[2].times_ejected, 1u);
    EXPECT_EQ(world.health[2].consecutive_5xx, 0u) << "the triggering counter";
    EXPECT_EQ(world.health[2].failures_total, 5u);
}

TEST(Answers, WithoutEjectionTheEventIsUntouched) {
    World world;
    world.add_cluster(4);
    sl_event event;
    std::memset(&event, 0x5a, sizeof event);
    const sl_event before = event;
    world.answer(0, 500, &event);
    world.answer(0, 200, &event);
    EXPECT_EQ(std::memcmp(&event, &before, sizeof event), 0);
}

TEST(Answers, EveryStatusOf5xxCountsAndNoOther) {
    for (const std::uint32_t status : {500u, 501u, 502u, 503u, 504u, 505u, 511u, 599u}) {
        World world;
        world.add_cluster(4);
        EXPECT_EQ(answer_times(world, 0, status, 5), 1) << status;
    }
    for (const std::uint32_t status : {0u, 200u, 204u, 304u, 404u, 429u, 499u, 600u, 999u}) {
        World world;
        world.add_cluster(4);
        EXPECT_EQ(answer_times(world, 0, status, 20), 0) << status;
    }
}

TEST(Answers, WhateverIsNo5xxStartsTheCountAgain) {
    for (const std::uint32_t status : {200u, 302u, 404u, 429u}) {
        World world;
        world.add_cluster(4);
        world.cluster_rows[0].consecutive_gateway = 50;
        answer_times(world, 0, 503, 4);
        world.answer(0, status);
        EXPECT_EQ(world.health[0].consecutive_5xx, 0u) << status;
        EXPECT_EQ(world.health[0].consecutive_gateway, 0u) << status;
        EXPECT_EQ(answer_times(world, 0, 503, 4), 0) << status;
        EXPECT_EQ(answer_times(world, 0, 503, 1), 1) << status;
    }
}

TEST(Answers, OnlyTheEndpointThatAnsweredCounts) {
    World world;
    world.add_cluster(4);
    answer_times(world, 0, 500, 4);
    world.answer(1, 200);
    EXPECT_EQ(world.health[0].consecutive_5xx, 4u);
    EXPECT_EQ(answer_times(world, 1, 500, 4), 0);
    EXPECT_EQ(answer_times(world, 0, 500, 1), 1);
}

TEST(Answers, GatewayErrorsAre502To504) {
    for (const std::uint32_t status : {502u, 503u, 504u}) {
        World world;
        world.add_cluster(4);
        world.cluster_rows[0].consecutive_gateway = 3;
        EXPECT_EQ(answer_times(world, 0, status, 2), 0) << status;
        sl_event event{};
        EXPECT_TRUE(world.answer(0, status, &event)) << status;
        EXPECT_EQ(event.reason, SL_EJECTION_GATEWAY);
        EXPECT_EQ(world.health[0].consecutive_gateway, 0u) << "the triggering counter";
        EXPECT_EQ(world.health[0].consecutive_5xx, 3u) << "only the triggering counter";
    }
    for (const std::uint32_t status : {500u, 501u, 505u}) {
        World world;
        world.add_cluster(4);
        world.cluster_rows[0].consecutive_gateway = 1;
        EXPECT_EQ(answer_times(world, 0, status, 4), 0) << status;
    }
}

TEST(Answers, AnOther5xxEndsARunOfGatewayErrorsOnly) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].consecutive_gateway = 3;
    answer_times(world, 0, 503, 2);
    world.answer(0, 500);
    EXPECT_EQ(world.health[0].consecutive_gateway, 0u);
    EXPECT_EQ(world.health[0].consecutive_5xx, 3u);
    EXPECT_EQ(answer_times(world, 0, 503, 1), 0);
    sl_event event{};
    EXPECT_TRUE(world.answer(0, 503, &event)) << "the fifth 5xx, the second gateway error";
    EXPECT_EQ(event.reason, SL_EJECTION_5XX);
}

TEST(Answers, GatewayErrorsAloneAreCountedWhen5xxIsOff) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].consecutive_5xx = 0;
    world.cluster_rows[0].consecutive_gateway = 2;
    EXPECT_EQ(answer_times(world, 0, 500, 50), 0);
    EXPECT_EQ(answer_times(world, 0, 502, 2), 1);
}

TEST(Answers, ConnectFailuresTimeoutsAnd5xxCountTogether) {
    World world;
    world.add_cluster(4);
    world.answer(0, 500);
    world.fail(0, nullptr, SL_FAILURE_CONNECT);
    world.connected(0);  // an HTTP connection that was established proves nothing
    world.fail(0, nullptr, SL_FAILURE_TIMEOUT);
    world.answer(0, 599);
    sl_event event{};
    EXPECT_TRUE(world.answer(0, 503, &event));
    EXPECT_EQ(event.reason, SL_EJECTION_5XX);
}

TEST(Answers, ConnectFailuresAndGatewayErrorsCountTogether) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].consecutive_gateway = 3;
    world.fail(0, nullptr, SL_FAILURE_CONNECT);
    world.answer(0, 502);
    sl_event event{};
    EXPECT_TRUE(world.fail(0, &event, SL_FAILURE_TIMEOUT));
    EXPECT_EQ(event.reason, SL_EJECTION_GATEWAY);
}

TEST(Answers, AnAnswerEndsARunOfConnectFailures) {
    World world;
    world.add_cluster(4);
    for (int i = 0; i < 4; ++i) {
        world.fail(0);
    }
    world.answer(0, 404);
    EXPECT_FALSE(world.fail(0));
}

TEST(Answers, WithoutOutlierDetectionNothingIsCounted) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].flags = SL_CLUSTER_HTTP | SL_CLUSTER_ANSWERS;
    EXPECT_EQ(answer_times(world, 0, 500, 100), 0);
    EXPECT_EQ(world.health[0].consecutive_5xx, 0u);
}

TEST(Answers, NoEjectionBeyondMaxEjectionPercentAndTheCountStartsAgain) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].max_ejection_percent = 25;
    EXPECT_EQ(answer_times(world, 0, 500, 5), 1);
    EXPECT_EQ(answer_times(world, 1, 500, 5), 0);
    EXPECT_EQ(world.health[1].consecutive_5xx, 0u) << "reset although not ejected";
    EXPECT_EQ(world.clusters[0].ejections_overflow, 1u);
    EXPECT_EQ(world.clusters[0].ejected, 1u);
    // Once the first is back, the next run of failures ejects.
    world.now = world.health[0].ejected_until;
    sl_event event{};
    ASSERT_TRUE(world.bring_back(0, &event));
    EXPECT_EQ(answer_times(world, 1, 500, 4), 0);
    EXPECT_EQ(answer_times(world, 1, 500, 1), 1);
}

TEST(Answers, AnswersInFlightWhileEjectedEjectNobodyAgain) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].max_ejection_percent = 25;
    answer_times(world, 0, 500, 5);
    const std::uint64_t until = world.health[0].ejected_until;
    EXPECT_EQ(answer_times(world, 0, 500, 20), 0);
    EXPECT_EQ(world.health[0].ejected_until, until);
    EXPECT_EQ(world.clusters[0].ejected, 1u);
    EXPECT_EQ(world.health[0].backoff, 1u);
    EXPECT_EQ(world.clusters[0].ejections_overflow, 0u) << "nobody was to be ejected";
    // They do not count against it after its return.
    world.now = until;
    sl_event event{};
    ASSERT_TRUE(world.bring_back(0, &event));
    EXPECT_EQ(world.health[0].consecutive_5xx, 0u);
    EXPECT_EQ(world.health[0].consecutive_gateway, 0u);
    EXPECT_EQ(answer_times(world, 0, 500, 4), 0);
    EXPECT_EQ(answer_times(world, 0, 500, 1), 1);
}

TEST(Answers, EjectionsLastBaseTimesBackoffRoundedUpToTheInterval) {
    World world;
    world.add_cluster(1);
    world.control.started_ns = 3 * kSecond;  // ticks at 3, 13, 23, ...
    world.now = 1001 * kSecond;
    answer_times(world, 0, 503, 5);
    EXPECT_EQ(world.health[0].ejected_until, 1033 * kSecond) << "1001 + 30, rounded up";
    world.now = 1033 * kSecond;
    sl_event event{};
    ASSERT_TRUE(world.bring_back(0, &event));
    answer_times(world, 0, 503, 5);
    EXPECT_EQ(world.health[0].ejected_until, 1093 * kSecond) << "1033 + 2 * 30";
    world.now = 1093 * kSecond;
    ASSERT_TRUE(world.bring_back(0, &event));
    world.now += 10 * kSecond;  // one tick in health: 2 -> 1
    answer_times(world, 0, 503, 5);
    EXPECT_EQ(world.health[0].ejected_until, 1163 * kSecond) << "1103 + 2 * 30";
}

TEST(Answers, SplitExternalCountersHearOfAnswersOnly) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].flags |= SL_CLUSTER_OUTLIER_SPLIT;
    world.cluster_rows[0].consecutive_5xx = 3;
    world.cluster_rows[0].consecutive_local = 3;
    answer_times(world, 0, 500, 2);
    world.fail(0);
    world.fail(0);
    EXPECT_EQ(world.health[0].consecutive_5xx, 2u);
    EXPECT_EQ(world.health[0].consecutive_local, 2u);
    sl_event event{};
    EXPECT_TRUE(world.answer(0, 500, &event));
    EXPECT_EQ(event.reason, SL_EJECTION_5XX);
}

TEST(Answers, SplitLocalFailuresEndWithAConnectionOrAnAnswer) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].flags |= SL_CLUSTER_OUTLIER_SPLIT;
    world.cluster_rows[0].consecutive_local = 3;
    world.fail(0);
    world.fail(0);
    world.connected(0);
    EXPECT_EQ(world.health[0].consecutive_local, 0u);
    world.fail(0);
    world.fail(0);
    world.answer(0, 500);
    EXPECT_EQ(world.health[0].consecutive_local, 0u);
    EXPECT_EQ(world.health[0].consecutive_5xx, 1u) << "an answer, be it a bad one";
}

TEST(Answers, AConnectionDoesNotEndARunOf5xx) {
    World world;
    world.add_cluster(4);
    answer_times(world, 0, 500, 4);
    world.connected(0);
    EXPECT_EQ(world.health[0].consecutive_5xx, 4u);
    EXPECT_EQ(answer_times(world, 0, 500, 1), 1);
}

TEST(Answers, WhoLeftTheListIsNeitherCountedNorEjected) {
    World world;
    world.add_cluster(4);
    world.endpoints[0].flags = 0;
    EXPECT_EQ(answer_times(world, 0, 500, 50), 0);
    EXPECT_EQ(world.health[0].consecutive_5xx, 0u);
    const sl_tables t = world.tables();
    sl_event event{};
    world.endpoints[1].cluster = 7;  // its number is another cluster's now
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(sl_outlier_answer(&t, 0, 1, 500, world.now, &event), 0);
    }
    EXPECT_EQ(world.health[1].consecutive_5xx, 0u);
}

TEST(Answers, NumbersOutOfBoundsAreLeftAlone) {
    World world;
    world.add_cluster(2);
    const sl_tables t = world.tables();
    sl_event event{};
    EXPECT_EQ(sl_outlier_answer(&t, 0, 2, 500, world.now, &event), 0);
    EXPECT_EQ(sl_outlier_answer(&t, 1, 0, 500, world.now, &event), 0);
    EXPECT_EQ(sl_outlier_answer(&t, SL_NONE, SL_NONE, 200, world.now, &event), 0);
    sl_outlier_connected(&t, SL_NONE);
}

TEST(Answers, OfManyThreadsThatReachTheThresholdOneEjects) {
    World world;
    world.add_cluster(2);
    for (int round = 0; round < 200; ++round) {
        answer_times(world, 0, 500, 4);
        std::atomic<int> ejections{0};
        std::vector<std::thread> threads;
        for (int thread = 0; thread < 4; ++thread) {
            threads.emplace_back([&, thread] {
                sl_event event{};
                if (world.answer(0, thread % 2 == 0 ? 500 : 503, &event)) {
                    ++ejections;
                    EXPECT_EQ(event.endpoint, 0u);
                }
            });
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
        ASSERT_EQ(ejections.load(), 1);
        ASSERT_EQ(world.clusters[0].ejected, 1u);
        world.now = world.health[0].ejected_until;
        sl_event event{};
        ASSERT_TRUE(world.bring_back(0, &event));
    }
}

TEST(Answers, ThreadsLoseNoCount) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].consecutive_5xx = world.cluster_rows[0].consecutive_gateway = 1u << 30;
    std::vector<std::thread> threads;
    std::latch together{4};
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            together.arrive_and_wait();
            answer_times(world, 0, 503, 20000);
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(world.health[0].consecutive_5xx, 80000u);
    EXPECT_EQ(world.health[0].consecutive_gateway, 80000u);
}

TEST(Answers, ThreadsEjectExactlyAsManyAsAllowed) {
    World world;
    world.add_cluster(8);
    world.cluster_rows[0].max_ejection_percent = 50;
    world.cluster_rows[0].consecutive_gateway = 3;
    std::vector<std::thread> threads;
    std::atomic<int> ejections{0};
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 2000; ++i) {
                const auto endpoint = static_cast<std::uint32_t>(i % 8);
                ejections += (thread == 3 ? world.fail(endpoint)
                                          : world.answer(endpoint, 500u + static_cast<std::uint32_t>(thread)))
                                 ? 1
                                 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(ejections.load(), 4);
    EXPECT_EQ(world.clusters[0].ejected, 4u);
    EXPECT_EQ(world.clusters[0].ejections_total, 4u);
}

}  // namespace
}  // namespace sluice::test
