// A key of finished requests has one place, which who comes first holds; nobody else is ever counted there.
#include "bpf/lib/slots.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace sluice::test {
namespace {

sl_slot_key key_of(const sl_request_key& k) {
    return sl_slot_key_of(k.workload, k.cluster, k.destination_workload, k.status, k.reason, k.shard);
}

bool same(const sl_request_key& a, const sl_request_key& b) {
    return a.workload == b.workload && a.cluster == b.cluster && a.destination_workload == b.destination_workload &&
           a.status == b.status && a.reason == b.reason && a.shard == b.shard;
}

TEST(RequestSlots, KeysAreWholeInTheirWords) {
    std::mt19937_64 random(7);
    std::vector<sl_request_key> keys = {
        {0, 0, 0, 0, 0, 0},
        {0xfffffffe, 0xfffffffe, 0xffffffff, 0xffff, 0xff, SL_REQUEST_SHARDS - 1},
        {0, SL_NONE - 1, 0, 599, 0, 0},
    };
    for (int i = 0; i < 10'000; ++i) {
        keys.push_back({static_cast<__u32>(random() >> (random() % 64)), static_cast<__u32>(random() % SL_NONE),
                        static_cast<__u32>(random()), static_cast<__u16>(random()), static_cast<__u8>(random()),
                        static_cast<__u8>(random() % SL_REQUEST_SHARDS)});
    }
    for (const sl_request_key& key : keys) {
        const sl_slot_key words = key_of(key);
        EXPECT_NE(0u, words.who);
        EXPECT_NE(0u, words.what);
        EXPECT_NE(SL_SLOT_LEFT, words.what);
        EXPECT_TRUE(same(key, sl_slot_request_key(words)));
    }
}

TEST(RequestSlots, OneThatIsHeldOrLeftIsNotClaimed) {
    sl_request_slot slot{};
    const sl_slot_key first = sl_slot_key_of(1, 2, 3, 200, 0, 1);
    const sl_slot_key second = sl_slot_key_of(1, 2, 3, 404, 0, 1);
    EXPECT_FALSE(sl_slot_holds(&slot, first));
    EXPECT_TRUE(sl_slot_claim(&slot, first));
    EXPECT_TRUE(sl_slot_holds(&slot, first));
    EXPECT_FALSE(sl_slot_claim(&slot, second));
    EXPECT_FALSE(sl_slot_claim(&slot, first));
    EXPECT_FALSE(sl_slot_holds(&slot, second));
    slot.what = SL_SLOT_LEFT;
    EXPECT_FALSE(sl_slot_holds(&slot, first));
    EXPECT_FALSE(sl_slot_claim(&slot, first));
}

TEST(RequestSlots, ArePlacesWithinTheTableWhateverItsSize) {
    std::vector<sl_request_slot> slots(2048);
    for (const std::uint32_t count : {1u, 7u, 2048u}) {
        for (std::uint32_t cluster = 0; cluster < 500; ++cluster) {
            const auto* slot = sl_slot_at(slots.data(), count, sl_slot_key_of(0, cluster, 0, 200, 0, 0));
            ASSERT_TRUE(slot >= slots.data() && slot < slots.data() + count);
        }
    }
    EXPECT_EQ(nullptr, sl_slot_at(slots.data(), 0, sl_slot_key_of(0, 1, 0, 200, 0, 0)));
}

// 64 versions on 8 shards: 512 keys fall on 2048 places as random ones would. Those share a place with another in
// 60 cases on average (512 * 511 / 2 / 2048), and in 100 never (more than five standard deviations).
TEST(RequestSlots, KeysThatDifferInFewBitsLieApart) {
    for (const std::uint32_t workloads : {1u, 4u}) {
        std::set<std::ptrdiff_t> places;
        std::vector<sl_request_slot> slots(2048);
        for (std::uint32_t i = 0; i < 512; ++i) {
            const auto key =
                sl_slot_key_of(i % workloads, i / 8, i / 8, 200, 0, static_cast<__u8>(i % SL_REQUEST_SHARDS));
            places.insert(sl_slot_at(slots.data(), 2048, key) - slots.data());
        }
        EXPECT_GT(places.size(), 412u);
    }
}

TEST(RequestSlots, AreOnesOfManyThreads) {
    for (int round = 0; round < 200; ++round) {
        sl_request_slot slot{};
        std::atomic<int> claimed = 0;
        std::atomic<std::uint64_t> counted = 0;
        std::vector<std::thread> threads;
        for (std::uint32_t t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                const sl_slot_key key = sl_slot_key_of(t, t, 0, 200, 0, 0);
                claimed += sl_slot_claim(&slot, key);
                for (int i = 0; i < 50; ++i) {
                    if (sl_slot_holds(&slot, key)) {
                        sl_add(&slot.counts.requests, 1);
                        ++counted;
                    }
                }
            });
        }
        for (auto& thread : threads) {
            thread.join();
        }
        EXPECT_EQ(1, claimed);
        EXPECT_EQ(50u, counted);
        EXPECT_EQ(50u, slot.counts.requests);
    }
}

}  // namespace
}  // namespace sluice::test
