// Alias tables, hash rings, Maglev tables and allocators.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "base/ip.h"
#include "bpf/lib/hash.h"
#include "compile/alias.h"
#include "compile/allocator.h"
#include "compile/ring.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice::compile {
namespace {

// The share that a table gives to each weight, in units of 2^-32 / n.
std::vector<unsigned __int128> shares(const std::vector<AliasColumn>& columns) {
    std::vector<unsigned __int128> result(columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const std::uint64_t keep = columns[i].alias == i ? std::uint64_t{1} << 32 : columns[i].threshold;
        result[i] += keep;
        result[columns[i].alias] += (std::uint64_t{1} << 32) - keep;
    }
    return result;
}

void expect_exact(const std::vector<std::uint32_t>& weights) {
    const std::vector<AliasColumn> columns = build_alias(weights);
    const auto got = shares(columns);
    unsigned __int128 sum = 0;
    for (const std::uint32_t weight : weights) {
        sum += weight;
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
        ASSERT_LT(columns[i].alias, weights.size());
        // |share - weight / sum| <= 2^-32, both sides times n * 2^32 * sum.
        const auto is = static_cast<__int128>(got[i] * sum);
        const auto wanted = static_cast<__int128>((static_cast<unsigned __int128>(weights[i]) << 32) * weights.size());
        const __int128 off = is > wanted ? is - wanted : wanted - is;
        EXPECT_LE(off, static_cast<__int128>(sum * weights.size())) << "weight " << i;
        if (weights[i] == 0) {
            EXPECT_EQ(got[i], 0u) << "weight 0 is never drawn";
        }
    }
}

TEST(Alias, SharesAreWeightsOverSum) {
    expect_exact({85, 10, 5});
    expect_exact({1, 2});
    expect_exact({100, 50});
    expect_exact({0, 1, 0, 7, 0});
    expect_exact({1, 4294967295u});
    expect_exact({4294967295u, 4294967295u, 4294967295u, 1});
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::uint32_t> weights(1 + random() % 32);
        for (std::uint32_t& weight : weights) {
            weight = random() % 4 == 0 ? 0 : random() >> (random() % 32);
        }
        if (std::ranges::any_of(weights, [](std::uint32_t w) { return w != 0; })) {
            expect_exact(weights);
        }
    }
}

TEST(Alias, ASingleDestinationGetsEverythingWhateverItsWeight) {
    for (const std::uint32_t weight : {0u, 1u, 100u}) {
        const auto columns = build_alias(std::vector<std::uint32_t>{weight});
        EXPECT_EQ(columns[0].threshold, 0xffffffffu);
        EXPECT_EQ(columns[0].alias, 0u);
    }
}

std::vector<std::string> keys(int count) {
    std::vector<std::string> result;
    for (int i = 0; i < count; ++i) {
        result.push_back("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1) + ":8080");
    }
    return result;
}

TEST(Hash, TheAddressHashIsXxh64OfItsBytes) {
    std::mt19937 random(3);
    for (int i = 0; i < 200; ++i) {
        std::uint8_t bytes[16];
        for (std::uint8_t& byte : bytes) {
            byte = static_cast<std::uint8_t>(random());
        }
        EXPECT_EQ(sl_hash_address(bytes), XXH64(bytes, sizeof bytes, 0));
    }
}

TEST(Ring, HasEveryEndpointEquallyAndIsSorted) {
    for (const int count : {1, 3, 7, 1000, 3000}) {
        const auto ring = build_ring(keys(count), 1024);
        EXPECT_EQ(ring.size(), ring_size(static_cast<std::size_t>(count), 1024));
        EXPECT_GE(ring.size(), 1024u);
        std::map<std::uint32_t, std::size_t> nodes;
        for (std::size_t i = 0; i < ring.size(); ++i) {
            ++nodes[ring[i].position];
            EXPECT_TRUE(i == 0 || ring[i - 1].hash <= ring[i].hash);
        }
        EXPECT_EQ(nodes.size(), static_cast<std::size_t>(count));
        EXPECT_EQ(nodes.begin()->second * static_cast<std::size_t>(count), ring.size());
    }
    EXPECT_TRUE(build_ring({}, 1024).empty());
}

TEST(Ring, NodesHashAsEnvoyNamesThem) {
    const auto ring = build_ring(keys(1), 4);
    std::set<std::uint32_t> expected, got;
    for (int i = 0; i < 4; ++i) {
        const std::string name = "10.0.0.1:8080_" + std::to_string(i);
        expected.insert(static_cast<std::uint32_t>(XXH64(name.data(), name.size(), 0) >> 32));
        got.insert(ring[static_cast<std::size_t>(i)].hash);
    }
    EXPECT_EQ(got, expected);
}

std::uint32_t ring_owner(const std::vector<sl_hash_entry>& ring, std::uint32_t hash) {
    const auto found = std::ranges::partition_point(ring, [&](const sl_hash_entry& e) { return e.hash < hash; });
    return found == ring.end() ? ring.front().position : found->position;
}

TEST(Ring, RemovingAnEndpointMovesOnlyItsKeys) {
    auto all = keys(20);
    const auto before = build_ring(all, 4096);
    auto fewer = all;
    fewer.erase(fewer.begin() + 7);
    const auto after = build_ring(fewer, 4096);
    // The rings differ in nodes an endpoint (205 against 216), so a few keys may move between survivors too.
    std::mt19937 random(1);
    int moved = 0, owned = 0;
    for (int i = 0; i < 20'000; ++i) {
        const auto hash = static_cast<std::uint32_t>(random());
        const std::string& was = all[ring_owner(before, hash)];
        const std::string& is = fewer[ring_owner(after, hash)];
        owned += was == all[7] ? 1 : 0;
        moved += was != all[7] && was != is ? 1 : 0;
    }
    EXPECT_NEAR(owned, 1000, 500);
    EXPECT_LT(moved, 20'000 / 10);
}

TEST(Maglev, FillsEverySlotEvenly) {
    for (const int count : {1, 3, 40}) {
        const auto table = build_maglev(keys(count), 65537);
        ASSERT_EQ(table.size(), 65537u);
        std::map<std::uint32_t, int> slots;
        for (const sl_hash_entry& entry : table) {
            ++slots[entry.position];
        }
        EXPECT_EQ(slots.size(), static_cast<std::size_t>(count));
        for (const auto& [position, owned] : slots) {
            EXPECT_NEAR(owned, 65537 / count, 2) << position;
        }
    }
}

TEST(Maglev, RemovingAnEndpointMovesFewOtherSlots) {
    auto all = keys(20);
    const auto before = build_maglev(all, 65537);
    auto fewer = all;
    fewer.erase(fewer.begin() + 7);
    const auto after = build_maglev(fewer, 65537);
    int moved = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
        const std::string& was = all[before[i].position];
        moved += was != all[7] && was != fewer[after[i].position] ? 1 : 0;
    }
    EXPECT_LT(moved, 65537 / 20) << "fewer others than its own";
}

TEST(Allocator, RowsComeBackLastAndNeverTwice) {
    RowAllocator rows(3);
    EXPECT_EQ(rows.take(), 0u);
    EXPECT_EQ(rows.take(), 1u);
    rows.give_back(0);
    EXPECT_EQ(rows.take(), 2u);
    EXPECT_EQ(rows.take(), 0u);
    EXPECT_EQ(rows.take(), SL_NONE);
    EXPECT_EQ(rows.used(), 3u);
    rows.adopt({false, true});
    EXPECT_EQ(rows.used(), 1u);
    EXPECT_EQ(rows.take(), 2u);
    EXPECT_EQ(rows.take(), 0u);
    EXPECT_EQ(rows.take(), SL_NONE);
}

TEST(Allocator, RangesNeverOverlapAndJoinAgain) {
    constexpr std::uint64_t kCapacity = 4096;
    RangeAllocator ranges(kCapacity);
    std::vector<bool> used(kCapacity);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> taken;
    std::mt19937 random(11);
    std::uint64_t total = 0;
    for (int i = 0; i < 20'000; ++i) {
        if (random() % 2 == 0 && !taken.empty()) {
            const std::size_t which = random() % taken.size();
            const auto [first, count] = taken[which];
            ranges.give_back(first, count);
            std::fill_n(used.begin() + first, count, false);
            taken.erase(taken.begin() + static_cast<std::ptrdiff_t>(which));
            total -= count;
        } else {
            const std::uint32_t count = 1 + random() % 100;
            const std::uint32_t first = ranges.take(count);
            if (first != SL_NONE) {
                for (std::uint32_t row = first; row < first + count; ++row) {
                    ASSERT_FALSE(used.at(row));
                    used[row] = true;
                }
                taken.emplace_back(first, count);
                total += count;
            }
        }
        ASSERT_EQ(ranges.used(), total);
    }
    for (const auto& [first, count] : taken) {
        ranges.give_back(first, count);
    }
    EXPECT_EQ(ranges.take(kCapacity), 0u) << "one gap again";
}

TEST(Allocator, ReserveTakesExactlyWhatIsFree) {
    RangeAllocator ranges(100);
    EXPECT_TRUE(ranges.reserve(10, 20));
    EXPECT_FALSE(ranges.reserve(29, 2));
    EXPECT_FALSE(ranges.reserve(0, 11));
    EXPECT_TRUE(ranges.reserve(0, 10));
    EXPECT_TRUE(ranges.reserve(30, 70));
    EXPECT_FALSE(ranges.reserve(100, 1));
    EXPECT_EQ(ranges.used(), 100u);
    EXPECT_EQ(ranges.take(1), SL_NONE);
    ranges.give_back(10, 20);
    EXPECT_EQ(ranges.take(20), 10u);
}

}  // namespace
}  // namespace sluice::compile
