// Timers, posted calls, turns, buffers.
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "tests/unit/io/looping.h"

namespace sluice::io {
namespace {

class LoopingTest : public LoopTest {};
SLUICE_BOTH_BACKENDS(LoopingTest);

struct Alarm {
    Loop& loop;
    std::vector<int>* fired = nullptr;
    int number = 0;
    std::uint64_t due = 0, at = 0;
    Timer timer{loop, *this, [](Alarm& a) { a.fire(); }};

    void start(std::chrono::nanoseconds after) {
        due = loop.now_ns() + static_cast<std::uint64_t>(after.count());
        timer.start(after);
    }
    void fire() {
        EXPECT_FALSE(timer.running());
        at = loop.now_ns();
        fired->push_back(number);
    }
};

TEST_P(LoopingTest, TimersFireInTheOrderOfTheirTimes) {
    std::vector<int> fired;
    std::vector<std::unique_ptr<Alarm>> alarms;
    std::mt19937 random(3);
    for (int i = 0; i < 1000; ++i) {
        alarms.emplace_back(new Alarm{.loop = *loop, .fired = &fired, .number = i});
        alarms.back()->start(std::chrono::microseconds(random() % 600'000));
    }
    std::size_t running = alarms.size();
    for (std::size_t i = 0; i < alarms.size(); i += 10) {  // some are stopped, some moved
        alarms[i]->timer.stop();
        EXPECT_FALSE(alarms[i]->timer.running());
        alarms[i + 1]->start(std::chrono::microseconds(random() % 600'000));
        --running;
    }
    ASSERT_TRUE(run_until([&] { return fired.size() == running; }));
    std::uint64_t last = 0;
    for (const int number : fired) {
        const Alarm& alarm = *alarms[static_cast<std::size_t>(number)];
        EXPECT_NE(number % 10, 0) << "was stopped";
        EXPECT_GE(alarm.at, alarm.due) << "too early";
        EXPECT_GE(alarm.due / 1'000'000 + 1, last / 1'000'000) << "out of order";
        last = std::max(last, alarm.due);
    }
}

TEST_P(LoopingTest, ATimerMayStartItselfAndStopOthers) {
    std::vector<int> fired;
    Alarm other{.loop = *loop, .fired = &fired, .number = 1};
    struct Again {
        Loop& loop;
        Alarm& other;
        int count = 0;
        Timer timer{loop, *this, [](Again& a) {
                        a.other.timer.stop();
                        if (++a.count < 20) {
                            a.timer.start(0ns);
                        }
                    }};
    } again{.loop = *loop, .other = other};
    again.timer.start(2ms);
    other.timer.start(2ms);  // in the same tick, behind it or before it
    const std::uint64_t began = loop->now_ns();
    ASSERT_TRUE(run_until([&] { return again.count == 20; }));
    EXPECT_GE(loop->now_ns() - began, 20'000'000u) << "each in a tick of its own";
    EXPECT_LE(fired.size(), 1u);
    run_for(3ms);
    EXPECT_EQ(again.count, 20);
}

// Beyond the first levels of the wheel, and no turn more than it takes to get there.
TEST_P(LoopingTest, AnIdleLoopSleeps) {
    std::vector<int> fired;
    Alarm near{.loop = *loop, .fired = &fired, .number = 1};
    Alarm far{.loop = *loop, .fired = &fired, .number = 2};
    near.start(700ms);
    far.start(std::chrono::hours(24 * 365));
    loop->set_turn([&](bool) {
        if (!fired.empty()) {
            loop->stop();
        }
    });
    loop->run();
    EXPECT_EQ(fired, std::vector<int>{1});
    EXPECT_GE(near.at, near.due);
    EXPECT_LE(loop->stats().turns, 12u);
    EXPECT_TRUE(far.timer.running());
}

TEST_P(LoopingTest, PostedCallsRunInTheOrderOfEachThread) {
    constexpr int kThreads = 4, kCalls = 5000;
    std::vector<std::vector<int>> heard(kThreads);
    int total = 0;
    const auto here = std::this_thread::get_id();
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < kCalls; ++i) {
                loop->post([&, t, i] {
                    EXPECT_EQ(std::this_thread::get_id(), here);
                    heard[static_cast<std::size_t>(t)].push_back(i);
                    ++total;
                });
            }
        });
    }
    EXPECT_TRUE(run_until([&] { return total == kThreads * kCalls; }));
    for (auto& thread : threads) {
        thread.join();
    }
    for (const auto& calls : heard) {
        EXPECT_TRUE(std::ranges::is_sorted(calls));
        EXPECT_EQ(calls.size(), static_cast<std::size_t>(kCalls));
    }
}

TEST_P(LoopingTest, StopsFromAnotherThreadAndRunsAgain) {
    for (int i = 0; i < 3; ++i) {
        std::thread other([&] { loop->stop(); });
        loop->run();
        other.join();
    }
}

// Quiescence: between false and true nothing is called, and nothing is called before the first true.
TEST_P(LoopingTest, CallbacksComeOnlyBetweenTheMarksOfATurn) {
    bool awake = false;
    int turns = 0, calls = 0;
    Pair pair;
    User user;
    user.over(*loop, std::move(pair.first));
    user.then_data = [&](Slice&) {
        EXPECT_TRUE(awake);
        ++calls;
    };
    std::function<void()> again = [&] {
        EXPECT_TRUE(awake);
        if (++calls < 50) {
            loop->post(again);
            EXPECT_EQ(::send(pair.second.get(), "x", 1, 0), 1);
        }
    };
    loop->post(again);
    loop->set_turn([&](bool now) {
        EXPECT_TRUE(now != awake);
        awake = now;
        turns += now;
        if (calls >= 50) {
            loop->stop();
        }
    });
    awake = true;  // the first mark is false
    loop->run();
    EXPECT_FALSE(awake);
    EXPECT_GT(turns, 0);
    loop->set_turn(nullptr);
}

// A pool of four buffers, all held by the user: reading waits, for everybody, until some come back.
TEST_P(LoopingTest, AnExhaustedPoolPausesReadingAndRecovers) {
    open(LoopOptions{.buffer_octets = 4096, .buffers_max = 4});
    Pair pair, second;
    User server, quiet;
    server.over(*loop, std::move(pair.first));
    quiet.over(*loop, std::move(second.first));
    std::vector<Slice> kept;
    std::string got;
    server.then_data = [&](Slice& data) {
        got += data.text();
        kept.push_back(std::move(data));
    };
    const std::string text = pattern(200'000);
    std::size_t sent = 0;
    auto push = [&] {
        const ssize_t count = ::send(pair.second.get(), text.data() + sent, text.size() - sent, MSG_DONTWAIT);
        sent += count > 0 ? static_cast<std::size_t>(count) : 0;
    };
    ASSERT_TRUE(run_until([&] {
        push();
        return loop->stats().pool_empty > 0;
    }));
    ASSERT_EQ(::send(second.second.get(), "too", 3, 0), 3);
    run_for(5ms);
    EXPECT_EQ(loop->stats().buffers_used, 4u);
    EXPECT_EQ(loop->stats().buffers, 4u);
    EXPECT_LE(got.size(), 4 * 4096u);
    EXPECT_EQ(quiet.got, "");
    loop->post([&] { kept.clear(); });
    server.then_data = [&](Slice& data) { got += data.text(); };
    ASSERT_TRUE(run_until([&] {
        push();
        return got.size() == text.size() && quiet.got == "too";
    }));
    EXPECT_TRUE(got == text);
    EXPECT_EQ(loop->stats().buffers_used, 0u);
    kept.clear();
    server.stream.reset();
    quiet.stream.reset();
}

TEST_P(LoopingTest, IdleConnectionsHoldNoBuffers) {
    std::vector<Pair> pairs(200);
    std::vector<std::unique_ptr<User>> users;
    std::size_t heard = 0;
    for (Pair& pair : pairs) {
        users.push_back(std::make_unique<User>());
        users.back()->over(*loop, std::move(pair.first));
        users.back()->then_data = [&](Slice&) { ++heard; };
        ASSERT_EQ(::send(pair.second.get(), "hello", 5, 0), 5);
    }
    ASSERT_TRUE(run_until([&] { return heard == pairs.size(); }));
    run_for(2ms);
    EXPECT_EQ(loop->stats().buffers_used, 0u);
    EXPECT_EQ(loop->stats().pool_empty, 0u);
}

// Slices of an earlier read stay as they were while new octets come.
TEST_P(LoopingTest, AKeptSliceKeepsItsOctets) {
    Pair pair;
    User user;
    user.over(*loop, std::move(pair.first));
    std::vector<Slice> kept;
    std::size_t octets = 0;
    user.then_data = [&](Slice& data) {
        octets += data.size();
        if (kept.size() < 300) {
            kept.push_back(data.part(0, 1));
        }
    };
    for (int i = 0; i < 300; ++i) {
        const std::string text(1 + static_cast<std::size_t>(i) % 7, static_cast<char>('a' + i % 26));
        const std::size_t before = octets;
        ASSERT_EQ(::send(pair.second.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
        ASSERT_TRUE(run_until([&] { return octets == before + text.size(); }));
    }
    ASSERT_EQ(kept.size(), 300u);
    for (std::size_t i = 0; i < kept.size(); ++i) {
        EXPECT_EQ(kept[i].text(), std::string(1, static_cast<char>('a' + i % 26)));
    }
    EXPECT_EQ(loop->stats().buffers_used, 300u);
    kept.clear();
    EXPECT_EQ(loop->stats().buffers_used, 0u);
}

}  // namespace
}  // namespace sluice::io
