// The gate of a watched connection: who may begin, who finishes, and when it closes.
#include "bpf/lib/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace sluice::test {
namespace {

struct Door {
    __u32 gate = 0;
    __u64 closed_ns = 0;

    sl_gate_begun begin(__u64 now) { return sl_gate_begin(&gate, &closed_ns, now); }
    bool asked() { return sl_gate_reach(&gate, SL_GATE_ASKED) != 0; }
    bool answered() { return sl_gate_reach(&gate, SL_GATE_ANSWERED) != 0; }
    // 0: somebody else did; 1: open after; 2: closed after.
    int finish(sl_gate_wish wish = SL_GATE_AS_WANTED, __u64 now = 100) {
        int closed = 0;
        return sl_gate_finish(&gate, &closed_ns, wish, now, &closed) ? 1 + closed : 0;
    }
    bool want(bool now_too, __u64 now) { return sl_gate_want(&gate, &closed_ns, now_too, now) != 0; }
    __u32 shown() const { return gate & SL_GATE_PUBLIC; }
};

TEST(Gate, OneRequestAtATime) {
    Door door;
    EXPECT_EQ(SL_GATE_BEGUN, door.begin(1));
    EXPECT_EQ(SL_GATE_TAKEN, door.begin(2));
    EXPECT_FALSE(door.asked());
    EXPECT_TRUE(door.answered());
    EXPECT_EQ(1, door.finish());
    EXPECT_EQ(0, door.finish());
    EXPECT_EQ(SL_GATE_BEGUN, door.begin(3));
}

TEST(Gate, TheSecondOfAskedAndAnsweredFinishes) {
    Door door;
    door.begin(1);
    EXPECT_FALSE(door.answered());
    EXPECT_FALSE(door.answered());
    EXPECT_TRUE(door.asked());
    EXPECT_FALSE(door.asked());
}

TEST(Gate, ClosesAtOnceWhenIdleAndHoldsRequestsBackForAWhile) {
    Door door;
    EXPECT_TRUE(door.want(false, 1000));
    EXPECT_EQ(SL_GATE_SHUT, door.begin(1000));
    EXPECT_EQ(SL_GATE_SHUT, door.begin(1000 + SL_GATE_NS - 1));
    EXPECT_EQ(SL_GATE_BEGUN, door.begin(1000 + SL_GATE_NS));
    EXPECT_EQ(SL_GATE_BUSY, door.shown());
}

TEST(Gate, IsRenewed) {
    Door door;
    door.want(false, 1000);
    const __u32 seen = door.gate;
    EXPECT_TRUE(door.want(false, 5000));
    EXPECT_NE(seen, door.gate) << "who saw it expire before could open it after";
    EXPECT_EQ(SL_GATE_SHUT, door.begin(1000 + SL_GATE_NS));
    EXPECT_EQ(SL_GATE_BEGUN, door.begin(5000 + SL_GATE_NS));
}

TEST(Gate, WaitsForTheAnswerWhenBusy) {
    Door door;
    door.begin(1);
    EXPECT_FALSE(door.want(false, 2));
    EXPECT_EQ(SL_GATE_BUSY | SL_GATE_WANTED, door.shown());
    EXPECT_EQ(2, door.finish(SL_GATE_AS_WANTED, 50));
    EXPECT_EQ(50u, door.closed_ns);
    EXPECT_EQ(SL_GATE_CLOSED, door.shown());
}

TEST(Gate, OpensWhenNobodyWouldCome) {
    Door door;
    door.begin(1);
    door.want(false, 2);
    EXPECT_EQ(1, door.finish(SL_GATE_OPEN));
    EXPECT_EQ(0u, door.shown());
}

TEST(Gate, ClosesOnABusyConnectionWhenAskedToDoSoNow) {
    Door door;
    door.begin(1);
    EXPECT_TRUE(door.want(true, 2));
    EXPECT_EQ(SL_GATE_BUSY | SL_GATE_CLOSED, door.shown());
    EXPECT_EQ(2, door.finish(SL_GATE_OPEN)) << "the caller is on its way";
}

TEST(Gate, ClosesWithoutBeingWanted) {
    Door door;
    door.begin(1);
    EXPECT_EQ(2, door.finish(SL_GATE_CLOSE));
}

// A client, a server and a drain at once: every request that began is finished by exactly one of those who try, and
// none begins behind a closed gate.
TEST(Gate, UnderRacesEachRequestIsFinishedOnce) {
    constexpr int kRequests = 20000;
    Door door;
    std::atomic<int> begun = 0, finished = 0;
    std::atomic<bool> stop = false;
    const auto finisher = [&] {
        while (!stop) {
            if (sl_load(&door.gate) & SL_GATE_ASKED) {
                finished += door.finish() != 0;
            }
        }
    };
    std::thread one(finisher), two(finisher);
    std::thread drain([&] {
        while (!stop) {
            door.want(false, 1);
        }
    });
    for (__u64 now = 2; begun < kRequests; now += SL_GATE_NS) {
        if (door.begin(now) == SL_GATE_BEGUN) {
            ++begun;
            door.asked();
            while (sl_load(&door.gate) & SL_GATE_BUSY) {
                std::this_thread::yield();
            }
        }
    }
    stop = true;
    one.join();
    two.join();
    drain.join();
    EXPECT_EQ(begun, finished);
}

}  // namespace
}  // namespace sluice::test
