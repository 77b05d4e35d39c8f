// Any callback may destroy any object of the loop, also the one that it is called for.
#include "tests/unit/io/looping.h"

namespace sluice::io {
namespace {

class DestroyTest : public LoopTest {
  protected:
    // Two connections; `victim` and `other` are their ends here.
    Pair first, second;
    User victim, other;

    void SetUp() override {
        LoopTest::SetUp();
        if (loop) {
            victim.over(*loop, std::move(first.first));
            other.over(*loop, std::move(second.first));
        }
    }
    void TearDown() override {
        victim.stream.reset();
        other.stream.reset();
    }
    void destroy_both() {
        victim.stream.reset();
        other.stream.reset();
    }
    void both_are_closed() {
        char octet;
        EXPECT_TRUE(run_until([&] {
            return ::recv(first.second.get(), &octet, 1, 0) <= 0 && errno != EAGAIN &&
                   ::recv(second.second.get(), &octet, 1, 0) <= 0 && errno != EAGAIN;
        }));
        EXPECT_EQ(loop->stats().buffers_used, 0u);
    }
};
SLUICE_BOTH_BACKENDS(DestroyTest);

TEST_P(DestroyTest, InOnData) {
    int heard = 0;
    victim.then_data = other.then_data = [&](Slice&) {
        ++heard;
        destroy_both();
        errno = 0;
    };
    ASSERT_EQ(::send(first.second.get(), "a", 1, 0), 1);
    ASSERT_EQ(::send(second.second.get(), "b", 1, 0), 1);
    ASSERT_TRUE(run_until([&] { return heard > 0; }));
    run_for(3ms);
    EXPECT_EQ(heard, 1);
    errno = 0;
    both_are_closed();
}

TEST_P(DestroyTest, InOnEnd) {
    victim.then_end = other.then_end = [&] { destroy_both(); };
    ::shutdown(first.second.get(), SHUT_WR);
    ::shutdown(second.second.get(), SHUT_WR);
    ASSERT_TRUE(run_until([&] { return victim.ends + other.ends > 0; }));
    run_for(3ms);
    EXPECT_EQ(victim.ends + other.ends, 1);
}

TEST_P(DestroyTest, InOnDrained) {
    victim.then_drained = other.then_drained = [&] { destroy_both(); };
    for (User* user : {&victim, &other}) {
        user->stream->write("some");
        user->stream->want_drained();
    }
    ASSERT_TRUE(run_until([&] { return victim.drained + other.drained > 0; }));
    run_for(3ms);
    EXPECT_EQ(victim.drained + other.drained, 1);
}

TEST_P(DestroyTest, InOnClosed) {
    victim.then_closed = other.then_closed = [&] { destroy_both(); };
    const linger hard{.l_onoff = 1, .l_linger = 0};
    for (Fd* end : {&first.second, &second.second}) {
        ::setsockopt(end->get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        end->reset();
    }
    ASSERT_TRUE(run_until([&] { return victim.closed + other.closed > 0; }));
    run_for(3ms);
    EXPECT_EQ(victim.closed + other.closed, 1);
}

TEST_P(DestroyTest, InOnConnected) {
    const Fd listening = listening_socket();
    User one, two;
    one.then_connected = two.then_connected = [&] {
        one.stream.reset();
        two.stream.reset();
    };
    one.to(*loop, port_of(listening.get()));
    two.to(*loop, port_of(listening.get()));
    ASSERT_TRUE(run_until([&] { return one.connected + two.connected > 0; }));
    run_for(3ms);
    EXPECT_EQ(one.connected + two.connected, 1);
}

TEST_P(DestroyTest, AConnectUnderWay) {
    const Fd unheard = bound_socket();
    for (int i = 0; i < 100; ++i) {
        User one;
        one.to(*loop, port_of(unheard.get()));
        if (i % 2 == 0) {
            run_for(0ms);
        }
    }
    run_for(2ms);
}

TEST_P(DestroyTest, InOnAccept) {
    Fd listening = listening_socket();
    std::vector<Fd> clients;
    const sockaddr_in to = loopback(port_of(listening.get()));
    for (int i = 0; i < 5; ++i) {
        clients.push_back(tcp_socket());
        ::connect(clients.back().get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    }
    Acceptor acceptor;
    std::optional<Listener> listener;
    int accepted = 0;
    acceptor.then = [&](Fd) {
        ++accepted;
        listener.reset();
        destroy_both();
    };
    listener.emplace(*loop, std::move(listening), acceptor);
    ASSERT_TRUE(run_until([&] { return accepted > 0; }));
    run_for(3ms);
    EXPECT_EQ(accepted, 1);
}

TEST_P(DestroyTest, InATimerAndAPostedCall) {
    struct Owner {
        std::optional<Timer> timer;
        std::function<void()> then;
    } owner;
    int fired = 0;
    owner.then = [&] {
        ++fired;
        owner.timer.reset();
        victim.stream.reset();
    };
    owner.timer.emplace(*loop, owner, [](Owner& o) { o.then(); });
    owner.timer->start(1ms);
    ASSERT_TRUE(run_until([&] { return fired == 1; }));
    loop->post([&] { other.stream.reset(); });
    ASSERT_TRUE(run_until([&] { return !other.stream; }));
    errno = 0;
    both_are_closed();
}

// States are used again: what was said of the one before must not reach the next.
TEST_P(DestroyTest, ANewStreamInTheSameTurnHearsNothingOfTheOldOne) {
    Pair third;
    User next;
    victim.then_data = [&](Slice&) {
        victim.stream->write("never sent");
        victim.stream->want_drained();
        victim.stream.reset();
        next.over(*loop, std::move(third.first));
    };
    ASSERT_EQ(::send(first.second.get(), "old", 3, 0), 3);
    ::shutdown(first.second.get(), SHUT_WR);
    ASSERT_TRUE(run_until([&] { return next.stream.has_value(); }));
    run_for(5ms);
    EXPECT_EQ(next.got, "");
    EXPECT_EQ(next.ends + next.drained + next.closed, 0);
    ASSERT_EQ(::send(third.second.get(), "new", 3, 0), 3);
    ASSERT_TRUE(run_until([&] { return next.got == "new"; }));
}

}  // namespace
}  // namespace sluice::io
