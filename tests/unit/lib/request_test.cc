// Decisions of those who hold the rules themselves: columns in no table, clusters by number, slow start.
#include "bpf/lib/request.h"

#include <gtest/gtest.h>

#include "world.h"

namespace sluice::test {
namespace {

// Weights 1:3 as alias columns: the first is kept for half of its draws, the second always.
constexpr sl_destination kOneToThree[] = {{0, 1, 0x80000000u, 1}, {1, 3, 0xffffffffu, 1}};

TEST(RequestColumns, are_drawn_by_their_thresholds) {
    sl_random random{7};
    int second = 0;
    constexpr int kDraws = 100'000;
    for (int i = 0; i < kDraws; ++i) {
        second += static_cast<int>(sl_choose_column(kOneToThree, 2, sl_random_next(&random)));
    }
    EXPECT_NEAR(second / double{kDraws}, 0.75, 0.01);
    EXPECT_EQ(sl_choose_column(kOneToThree, 0, 5), 0u) << "none: the count";
    const sl_destination corrupt[] = {{0, 1, 0, 9}};
    EXPECT_EQ(sl_choose_column(corrupt, 1, 5), 1u);
}

TEST(RequestColumns, draw_as_the_direct_lane_draws_from_its_table) {
    World world;
    const std::uint32_t a = world.add_cluster(1), b = world.add_cluster(1);
    const std::uint32_t service = world.add_service({{a, 1}, {b, 3}});
    world.destinations.assign(std::begin(kOneToThree), std::end(kOneToThree));
    const sl_tables t = world.tables();
    for (int i = 0; i < 1000; ++i) {
        sl_ask ask = world.ask();
        sl_random same = ask.random;
        sl_choice choice{};
        ASSERT_EQ(sl_choose_cluster(&t, service, &ask, &choice), SL_REASON_NONE);
        ASSERT_EQ(choice.destination, sl_choose_column(kOneToThree, 2, sl_random_next(&same)));
    }
}

TEST(RequestCluster, picks_one_of_its_endpoints_and_holds_it) {
    World world;
    world.add_cluster(2);
    const std::uint32_t number = world.add_cluster(3);
    const sl_tables t = world.tables();
    sl_ask ask = world.ask();
    sl_choice choice{};
    ASSERT_EQ(sl_choose_in_cluster(&t, number, &ask, &choice), SL_REASON_NONE);
    EXPECT_EQ(world.endpoints[choice.endpoint].cluster, number);
    EXPECT_EQ(choice.route, SL_NONE);
    EXPECT_EQ(choice.generation, 1u);
    sl_hold(&t, &choice);
    EXPECT_EQ(world.health[choice.endpoint].active, 1u);
    EXPECT_EQ(world.clusters[number].active, 1u);
    sl_release(&t, choice.route, choice.cluster, choice.endpoint);
    EXPECT_EQ(world.health[choice.endpoint].active, 0u);
    EXPECT_EQ(sl_choose_in_cluster(&t, SL_NONE, &ask, &choice), SL_REASON_NO_CLUSTER);
    EXPECT_EQ(sl_choose_in_cluster(&t, 99, &ask, &choice), SL_REASON_TABLE_CORRUPT);
}

TEST(RequestCluster, that_left_the_generation_still_answers_until_its_row_is_freed) {
    World world;
    const std::uint32_t number = world.add_cluster(2);
    world.cluster_rows[number].in_use = 1;
    world.clusters[number].slot[1] = {2, SL_NONE, 0};
    world.control.generation = 2;
    const sl_tables t = world.tables();
    sl_ask ask = world.ask();
    sl_choice choice{};
    EXPECT_EQ(sl_choose_in_cluster(&t, number, &ask, &choice), SL_REASON_NONE);
    EXPECT_EQ(choice.cluster_row, number);
    world.cluster_rows[number].cluster = number + 1;
    EXPECT_EQ(sl_choose_in_cluster(&t, number, &ask, &choice), SL_REASON_NO_CLUSTER) << "another cluster's by now";
    world.cluster_rows[number].cluster = number;
    world.cluster_rows[number].in_use = 0;
    EXPECT_EQ(sl_choose_in_cluster(&t, number, &ask, &choice), SL_REASON_NO_CLUSTER) << "free";
}

TEST(RequestSpill, goes_to_the_columns_that_can_be_used_by_weight) {
    World world;
    const std::uint32_t down = world.add_cluster(1), one = world.add_cluster(1), three = world.add_cluster(1);
    world.health[0].ejected_until = world.now + World::kSecond;
    world.clusters[down].ejected = 1;
    const sl_destination columns[] = {
        {down, 6, 0xffffffffu, 0}, {one, 1, 0xffffffffu, 1}, {three, 3, 0xffffffffu, 2}, {SL_NONE, 5, 0xffffffffu, 3}};
    const sl_tables t = world.tables();
    EXPECT_FALSE(sl_cluster_number_usable(&t, down, SL_REACH_V4, world.now));
    EXPECT_TRUE(sl_cluster_number_usable(&t, one, SL_REACH_V4, world.now));
    EXPECT_FALSE(sl_cluster_number_usable(&t, SL_NONE, SL_REACH_V4, world.now));
    int counts[5] = {};
    for (int i = 0; i < 20'000; ++i) {
        sl_ask ask = world.ask();
        ++counts[sl_choose_spill_column(&t, columns, 4, &ask)];
    }
    EXPECT_EQ(counts[0] + counts[3] + counts[4], 0);
    EXPECT_NEAR(counts[2] / 20'000.0, 0.75, 0.02);
    sl_ask ask = world.ask();
    EXPECT_EQ(sl_choose_spill_column(&t, columns, 1, &ask), 1u) << "nobody can take it: the count";
}

// A linear curve over ten seconds, from a tenth.
sl_warmup ten_seconds() {
    sl_warmup curve{};
    curve.duration_ns = 10 * World::kSecond;
    for (std::uint32_t i = 0; i < SL_WARMUP_STEPS; ++i) {
        curve.share[i] = static_cast<std::uint32_t>(std::max(0.1, (i + 0.5) / SL_WARMUP_STEPS) * 0xffffffffu);
    }
    return curve;
}

double accepted(World& world, std::uint32_t endpoint) {
    const sl_tables t = world.tables();
    const sl_warmup curve = ten_seconds();
    int taken = 0;
    for (int i = 0; i < 20'000; ++i) {
        sl_ask ask = world.ask();
        taken += sl_warmup_accepts(&t, &curve, endpoint, &ask);
    }
    return taken / 20'000.0;
}

TEST(RequestWarmup, share_grows_with_the_age_of_an_endpoint_or_of_its_return) {
    World world;
    world.add_cluster(1);
    const auto age = [&](std::uint64_t seconds) {
        world.endpoints[0].since_ds = static_cast<std::uint32_t>((world.now / World::kSecond - seconds) * 10);
    };
    age(0);
    EXPECT_NEAR(accepted(world, 0), 0.1, 0.01);
    age(5);
    EXPECT_NEAR(accepted(world, 0), 0.5, 0.03);
    age(10);
    EXPECT_EQ(accepted(world, 0), 1.0);
    world.health[0].last_return = world.now - 2 * World::kSecond;
    EXPECT_NEAR(accepted(world, 0), 0.2, 0.03) << "it came back two seconds ago";
    EXPECT_EQ(accepted(world, 77), 1.0) << "no such endpoint: nothing to hold back";
}

}  // namespace
}  // namespace sluice::test
