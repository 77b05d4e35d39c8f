// Outlier detection against Envoy's state machine, one line of it a test.
#include <gtest/gtest.h>

#include <thread>

#include "world.h"

namespace sluice::test {
namespace {

constexpr std::uint64_t kSecond = World::kSecond;

// Fails `endpoint` `times` times; how many of these ejected it.
int fail_times(World& world, std::uint32_t endpoint, int times) {
    int ejections = 0;
    for (int i = 0; i < times; ++i) {
        ejections += world.fail(endpoint) ? 1 : 0;
    }
    return ejections;
}

TEST(Outlier, TheFailureThatReachesTheThresholdEjects) {
    World world;
    world.add_cluster(4);
    EXPECT_EQ(fail_times(world, 0, 4), 0);
    EXPECT_EQ(world.health[0].ejected_until, 0u);
    sl_event event{};
    EXPECT_TRUE(world.fail(0, &event));
    EXPECT_EQ(event.kind, SL_EVENT_EJECTED);
    EXPECT_EQ(event.reason, SL_EJECTION_5XX);
    EXPECT_EQ(event.cluster, 0u);
    EXPECT_EQ(event.endpoint, 0u);
    EXPECT_EQ(event.until_ns, world.health[0].ejected_until);
    EXPECT_EQ(world.clusters[0].ejected, 1u);
    EXPECT_EQ(world.clusters[0].ejections_total, 1u);
    EXPECT_EQ(world.health[0].times_ejected, 1u);
    EXPECT_EQ(world.health[0].failures_total, 5u);
}

TEST(Outlier, AlreadyEjectedIsNotEjectedAgain) {
    World world;
    world.add_cluster(4);
    EXPECT_EQ(fail_times(world, 0, 20), 1);
    EXPECT_EQ(world.clusters[0].ejected, 1u);
}

TEST(Outlier, ASuccessStartsTheCountAgain) {
    World world;
    world.add_cluster(4);
    fail_times(world, 0, 4);
    world.succeed(0);
    EXPECT_EQ(world.health[0].consecutive_5xx, 0u);
    EXPECT_EQ(world.health[0].consecutive_gateway, 0u);
    EXPECT_EQ(fail_times(world, 0, 4), 0);
    EXPECT_EQ(fail_times(world, 0, 1), 1);
}

TEST(Outlier, TimeoutsAndConnectFailuresAreGatewayErrorsToo) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].consecutive_gateway = 2;
    world.fail(0, nullptr, SL_FAILURE_TIMEOUT);
    sl_event event{};
    EXPECT_TRUE(world.fail(0, &event, SL_FAILURE_CONNECT));
    EXPECT_EQ(event.reason, SL_EJECTION_GATEWAY);
    EXPECT_EQ(world.health[0].consecutive_gateway, 0u) << "the triggering counter";
    EXPECT_EQ(world.health[0].consecutive_5xx, 2u) << "only the triggering counter";
}

TEST(Outlier, BothThresholdsAtOnceEjectOnceForTheGatewayErrors) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].consecutive_gateway = 5;
    fail_times(world, 0, 4);
    sl_event event{};
    EXPECT_TRUE(world.fail(0, &event));
    EXPECT_EQ(event.reason, SL_EJECTION_GATEWAY);
    EXPECT_EQ(world.clusters[0].ejected, 1u);
}

TEST(Outlier, AThresholdOfZeroIsOff) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].consecutive_5xx = 0;
    EXPECT_EQ(fail_times(world, 0, 100), 0);
}

TEST(Outlier, WithoutOutlierDetectionFailuresAreOnlyCounted) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].flags = 0;
    EXPECT_EQ(fail_times(world, 0, 100), 0);
    EXPECT_EQ(world.health[0].failures_total, 100u);
}

TEST(Outlier, SplitCountsOnlyLocalOrigin) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].flags |= SL_CLUSTER_OUTLIER_SPLIT;
    world.cluster_rows[0].consecutive_5xx = 1;
    world.cluster_rows[0].consecutive_gateway = 1;
    world.cluster_rows[0].consecutive_local = 3;
    fail_times(world, 0, 2);
    EXPECT_EQ(world.health[0].consecutive_5xx, 0u);
    EXPECT_EQ(world.health[0].consecutive_local, 2u);
    world.succeed(0);
    EXPECT_EQ(world.health[0].consecutive_local, 0u);
    EXPECT_EQ(fail_times(world, 0, 2), 0);
    sl_event event{};
    EXPECT_TRUE(world.fail(0, &event));
    EXPECT_EQ(event.reason, SL_EJECTION_LOCAL_ORIGIN);
}

TEST(Outlier, SplitSuccessLeavesTheExternalCounters) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].flags |= SL_CLUSTER_OUTLIER_SPLIT;
    world.health[0].consecutive_5xx = 3;
    world.succeed(0);
    EXPECT_EQ(world.health[0].consecutive_5xx, 3u);
}

TEST(Outlier, MaxEjectionPercentIsStrictAlsoForTheFirst) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].max_ejection_percent = 10;
    EXPECT_EQ(fail_times(world, 0, 5), 0);
    EXPECT_EQ(world.clusters[0].ejections_overflow, 1u);
    EXPECT_EQ(world.health[0].consecutive_5xx, 0u) << "reset although not ejected";
    EXPECT_EQ(world.clusters[0].ejected, 0u);
}

TEST(Outlier, HalfOfFourIsTwo) {
    World world;
    world.add_cluster(4);
    world.cluster_rows[0].max_ejection_percent = 50;
    int ejected = 0;
    for (std::uint32_t endpoint = 0; endpoint < 4; ++endpoint) {
        ejected += fail_times(world, endpoint, 5);
    }
    EXPECT_EQ(ejected, 2);
    EXPECT_EQ(world.clusters[0].ejections_overflow, 2u);
}

TEST(Outlier, EjectionLastsUntilTheTickAfterBaseTimesBackoff) {
    World world;
    world.add_cluster(1);
    world.control.started_ns = 3 * kSecond;  // ticks at 3, 13, 23, ...
    world.now = 1001 * kSecond;
    fail_times(world, 0, 5);
    EXPECT_EQ(world.health[0].ejected_until, 1033 * kSecond) << "1031 rounded up";
    sl_event event{};
    world.now = 1033 * kSecond - 1;
    EXPECT_FALSE(world.bring_back(0, &event));
    world.now = 1033 * kSecond;
    EXPECT_TRUE(world.bring_back(0, &event));
    EXPECT_EQ(event.kind, SL_EVENT_RETURNED);
    EXPECT_FALSE(world.bring_back(0, &event)) << "once";
    EXPECT_EQ(world.clusters[0].ejected, 0u);
    // At once again: twice as long.
    fail_times(world, 0, 5);
    EXPECT_EQ(world.health[0].ejected_until, 1093 * kSecond);
}

TEST(Outlier, ATimeOnTheTickIsNotRoundedFurther) {
    World world;
    world.add_cluster(1);
    world.control.started_ns = 1 * kSecond;
    world.now = 1001 * kSecond;
    fail_times(world, 0, 5);
    EXPECT_EQ(world.health[0].ejected_until, 1031 * kSecond);
}

TEST(Outlier, ReturnZeroesAllCounters) {
    World world;
    world.add_cluster(1);
    fail_times(world, 0, 9);
    world.health[0].consecutive_local = 4;
    world.now = world.health[0].ejected_until;
    sl_event event{};
    ASSERT_TRUE(world.bring_back(0, &event));
    EXPECT_EQ(world.health[0].consecutive_5xx, 0u);
    EXPECT_EQ(world.health[0].consecutive_gateway, 0u);
    EXPECT_EQ(world.health[0].consecutive_local, 0u);
    EXPECT_EQ(world.health[0].last_return, world.now);
}

TEST(Outlier, BackoffGrowsToTheMaximum) {
    World world;
    world.add_cluster(1);
    world.cluster_rows[0].base_ejection_ns = 100 * kSecond;
    std::vector<std::uint64_t> seconds;
    for (int i = 0; i < 6; ++i) {
        const std::uint64_t before = world.now;
        fail_times(world, 0, 5);
        seconds.push_back((world.health[0].ejected_until - before) / kSecond);
        world.now = world.health[0].ejected_until;
        sl_event event{};
        ASSERT_TRUE(world.bring_back(0, &event));
    }
    EXPECT_EQ(seconds, (std::vector<std::uint64_t>{100, 200, 300, 300, 300, 300}));
    EXPECT_EQ(world.health[0].backoff, 4u) << "raised while backoff * base < max + base";
}

TEST(Outlier, BackoffFallsByOneEachIntervalAfterTheReturn) {
    World world;
    world.add_cluster(1);
    const auto eject_and_return = [&] {
        const std::uint64_t before = world.now;
        fail_times(world, 0, 5);
        const std::uint64_t lasted = world.health[0].ejected_until - before;
        world.now = world.health[0].ejected_until;
        sl_event event{};
        EXPECT_TRUE(world.bring_back(0, &event));
        return lasted / kSecond;
    };
    EXPECT_EQ(eject_and_return(), 30u);
    EXPECT_EQ(eject_and_return(), 60u);
    EXPECT_EQ(eject_and_return(), 90u);
    world.now += 20 * kSecond;  // two ticks: 3 -> 1
    EXPECT_EQ(sl_outlier_backoff(&world.cluster_rows[0], &world.health[0], world.now), 1u);
    EXPECT_EQ(eject_and_return(), 60u);
    world.now += 1000 * kSecond;
    EXPECT_EQ(eject_and_return(), 30u);
}

TEST(Outlier, ADecisionReturnsWhomItPicksAndCountsThem) {
    World world;
    world.add_cluster(1);
    const std::uint32_t service = world.add_service({{0, 1}});
    fail_times(world, 0, 5);
    EXPECT_EQ(world.choose(service).reason, SL_REASON_NO_HEALTHY_UPSTREAM) << "the very next decision";
    const std::uint64_t until = world.health[0].ejected_until;
    world.now = until;
    const sl_choice choice = world.choose(service);
    EXPECT_EQ(choice.reason, SL_REASON_NONE);
    EXPECT_EQ(choice.returned_ns, until);
    EXPECT_EQ(world.clusters[0].ejected, 0u);
    EXPECT_EQ(world.choose(service).returned_ns, 0u);
}

TEST(Outlier, WhoLeftTheListIsNotEjected) {
    World world;
    world.add_cluster(4);
    world.endpoints[0].flags = 0;
    EXPECT_EQ(fail_times(world, 0, 50), 0);
    world.endpoints[1].cluster = 7;
    const sl_tables t = world.tables();
    sl_event event{};
    EXPECT_EQ(sl_outlier_failure(&t, 0, 1, SL_FAILURE_CONNECT, world.now, &event), 0);
}

TEST(Outlier, ThreadsEjectExactlyAsManyAsAllowed) {
    World world;
    world.add_cluster(8);
    world.cluster_rows[0].max_ejection_percent = 50;
    std::vector<std::thread> threads;
    std::atomic<int> ejections{0};
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            for (int i = 0; i < 2000; ++i) {
                ejections += world.fail(static_cast<std::uint32_t>(i % 8)) ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(world.clusters[0].ejected, static_cast<std::uint32_t>(ejections.load()));
    EXPECT_EQ(ejections.load(), 4);
    EXPECT_EQ(world.clusters[0].ejections_total, 4u);
}

TEST(Outlier, OfManyWhoReturnAnEndpointOneWins) {
    World world;
    world.add_cluster(1);
    for (int round = 0; round < 200; ++round) {
        fail_times(world, 0, 5);
        world.now = world.health[0].ejected_until;
        std::atomic<int> winners{0};
        std::vector<std::thread> threads;
        for (int thread = 0; thread < 3; ++thread) {
            threads.emplace_back([&] {
                sl_event event{};
                winners += world.bring_back(0, &event) ? 1 : 0;
            });
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
        ASSERT_EQ(winners.load(), 1);
        ASSERT_EQ(world.clusters[0].ejected, 0u);
    }
}

}  // namespace
}  // namespace sluice::test
