// Endpoint picks, reach, panic, spill and admission.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "world.h"

namespace sluice::test {
namespace {

std::map<std::uint32_t, int> picks(World& world, std::uint32_t service, int times,
                                   std::uint32_t reach = SL_REACH_V4 | SL_REACH_V6) {
    std::map<std::uint32_t, int> result;
    for (int i = 0; i < times; ++i) {
        const sl_choice choice = world.choose(service, world.ask(reach));
        EXPECT_EQ(choice.reason, SL_REASON_NONE);
        ++result[choice.endpoint];
    }
    return result;
}

TEST(Pick, RoundRobinIsExact) {
    World world;
    world.add_cluster(5, 0, SL_LB_ROUND_ROBIN);
    const std::uint32_t service = world.add_service({{0, 1}});
    for (const auto& [endpoint, count] : picks(world, service, 500)) {
        EXPECT_EQ(count, 100) << endpoint;
    }
}

TEST(Pick, InRoundRobinAnEjectedEndpointConsumesItsTurn) {
    World world;
    world.add_cluster(3, 0, SL_LB_ROUND_ROBIN);
    const std::uint32_t service = world.add_service({{0, 1}});
    world.put_out(1, world.now + 1);
    std::vector<std::uint32_t> order;
    for (int i = 0; i < 6; ++i) {
        order.push_back(world.choose(service).endpoint);
    }
    EXPECT_EQ(order, (std::vector<std::uint32_t>{0, 2, 0, 2, 0, 2}));
}

TEST(Pick, RandomIsUniformOverTheHealthy) {
    World world;
    world.add_cluster(6, 0, SL_LB_RANDOM);
    const std::uint32_t service = world.add_service({{0, 1}});
    world.put_out(2, world.now + 1);
    world.put_out(3, world.now + 1);
    const auto counts = picks(world, service, 40'000);
    EXPECT_EQ(counts.size(), 4u);
    for (const auto& [endpoint, count] : counts) {
        EXPECT_NEAR(count, 10'000, 400) << endpoint;  // more than four standard deviations
    }
}

TEST(Pick, LeastRequestTakesTheLessBusyOfTwoDraws) {
    World world;
    world.add_cluster(4, 0, SL_LB_LEAST_REQUEST);
    const std::uint32_t service = world.add_service({{0, 1}});
    for (std::uint32_t i = 0; i < 4; ++i) {
        world.health[i].active = i;
    }
    // Two draws with replacement: endpoint of rank k of 4 wins with (2 * (3 - k) + 1) / 16.
    const auto counts = picks(world, service, 160'000);
    for (std::uint32_t i = 0; i < 4; ++i) {
        EXPECT_NEAR(counts.at(i), 10'000 * (2 * (3 - static_cast<int>(i)) + 1), 1200) << i;
    }
}

TEST(Pick, LeastRequestTieKeepsTheFirstDraw) {
    World world;
    world.add_cluster(2, 0, SL_LB_LEAST_REQUEST);
    const std::uint32_t service = world.add_service({{0, 1}});
    for (int i = 0; i < 100; ++i) {
        sl_ask ask = world.ask();
        sl_random copy = ask.random;
        sl_random_next(&copy);  // the weighted draw
        const std::uint32_t first = sl_random_below(&copy, 2);
        EXPECT_EQ(world.choose(service, ask).endpoint, first);
    }
}

TEST(Pick, LeastRequestNeverTakesAnEjectedOneHoweverIdle) {
    World world;
    world.add_cluster(3, 0, SL_LB_LEAST_REQUEST);
    const std::uint32_t service = world.add_service({{0, 1}});
    world.put_out(0, world.now + 1);
    world.health[1].active = world.health[2].active = 9;
    EXPECT_FALSE(picks(world, service, 2000).contains(0));
}

class PickEvery : public testing::TestWithParam<sl_load_balancer> {};

TEST_P(PickEvery, TheOneHealthyEndpointOfManyIsAlwaysFound) {
    World world;
    constexpr std::uint32_t kMany = 3000;
    world.add_cluster(kMany, 0, GetParam());
    for (std::uint32_t i = 0; i < kMany; ++i) {
        world.entries.push_back({i << 16, i});
        if (i != 1234) {
            world.put_out(i, world.now + 1);
        }
    }
    world.cluster_rows[0].hash_count = kMany;
    const std::uint32_t service = world.add_service({{0, 1}});
    for (int i = 0; i < 50; ++i) {
        sl_ask ask = world.ask();
        ask.has_key = 1;
        ask.key = ask.random.state;
        const sl_choice choice = world.choose(service, ask);
        ASSERT_EQ(choice.reason, SL_REASON_NONE);
        ASSERT_EQ(choice.endpoint, 1234u);
    }
}

TEST_P(PickEvery, NobodyHealthyIsNoHealthyUpstream) {
    World world;
    world.add_cluster(3, 0, GetParam());
    for (std::uint32_t i = 0; i < 3; ++i) {
        world.entries.push_back({i, i});
        world.put_out(i, world.now + 1);
    }
    world.cluster_rows[0].hash_count = 3;
    const std::uint32_t service = world.add_service({{0, 1}});
    sl_ask ask = world.ask();
    ask.has_key = 1;
    EXPECT_EQ(world.choose(service, ask).reason, SL_REASON_NO_HEALTHY_UPSTREAM);
    world.now += 1;
    EXPECT_EQ(world.choose(service).reason, SL_REASON_NONE) << "their time has passed";
}

TEST_P(PickEvery, ReachIsRespected) {
    World world;
    world.add_cluster(2, 3, GetParam());
    for (std::uint32_t i = 0; i < 100; ++i) {
        world.entries.push_back({i << 25, i % 5});
    }
    world.cluster_rows[0].hash_count = 100;
    const std::uint32_t service = world.add_service({{0, 1}});
    for (const std::uint32_t reach : {SL_REACH_V4, SL_REACH_V6, SL_REACH_V4 | SL_REACH_V6}) {
        std::set<std::uint32_t> seen;
        for (int i = 0; i < 500; ++i) {
            sl_ask ask = world.ask(reach);
            ask.has_key = 1;
            ask.key = ask.random.state;
            const sl_choice choice = world.choose(service, ask);
            ASSERT_EQ(choice.reason, SL_REASON_NONE);
            seen.insert(choice.endpoint);
        }
        std::set<std::uint32_t> expected;
        for (std::uint32_t i = 0; i < 5; ++i) {
            if ((reach & (i < 2 ? SL_REACH_V4 : SL_REACH_V6)) != 0) {
                expected.insert(i);
            }
        }
        EXPECT_EQ(seen, expected) << reach;
    }
}

INSTANTIATE_TEST_SUITE_P(All, PickEvery,
                         testing::Values(SL_LB_LEAST_REQUEST, SL_LB_ROUND_ROBIN, SL_LB_RANDOM, SL_LB_RING_HASH,
                                         SL_LB_MAGLEV));

TEST(Pick, ReachWithoutEndpointsIsFamilyMismatchAndNoneAtAllIsNoHealthyUpstream) {
    World world;
    world.add_cluster(2, 0);
    world.add_cluster(0, 0);
    const std::uint32_t service = world.add_service({{0, 1}});
    const std::uint32_t empty = world.add_service({{1, 1}});
    EXPECT_EQ(world.choose(service, world.ask(SL_REACH_V6)).reason, SL_REASON_FAMILY_MISMATCH);
    EXPECT_EQ(world.choose(empty).reason, SL_REASON_NO_HEALTHY_UPSTREAM);
}

TEST(Pick, PanicUsesEveryoneBelowMinHealthPercentStrictly) {
    World world;
    world.add_cluster(4, 0, SL_LB_RANDOM);
    const std::uint32_t service = world.add_service({{0, 1}});
    world.cluster_rows[0].min_health_percent = 50;
    world.put_out(0, world.now + 1);
    world.put_out(1, world.now + 1);
    EXPECT_EQ(picks(world, service, 400).size(), 2u) << "50 is not below 50";
    world.put_out(2, world.now + 1);
    EXPECT_EQ(picks(world, service, 400).size(), 4u);
    world.put_out(3, world.now + 1);
    EXPECT_EQ(picks(world, service, 400).size(), 4u);
}

TEST(Pick, WithoutAKeyAHashClusterIsRandom) {
    World world;
    world.add_cluster(4, 0, SL_LB_RING_HASH);
    world.entries.push_back({0, 0});
    world.cluster_rows[0].hash_count = 1;
    const std::uint32_t service = world.add_service({{0, 1}});
    EXPECT_EQ(picks(world, service, 400).size(), 4u);
}

TEST(Pick, RingTakesTheFirstEntryAtOrAfterTheKeyAndWraps) {
    World world;
    world.add_cluster(3, 0, SL_LB_RING_HASH);
    world.entries = {{10, 0}, {20, 1}, {30, 2}};
    world.cluster_rows[0].hash_count = 3;
    const std::uint32_t service = world.add_service({{0, 1}});
    const auto owner = [&](std::uint64_t hash) {
        sl_ask ask = world.ask();
        ask.has_key = 1;
        ask.key = hash << 32 | 0x12345678u;
        return world.choose(service, ask).endpoint;
    };
    EXPECT_EQ(owner(0), 0u);
    EXPECT_EQ(owner(10), 0u);
    EXPECT_EQ(owner(11), 1u);
    EXPECT_EQ(owner(30), 2u);
    EXPECT_EQ(owner(31), 0u);
    world.put_out(1, world.now + 1);
    EXPECT_EQ(owner(11), 2u) << "the next on the ring stands in";
    EXPECT_EQ(owner(10), 0u) << "others stay";
}

TEST(Spill, TheShareOfADownSubsetGoesToTheOthersInProportion) {
    World world;
    for (int i = 0; i < 4; ++i) {
        world.add_cluster(2);
    }
    const std::uint32_t service = world.add_service({{0, 6}, {1, 3}, {2, 1}, {3, 0}}, SL_ROUTE_SPILL);
    world.put_out(0, world.now + 1);
    world.put_out(1, world.now + 1);
    std::map<std::uint32_t, int> spilled;
    int total = 0;
    while (total < 20'000) {
        sl_ask ask = world.ask();
        sl_random copy = ask.random;
        const sl_choice choice = world.choose(service, ask);
        ASSERT_EQ(choice.reason, SL_REASON_NONE);
        ASSERT_EQ(choice.cluster, choice.destination);
        ASSERT_EQ(choice.cluster_row, choice.cluster);
        ASSERT_EQ(world.endpoints[choice.endpoint].cluster, choice.cluster);
        if ((sl_random_next(&copy) >> 62) == 0) {  // column 0 of 4 was drawn
            ++spilled[choice.cluster];
            ++total;
        }
    }
    EXPECT_EQ(spilled.size(), 2u) << "weight 0 gets nothing";
    EXPECT_NEAR(spilled[1], 15'000, 300);
}

TEST(Spill, NobodyLeftIsNoHealthyUpstreamAndFailDoesNotSpill) {
    World world;
    world.add_cluster(1);
    world.add_cluster(1);
    const std::uint32_t spill = world.add_service({{0, 1}, {1, 1}}, SL_ROUTE_SPILL);
    const std::uint32_t fail = world.add_service({{0, 1}, {1, 1}});
    world.put_out(0, world.now + 1);
    int refused = 0;
    for (int i = 0; i < 400; ++i) {
        EXPECT_EQ(world.choose(spill).reason, SL_REASON_NONE);
        refused += world.choose(fail).reason == SL_REASON_NO_HEALTHY_UPSTREAM ? 1 : 0;
    }
    EXPECT_NEAR(refused, 200, 60);
    world.put_out(1, world.now + 1);
    EXPECT_EQ(world.choose(spill).reason, SL_REASON_NO_HEALTHY_UPSTREAM);
    world.now += 1;
    EXPECT_EQ(world.choose(spill).reason, SL_REASON_NONE) << "expired ejections count as healthy";
}

TEST(Spill, ASubsetThatTheSocketCannotReachIsDown) {
    World world;
    world.add_cluster(2, 0);
    world.add_cluster(0, 2);
    const std::uint32_t service = world.add_service({{0, 1}, {1, 1}}, SL_ROUTE_SPILL);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(world.choose(service, world.ask(SL_REACH_V6)).cluster, 1u);
    }
}

TEST(Spill, AMissingClusterKeepsItsShare) {
    World world;
    world.add_cluster(1);
    const std::uint32_t service = world.add_service({{0, 1}, {SL_NONE, 1}}, SL_ROUTE_SPILL);
    std::set<std::uint32_t> reasons;
    for (int i = 0; i < 100; ++i) {
        reasons.insert(world.choose(service).reason);
    }
    EXPECT_EQ(reasons, (std::set<std::uint32_t>{SL_REASON_NONE, SL_REASON_NO_CLUSTER}));
}

TEST(Slots, AReaderTakesTheNewestNotAboveItsGeneration) {
    sl_slot slot[2] = {{4, 40, 0}, {7, 70, 0}};
    std::uint32_t row = 0;
    EXPECT_EQ(sl_slot_row(slot, 3, &row), 0);
    EXPECT_TRUE(sl_slot_row(slot, 4, &row) && row == 40);
    EXPECT_TRUE(sl_slot_row(slot, 6, &row) && row == 40);
    EXPECT_TRUE(sl_slot_row(slot, 7, &row) && row == 70);
    std::swap(slot[0], slot[1]);
    EXPECT_TRUE(sl_slot_row(slot, 6, &row) && row == 40);
    EXPECT_TRUE(sl_slot_row(slot, 9, &row) && row == 70);
    slot[0].generation = SL_GENERATION_EMPTY;
    EXPECT_TRUE(sl_slot_row(slot, 9, &row) && row == 40);
}

TEST(Slots, AServiceOfALaterGenerationIsLeftAlone) {
    World world;
    world.add_cluster(1);
    const std::uint32_t service = world.add_service({{0, 1}});
    world.services[0].slot[0].generation = 2;
    const sl_choice choice = world.choose(service);
    EXPECT_EQ(choice.reason, SL_REASON_NONE);
    EXPECT_EQ(choice.route, SL_NONE);
    world.control.generation = 2;
    EXPECT_EQ(world.choose(service).route, 0u);
}

TEST(Admission, NeverMoreThanTheLimitAtOnce) {
    std::uint32_t active = 0;
    EXPECT_TRUE(sl_admit(&active, 2));
    EXPECT_TRUE(sl_admit(&active, 2));
    EXPECT_FALSE(sl_admit(&active, 2));
    EXPECT_EQ(active, 2u);
    sl_sub(&active, 1u);
    EXPECT_TRUE(sl_admit(&active, 2));
    active = 0;
    EXPECT_FALSE(sl_admit(&active, 0));
    std::atomic<int> inside{0}, most{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            for (int i = 0; i < 20'000; ++i) {
                if (sl_admit(&active, 2)) {
                    const int now = ++inside;
                    int seen = most.load();
                    while (now > seen && !most.compare_exchange_weak(seen, now)) {
                    }
                    --inside;
                    sl_sub(&active, 1u);
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_LE(most.load(), 2);
    EXPECT_EQ(active, 0u);
}

TEST(Hold, ReleaseGivesBackWhatHoldTook) {
    World world;
    world.add_cluster(1);
    const std::uint32_t service = world.add_service({{0, 1}});
    const sl_choice choice = world.choose(service);
    const sl_tables t = world.tables();
    sl_hold(&t, &choice);
    EXPECT_EQ(world.health[0].active, 1u);
    EXPECT_EQ(world.clusters[0].active, 1u);
    EXPECT_EQ(world.routes[0].open, 1u);
    sl_release(&t, choice.route, choice.cluster, choice.endpoint);
    EXPECT_EQ(world.health[0].active, 0u);
    EXPECT_EQ(world.clusters[0].active, 0u);
    EXPECT_EQ(world.routes[0].open, 0u);
    EXPECT_EQ(world.health[0].picks_total, 1u);
    EXPECT_EQ(world.clusters[0].picks_total, 1u);
}

}  // namespace
}  // namespace sluice::test
