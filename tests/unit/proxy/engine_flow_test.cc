// Bodies that stream, clients and endpoints that leave, and what is bounded.
#include "engine.h"

namespace sluice::proxy::engine {

struct EngineFlow : OnBoth {};
ON_BOTH(EngineFlow);

// What the worker's pool of buffers has grown to.
static std::uint64_t buffered(Engine& engine) {
    return engine.proxy().stats().front().loop.buffers * io::LoopOptions{}.buffer_octets;
}
static constexpr std::uint64_t kBuffered = 8 << 20;  // octets; io_uring begins with 4 MiB

// Octets that differ from place to place.
static char octet(std::uint64_t at) {
    return static_cast<char>('a' + (at * 2654435761u >> 7) % 26);
}
static std::string octets(std::uint64_t from, std::size_t count) {
    std::string out(count, ' ');
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = octet(from + i);
    }
    return out;
}

static constexpr std::uint64_t kLarge = 100 << 20;

TEST_P(EngineFlow, ALargeAnswerToASlowReaderIsWholeAndHeldBackAtItsSender) {
    std::atomic<std::uint64_t> sent{0};
    Origin origin([&](Peer& peer) {
        peer.read();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(kLarge) + "\r\n\r\n");
        const std::string part = octets(0, 1 << 20);
        while (sent < kLarge && !peer.failed()) {
            peer.send(part);
            sent += part.size();
        }
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    const int window = 65536;
    ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    std::uint64_t seen = 0;
    EXPECT_TRUE(soon([&] { return std::exchange(seen, sent.load()) == sent && sent > 0; }, 2s));
    std::this_thread::sleep_for(300ms);  // whatever more the proxy would take, it takes now
    EXPECT_LT(sent, kLarge / 2);
    EXPECT_LT(buffered(engine), kBuffered);
    const std::string part = octets(0, 1 << 20);
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
        head += client.octets(1);
    }
    for (std::uint64_t got = 0; got < kLarge; got += part.size()) {
        ASSERT_EQ(client.octets(part.size()) == part, true) << got;
    }
    EXPECT_EQ(engine.book.request().sent_body, kLarge);
    EXPECT_LT(buffered(engine), kBuffered);
}

TEST_P(EngineFlow, ALargeRequestToASlowEndpointIsWholeAndHeldBackAtItsSender) {
    std::atomic<bool> go{false};
    std::atomic<int> wrong{0};
    Origin origin([&](Peer& peer) {
        const int window = 65536;
        ::setsockopt(peer.fd(), SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
        peer.read(true);
        soon([&] { return go.load(); });
        const std::string part = octets(0, 1 << 20);
        for (std::uint64_t got = 0; got < kLarge; got += part.size()) {
            wrong += peer.octets(part.size()) != part;
        }
        peer.send(ok("taken"));
        peer.ended();
    });
    Service service;
    service.rule({{"v1", 1}}).retries = config::Retries{};
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    std::atomic<std::uint64_t> sent{0};
    std::thread sender([&] {
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: " + std::to_string(kLarge) + "\r\n\r\n");
        const std::string part = octets(0, 1 << 20);
        for (; sent < kLarge && !client.failed(); sent += part.size()) {
            client.send(part);
        }
    });
    std::this_thread::sleep_for(500ms);  // whatever the proxy would take, it takes now
    EXPECT_LT(sent, kLarge / 2);
    EXPECT_LT(buffered(engine), kBuffered);
    go = true;
    EXPECT_EQ(client.read().value_or(Message{}).body, "taken");
    sender.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(engine.book.request().received_body, kLarge);
}

TEST_P(EngineFlow, EventsArePassedOnOneByOne) {
    Origin origin([](Peer& peer) {
        peer.read(true);
        peer.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for (int i = 0; i < 5; ++i) {
            peer.send("8\r\ndata: " + std::to_string(i) + "\n\r\n");
            if (peer.octets(1) != "+") {  // the client says through the request's body that it came
                return;
            }
        }
        peer.send("0\r\n\r\n");
        peer.ended();
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n");
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
        head += client.octets(1);
    }
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(client.octets(13), "8\r\ndata: " + std::to_string(i) + "\n\r\n");
        client.send("+");
    }
    EXPECT_EQ(client.octets(5), "0\r\n\r\n");
}

TEST_P(EngineFlow, AClientThatLeavesCancelsItsRequestAtOnce) {
    std::atomic<int> asked{0}, cancelled{0};
    Origin origin([&](Peer& peer) {
        peer.read();
        ++asked;
        cancelled += peer.ended();
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    for (int reset = 0; reset < 2; ++reset) {
        Peer client = engine.dial();
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        ASSERT_TRUE(soon([&] { return asked == reset + 1; }));
        reset != 0 ? client.reset() : client.close();
        EXPECT_TRUE(soon([&] { return cancelled == reset + 1; }, 2s));
        const Seen seen = engine.book.request(reset);
        EXPECT_EQ(seen.flags, "DC");
        EXPECT_EQ(seen.status, 0);
        EXPECT_EQ(seen.details, "downstream_remote_disconnect");
    }
    EXPECT_TRUE(soon([&] { return engine.active() == 0; }));
}

TEST_P(EngineFlow, AClientThatLeavesInItsBodyCancelsTheRequest) {
    std::atomic<int> cancelled{0};
    Origin origin([&](Peer& peer) {
        peer.read(true);
        cancelled += peer.ended();
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345");
    EXPECT_EQ(client.silent(50ms), true);
    client.close();
    EXPECT_TRUE(soon([&] { return cancelled == 1; }, 2s));
    EXPECT_EQ(engine.book.request().flags, "DC");
}

TEST_P(EngineFlow, AClientThatOnlyFinishedWritingGetsItsAnswer) {
    Origin origin([](const Message& request) {
        std::this_thread::sleep_for(100ms);
        return ok("late " + request.body);
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody");
    client.finish();
    const auto answer = client.read();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->line(), "HTTP/1.1 200 OK");
    EXPECT_EQ(answer->body, "late body");
    EXPECT_EQ(answer->field("connection"), "close");
    EXPECT_TRUE(client.ended());
    EXPECT_FALSE(client.was_reset());
    EXPECT_EQ(engine.book.request().flags, "-");
}

TEST_P(EngineFlow, AnAnswerThatEndsEarlyIsSeenToBeCut) {
    Origin origin([](Peer& peer) {
        const auto request = peer.read();
        if (request && request->line().find("/length") != std::string::npos) {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        } else {
            peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        }
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    for (const char* path : {"/length", "/chunked"}) {
        const Message answer = engine.get(path);
        EXPECT_EQ(answer.body, "half") << path;
        EXPECT_FALSE(answer.whole) << path;
    }
    Peer old = engine.dial();
    old.send("GET /chunked HTTP/1.0\r\nhost: a\r\n\r\n");
    EXPECT_TRUE(old.ended());
    EXPECT_TRUE(old.was_reset());  // its end is the only thing that says so
    EXPECT_EQ(engine.book.request(2).flags, "UC");
}

TEST_P(EngineFlow, ContinueIsAskedOfTheEndpoint) {
    std::atomic<bool> expected{false};
    Origin origin([&](Peer& peer) {
        const auto head = peer.read(true);
        expected = head && head->field("expect") == "100-continue";
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        const std::string body = peer.octets(4);
        peer.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ok(body));
        peer.ended();
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    EXPECT_EQ(client.read().value_or(Message{}).status(), 100);
    client.send("body");
    const auto hints = client.read();
    EXPECT_EQ(hints.value_or(Message{}).status(), 103);
    EXPECT_EQ(hints.value_or(Message{}).field("link"), "</a>");
    EXPECT_EQ(client.read().value_or(Message{}).body, "body");
    EXPECT_TRUE(expected);
}

TEST_P(EngineFlow, AnAnswerBeforeTheRequestIsWholeEndsTheConnectionWithoutLosingIt) {
    Origin origin([](Peer& peer) {
        peer.read(true);
        peer.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig");
        peer.ended();
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    for (int i = 0; i < 3; ++i) {
        Peer client = engine.dial();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n" + std::string(5000, 'x'));
        const auto answer = client.read();
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->status(), 413);
        EXPECT_EQ(answer->body, "big");
        EXPECT_EQ(answer->field("connection"), "close");
        client.send(std::string(5000, 'x'));
        EXPECT_TRUE(client.ended());
        EXPECT_FALSE(client.was_reset());  // or a slower client might not see the answer
    }
    EXPECT_EQ(origin.connections(), 3);  // none with half a request on it is used again
}

TEST_P(EngineFlow, ManySmallPiecesOfAKeptBodyCostLittle) {
    Origin origin([](const Message& request) { return ok(std::to_string(request.body.size())); });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3000\r\n\r\n");
    for (int i = 0; i < 3000; ++i) {
        client.send("x");
    }
    EXPECT_EQ(client.read().value_or(Message{}).body, "3000");
    EXPECT_LT(buffered(engine), kBuffered);
}

}  // namespace sluice::proxy::engine
