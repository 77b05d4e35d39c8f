#include <random>

#include "tests/unit/io/looping.h"

namespace sluice::io {
namespace {

class StreamTest : public LoopTest {};
SLUICE_BOTH_BACKENDS(StreamTest);

// Sends `text` in pieces of random size, as text and as slices that an earlier read left, waiting for room now and
// then.
struct Sender {
    User& user;
    const std::string& text;
    std::mt19937 random{7};
    std::size_t at = 0;

    void fill() {
        while (at < text.size() && user.stream->queued() < 300'000) {
            const std::size_t size = std::min<std::size_t>(text.size() - at, 1 + random() % 40'000);
            user.stream->write(std::string_view(text).substr(at, size));
            at += size;
        }
        if (at < text.size()) {
            user.stream->want_drained();
        } else {
            user.stream->finish();
        }
    }
};

TEST_P(StreamTest, EchoesTenMegabytesBothWays) {
    Pair pair;
    const std::string text = pattern(10'000'000);
    User client, server;
    client.over(*loop, std::move(pair.first));
    server.over(*loop, std::move(pair.second));
    Sender sender{client, text};
    client.then_drained = [&] { sender.fill(); };
    std::mt19937 random(11);
    server.then_data = [&](Slice& data) {  // cut at a random place, so that small and large slices go back
        const std::size_t cut = random() % (data.size() + 1);
        server.stream->write(data.part(0, cut));
        server.stream->write(data.part(cut, data.size() - cut));
        if (server.stream->queued() > 500'000) {
            server.stream->read(false);
            server.stream->want_drained();
        }
    };
    server.then_drained = [&] { server.stream->read(true); };
    server.then_end = [&] { server.stream->finish(); };
    sender.fill();
    ASSERT_TRUE(run_until([&] { return client.ends == 1; }));
    EXPECT_TRUE(client.got == text);
    EXPECT_EQ(client.closed + server.closed, 0);
    client.stream.reset();
    server.stream.reset();
    run_for(2ms);
    EXPECT_EQ(loop->stats().buffers_used, 0u);
}

TEST_P(StreamTest, AReceiverThatStopsReadingStopsTheSender) {
    Pair pair;
    User client, server;
    client.over(*loop, std::move(pair.first));
    server.over(*loop, std::move(pair.second), false);
    const std::string text = pattern(32'000'000);
    client.stream->write(text);
    client.stream->want_drained();
    std::size_t before = 0;
    ASSERT_TRUE(run_until([&, same = 0]() mutable {  // until nothing moves any more
        same = client.stream->queued() == before ? same + 1 : 0;
        before = client.stream->queued();
        return same == 100;
    }));
    EXPECT_GT(client.stream->queued(), 1'000'000u);
    EXPECT_EQ(client.drained, 0);
    EXPECT_EQ(server.got, "");
    server.stream->read(true);
    ASSERT_TRUE(run_until([&] { return server.got.size() == text.size(); }));
    EXPECT_TRUE(server.got == text);
    run_for(5ms);
    EXPECT_EQ(client.drained, 1);
    EXPECT_EQ(client.stream->queued(), 0u);
}

// What is kept of a peer that goes on sending while nobody reads is bounded.
TEST_P(StreamTest, StoppingInTheMiddleKeepsABoundedAmount) {
    Pair pair;
    User client, server;
    client.over(*loop, std::move(pair.first));
    server.over(*loop, std::move(pair.second));
    const std::string text = pattern(64'000'000);
    std::size_t octets = 0;
    server.then_data = [&](Slice& data) {
        octets += data.size();
        server.stream->read(false);
    };
    client.stream->write(text);
    std::uint64_t most = 0;
    const std::uint64_t written = (text.size() + 16383) / 16384;
    for (int i = 0; i < 50; ++i) {
        const std::size_t heard = octets;
        server.stream->read(true);
        ASSERT_TRUE(run_until([&] { return octets > heard; }));
        run_for(2ms);
        const std::uint64_t queued = (client.stream->queued() + 16383) / 16384;
        most = std::max(most, loop->stats().buffers_used - std::min(loop->stats().buffers_used, queued));
    }
    EXPECT_LT(octets, text.size());
    EXPECT_LT(most, written / 8) << "buffers kept";
}

// Stopped at any slice and let go on from any place, a reader misses nothing, nor the end.
TEST_P(StreamTest, AReaderThatStopsAgainAndAgainHearsAll) {
    std::mt19937 random(17);
    for (int round = 0; round < 5; ++round) {
        Pair pair;
        const std::string text = pattern(6'000'000);
        User client, server;
        client.over(*loop, std::move(pair.first));
        server.over(*loop, std::move(pair.second));
        server.then_data = [&](Slice& data) {
            server.got += data.text();
            switch (random() % 8) {
                case 0:
                    server.stream->read(false);
                    loop->post([&] { server.stream->read(true); });
                    break;
                case 1:
                    server.stream->read(false);
                    server.stream->want_drained();  // at the turn's end
                    break;
                case 2:
                    server.stream->read(false);
                    server.stream->read(true);
                    break;
                default:
                    break;
            }
        };
        server.then_drained = [&] { server.stream->read(true); };
        client.stream->write(text);
        client.stream->finish();
        ASSERT_TRUE(run_until([&] { return server.ends == 1; })) << server.got.size();
        EXPECT_TRUE(server.got == text);
        EXPECT_EQ(server.closed, 0);
        client.stream.reset();
        server.stream.reset();
        run_for(2ms);
        EXPECT_EQ(loop->stats().buffers_used, 0u);
    }
}

TEST_P(StreamTest, EndsOneWayWhileTheOtherGoesOn) {
    Pair pair;
    User client, server;
    client.over(*loop, std::move(pair.first));
    server.over(*loop, std::move(pair.second));
    client.stream->write("question");
    client.stream->finish();
    ASSERT_TRUE(run_until([&] { return server.ends == 1; }));
    EXPECT_EQ(server.got, "question");
    EXPECT_EQ(client.ends, 0);
    server.stream->write("answer");
    ASSERT_TRUE(run_until([&] { return client.got == "answer"; }));
    server.stream->write(" and more");
    server.stream->finish();
    ASSERT_TRUE(run_until([&] { return client.ends == 1; }));
    EXPECT_EQ(client.got, "answer and more");
    run_for(3ms);
    EXPECT_EQ(client.ends + server.ends, 2);
    EXPECT_EQ(client.closed + server.closed, 0);
}

TEST_P(StreamTest, TheEndWaitsForReading) {
    Pair pair;
    User server;
    server.over(*loop, std::move(pair.second), false);
    ASSERT_EQ(::send(pair.first.get(), "last", 4, 0), 4);
    pair.first.reset();
    run_for(5ms);
    EXPECT_EQ(server.ends, 0);
    EXPECT_EQ(server.got, "");
    server.stream->read(true);
    ASSERT_TRUE(run_until([&] { return server.ends == 1; }));
    EXPECT_EQ(server.got, "last");
}

TEST_P(StreamTest, AResetWhileWritingIsToldOnce) {
    Pair pair;
    User client, server;
    client.over(*loop, std::move(pair.first));
    server.over(*loop, std::move(pair.second), false);
    const std::string text = pattern(32'000'000);
    client.stream->write(text);
    client.stream->want_drained();
    ASSERT_TRUE(run_until([&] { return client.stream->queued() < text.size(); }));
    run_for(5ms);
    server.stream->reset();
    ASSERT_TRUE(run_until([&] { return client.closed == 1; }));
    EXPECT_TRUE(client.error == ECONNRESET || client.error == EPIPE) << client.error;
    EXPECT_EQ(client.stream->queued(), 0u);
    client.stream->write("nobody hears this");
    EXPECT_EQ(client.stream->queued(), 0u);
    run_for(5ms);
    EXPECT_EQ(client.closed, 1);
    EXPECT_EQ(client.drained, 0);
    EXPECT_EQ(client.ends, 0);
    EXPECT_EQ(server.closed, 0);
}

TEST_P(StreamTest, AResetIsToldToThoseWhoDoNotRead) {
    Pair pair;
    User client, server;
    client.over(*loop, std::move(pair.first), false);
    server.over(*loop, std::move(pair.second), false);
    client.stream->read(true);
    run_for(2ms);
    client.stream->read(false);
    server.stream->reset();
    ASSERT_TRUE(run_until([&] { return client.closed == 1; }));
    EXPECT_EQ(client.error, ECONNRESET);
}

// A server that answers early and closes resets who still sends; the answer must be heard all the same.
TEST_P(StreamTest, WhatCameBeforeAResetIsDelivered) {
    Pair pair;
    User client;
    client.over(*loop, std::move(pair.first), false);
    const std::string text = pattern(32'000'000);
    client.stream->write(text);
    ASSERT_TRUE(run_until([&] { return client.stream->queued() < text.size(); }));
    ASSERT_EQ(::send(pair.second.get(), "no", 2, 0), 2);
    pair.second.reset();  // with unread octets: RST
    run_for(5ms);
    EXPECT_EQ(client.closed, 0);
    client.stream->read(true);
    ASSERT_TRUE(run_until([&] { return client.closed == 1; }));
    EXPECT_EQ(client.got, "no");
    EXPECT_EQ(client.ends, 0);
}

TEST_P(StreamTest, ConnectsAndTalks) {
    Fd listening = listening_socket();
    const std::uint16_t port = port_of(listening.get());
    User client, server;
    Acceptor acceptor;
    acceptor.then = [&](Fd socket) { server.over(*loop, std::move(socket)); };
    Listener listener(*loop, std::move(listening), acceptor);
    client.to(*loop, port);
    client.stream->write("early");  // before it is connected
    client.stream->read(true);
    EXPECT_EQ(client.connected, 0);
    ASSERT_TRUE(run_until([&] { return server.got == "early"; }));
    EXPECT_EQ(client.connected, 1);
    for (const int fd : {client.stream->fd(), server.stream->fd()}) {
        int on = 0;
        socklen_t length = sizeof(on);
        ASSERT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &length), 0);
        EXPECT_EQ(on, 1);
        EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    server.stream->write("answer");
    ASSERT_TRUE(run_until([&] { return client.got == "answer"; }));
}

TEST_P(StreamTest, ARefusedConnectIsToldFromTheLoop) {
    const Fd unheard = bound_socket();
    User client;
    client.to(*loop, port_of(unheard.get()));
    EXPECT_EQ(client.closed, 0);
    ASSERT_TRUE(run_until([&] { return client.closed == 1; }));
    EXPECT_EQ(client.error, ECONNREFUSED);
    EXPECT_EQ(client.connected, 0);
}

TEST_P(StreamTest, AConnectThatFailsAtOnceIsToldFromTheLoop) {
    User client;
    const sockaddr_in6 wrong{
        .sin6_family = AF_INET6, .sin6_port = htons(1), .sin6_flowinfo = 0, .sin6_addr = {}, .sin6_scope_id = 0};
    client.stream.emplace(*loop, tcp_socket(), reinterpret_cast<const sockaddr*>(&wrong), sizeof(wrong), client);
    EXPECT_EQ(client.closed, 0);
    ASSERT_TRUE(run_until([&] { return client.closed == 1; }));
    EXPECT_EQ(client.error, EAFNOSUPPORT);
}

// A full backlog drops SYNs, so that the connect hangs until its user gives up.
TEST_P(StreamTest, AConnectThatHangsIsGivenUpByATimer) {
    const Fd full = listening_socket(0);
    std::vector<Fd> fillers;
    const sockaddr_in to = loopback(port_of(full.get()));
    for (int i = 0; i < 3; ++i) {
        fillers.push_back(tcp_socket());
        ::connect(fillers.back().get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    }
    User client;
    client.to(*loop, port_of(full.get()));
    bool late = false;
    struct Limit {
        User& user;
        bool& late;
        void fire() {
            late = true;
            user.stream->reset();
            user.stream.reset();
        }
    } limit{client, late};
    Timer timer(*loop, limit, [](Limit& l) { l.fire(); });
    timer.start(30ms);
    ASSERT_TRUE(run_until([&] { return late; }));
    run_for(3ms);
    EXPECT_EQ(client.connected, 0);
    EXPECT_EQ(client.closed, 0);
}

TEST_P(StreamTest, CloseSendsWhatIsQueued) {
    Pair pair;
    const std::string text = pattern(8'000'000);
    User server;
    server.over(*loop, std::move(pair.second), false);
    {
        User client;
        client.over(*loop, std::move(pair.first));
        client.stream->write(text);
        client.stream->close();
        EXPECT_EQ(client.stream->fd(), -1);
    }
    run_for(5ms);
    server.stream->read(true);
    ASSERT_TRUE(run_until([&] { return server.ends == 1; }));
    EXPECT_TRUE(server.got == text);
}

TEST_P(StreamTest, ResetSendsRst) {
    Pair pair;
    User client;
    client.over(*loop, std::move(pair.first));
    run_for(2ms);
    client.stream->write("lost");
    client.stream->reset();
    char octet;
    ssize_t count = 0;
    ASSERT_TRUE(run_until([&] {
        count = ::recv(pair.second.get(), &octet, 1, 0);
        return !(count < 0 && errno == EAGAIN);
    }));
    EXPECT_EQ(count, -1);
    EXPECT_EQ(errno, ECONNRESET);
}

TEST_P(StreamTest, DestroyingClosesTheSocket) {
    Pair pair;
    User client;
    client.over(*loop, std::move(pair.first));
    run_for(2ms);
    client.stream.reset();
    char octet;
    ssize_t count = -1;
    ASSERT_TRUE(run_until([&] { return (count = ::recv(pair.second.get(), &octet, 1, 0)) >= 0; }));
    EXPECT_EQ(count, 0);
}

}  // namespace
}  // namespace sluice::io
