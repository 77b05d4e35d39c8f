// The test of the descriptor limit lowers it for the process for a moment.
#include <sys/resource.h>

#include <algorithm>

#include "tests/unit/io/looping.h"

namespace sluice::io {
namespace {

class ListenerTest : public LoopTest {
  protected:
    Fd dial(std::uint16_t port) {
        Fd socket = tcp_socket();
        const sockaddr_in to = loopback(port);
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to));
        return socket;
    }
};
SLUICE_BOTH_BACKENDS(ListenerTest);

// Each connection asks once and is answered and closed, now by one end, now by the other.
TEST_P(ListenerTest, TwoThousandConnectionsLeaveNothingBehind) {
    Fd listening = listening_socket();
    const std::uint16_t port = port_of(listening.get());
    run_for(1ms);
    const std::size_t before = open_descriptors();
    std::vector<std::unique_ptr<User>> servers, clients;
    int done = 0, begun = 0;
    Acceptor acceptor;
    acceptor.then = [&](Fd socket) {
        servers.push_back(std::make_unique<User>());
        User* user = servers.back().get();
        user->over(*loop, std::move(socket));
        user->then_data = [user](Slice& data) {
            user->stream->write(std::move(data));
            user->stream->close();
            user->stream.reset();
        };
    };
    auto begin = [&] {
        clients.push_back(std::make_unique<User>());
        User* user = clients.back().get();
        user->to(*loop, port);
        user->stream->write("question");
        user->stream->read(true);
        auto end = [&done, user] {
            user->stream.reset();
            ++done;
        };
        if (begun++ % 2 == 0) {
            user->then_data = [end](Slice&) { end(); };
        } else {
            user->then_end = end;
        }
    };
    {
        Listener listener(*loop, std::move(listening), acceptor);
        ASSERT_TRUE(run_until([&] {
            while (begun < 2000 && begun - done < 50) {
                begin();
            }
            return done == 2000;
        }));
    }
    ASSERT_TRUE(run_until([&] { return open_descriptors() <= before; }));
    EXPECT_EQ(servers.size(), 2000u);
    EXPECT_TRUE(std::ranges::all_of(clients, [](const auto& user) { return user->closed == 0; }));
    EXPECT_EQ(loop->stats().buffers_used, 0u);
}

TEST_P(ListenerTest, AReleasedListenerIsHandedOverWithItsQueue) {
    Fd listening = listening_socket();
    const std::uint16_t port = port_of(listening.get());
    Acceptor first, second;
    std::vector<Fd> clients;
    std::optional<Listener> old;
    old.emplace(*loop, std::move(listening), first);
    clients.push_back(dial(port));
    ASSERT_TRUE(run_until([&] { return first.sockets.size() == 1; }));
    Fd given = old->release();
    ASSERT_TRUE(given);
    EXPECT_EQ(old->fd(), -1);
    for (int i = 0; i < 10; ++i) {
        clients.push_back(dial(port));
    }
    run_for(5ms);
    EXPECT_EQ(first.sockets.size(), 1u) << "accepts no more";
    old.reset();
    Listener next(*loop, std::move(given), second);
    ASSERT_TRUE(run_until([&] { return second.sockets.size() == 10; }));
    EXPECT_TRUE(::fcntl(second.sockets[0].get(), F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(::fcntl(second.sockets[0].get(), F_GETFD) & FD_CLOEXEC);
}

TEST_P(ListenerTest, WithoutDescriptorsItSaysSoPausesAndGoesOn) {
    Fd listening = listening_socket();
    const std::uint16_t port = port_of(listening.get());
    std::vector<Fd> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(dial(port));
    }
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    std::vector<Fd> fill;  // none is free below the limit
    const rlimit low{.rlim_cur = 64, .rlim_max = limit.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    while (Fd one{::dup(listening.get())}) {
        fill.push_back(std::move(one));
    }
    Acceptor acceptor;
    Listener listener(*loop, std::move(listening), acceptor);
    const std::uint64_t began = loop->now_ns();
    const bool told = run_until([&] { return acceptor.errors.size() == 2; });
    const std::uint64_t ended = loop->now_ns();
    fill.clear();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    ASSERT_TRUE(told);
    EXPECT_EQ(acceptor.errors[0], EMFILE);
    EXPECT_GE(ended - began, 100'000'000u) << "a pause between the two";
    ASSERT_TRUE(run_until([&] { return acceptor.sockets.size() == 3; }));
}

}  // namespace
}  // namespace sluice::io
