// Mirrors, changed protocols, limits, new rules and the end of the proxy.
#include "engine.h"

namespace sluice::proxy::engine {

struct EngineLane : OnBoth {};
ON_BOTH(EngineLane);

// Adds a mirror to the service's last rule.
static void mirror(Service& service, config::HttpRule& rule, const std::string& subset,
                   config::Millionths share = config::kAlways) {
    service.last().mirrors.push_back({service.cluster(subset), 100, subset});
    rule.mirrors.emplace_back().share = share;
}

TEST_P(EngineLane, AMirrorGetsACopyAndItsAnswerGoesNowhere) {
    std::mutex mutex;
    std::vector<Message> copies;
    Origin shadow([&](const Message& request) {
        const std::lock_guard lock(mutex);
        copies.push_back(request);
        return status(500);
    });
    std::atomic<int> asked{0};
    Origin origin([&](const Message& request) { return ++asked % 2 == 1 ? status(503) : ok("got " + request.body); });
    Service service;
    auto& rule = service.rule({{"v1", 1}});
    rule.retries = config::Retries{};
    rule.retries->attempts = 2;
    rule.retries->on = config::RetryConditions{};
    rule.retries->on->on.set(static_cast<std::size_t>(config::RetryOn::k5xx));
    mirror(service, rule, "shadow");
    serve(service, "v1", origin.port());
    serve(service, "shadow", shadow.port());
    Engine engine(service, GetParam());
    const std::string body(100'000, 'm');
    const std::string head = "POST /p?q=1 HTTP/1.1\r\nhost: ranker\r\n";
    EXPECT_EQ(engine.ask(head + "content-length: 100000\r\n\r\n" + body).body, "got " + body);
    EXPECT_EQ(engine.ask(head + "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n").body,
              "got hello");
    ASSERT_TRUE(soon([&] {
        const std::lock_guard lock(mutex);
        return copies.size() == 2;
    }));
    const std::lock_guard lock(mutex);
    EXPECT_EQ(copies[0].line(), "POST /p?q=1 HTTP/1.1");
    EXPECT_EQ(copies[0].field("host"), "ranker");
    EXPECT_EQ(copies[0].field("x-envoy-internal"), "true");
    EXPECT_EQ(copies[0].body, body);
    EXPECT_EQ(copies[1].body, "hello");
    EXPECT_EQ(copies[1].field("x-t"), "1");
    int mirrored = 0;
    for (std::size_t i = 0; i < 6; ++i) {
        mirrored += engine.book.tried(i).mirror;
    }
    EXPECT_EQ(mirrored, 2);  // once each, however often the request was tried
    EXPECT_EQ(engine.book.skips(), 0u);
}

TEST_P(EngineLane, AMirrorThatHangsOrIsMissingCostsCallersNothing) {
    Origin shadow([](Peer& peer) { peer.ended(); });
    Origin origin("fine");
    Service service;
    mirror(service, service.rule({{"v1", 1}}), "shadow");
    serve(service, "v1", origin.port());
    serve(service, "shadow", shadow.port());
    Limits limits;
    limits.mirrors = 3;
    limits.mirror_body = 1000;
    Engine engine(service, GetParam(), limits);
    Peer client = engine.dial();
    for (int i = 0; i < 10; ++i) {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        ASSERT_EQ(client.read().value_or(Message{}).body, "fine");
    }
    EXPECT_EQ(engine.book.skipped(6), "requests");
    EXPECT_EQ(engine.book.skips(), 7u);
    const std::string large(1001, 'x');
    EXPECT_EQ(engine.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n" + large).body, "fine");
    EXPECT_EQ(engine.book.skipped(7), "body");
}

TEST_P(EngineLane, AMirrorGetsItsShare) {
    Origin shadow("shadow");
    Origin origin("fine");
    Service service;
    mirror(service, service.rule({{"v1", 1}}), "shadow", 300'000);
    serve(service, "v1", origin.port());
    serve(service, "shadow", shadow.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    for (int i = 0; i < 600; ++i) {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        ASSERT_EQ(client.read().value_or(Message{}).body, "fine");
    }
    ASSERT_TRUE(soon([&] { return static_cast<int>(engine.book.tries()) == 600 + shadow.requests(); }));
    EXPECT_GT(shadow.requests(), 130);
    EXPECT_LT(shadow.requests(), 230);
}

TEST_P(EngineLane, AWebSocketIsPassedOnBothWays) {
    Origin origin([](Peer& peer) {
        const auto request = peer.read(true);
        if (!request || request->field("upgrade") != "websocket" || request->field("connection") != "upgrade") {
            return;
        }
        peer.send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nfirst");
        for (std::string in; (in = peer.octets(4)) != "";) {
            peer.send("<" + in + ">");
        }
        peer.send("bye");
    });
    Service service;
    service.rule({{"v1", 1}}).timeout = 100ms;  // of the answer's head only
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    client.send("GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nearl");
    const auto answer = client.read();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status(), 101);
    EXPECT_EQ(answer->field("upgrade"), "websocket");
    EXPECT_EQ(client.octets(5), "first");
    EXPECT_EQ(client.octets(6), "<earl>");
    EXPECT_TRUE(client.silent(200ms));
    client.send("more");
    EXPECT_EQ(client.octets(6), "<more>");
    client.finish();
    EXPECT_EQ(client.octets(4), "bye");
    const Seen seen = engine.book.request();
    EXPECT_EQ(seen.status, 101);
    EXPECT_EQ(seen.flags, "-");
    EXPECT_TRUE(soon([&] { return engine.active() == 0; }));
}

TEST_P(EngineLane, OtherUpgradesAreRefusedOrIgnored) {
    Origin origin([](const Message& request) { return ok("upgrade " + request.field("upgrade")); });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    EXPECT_EQ(engine.get("/", "connection: upgrade\r\nupgrade: spdy\r\n").status(), 403);
    EXPECT_EQ(engine.book.request(0).details, "upgrade_failed");
    EXPECT_EQ(engine.get("/", "connection: upgrade\r\nupgrade: h2c\r\n").body, "upgrade -");
    EXPECT_EQ(engine.ask("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n").status(), 403);
    EXPECT_EQ(origin.requests(), 1);
}

TEST_P(EngineLane, MalformedRequestsAreRefusedAndCounted) {
    Origin origin([](const Message& request) { return ok(request.body); });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    const Message bad = engine.ask("GET / HTTP/1.1\r\nhost: a\r\nbad line\r\n\r\n");
    EXPECT_EQ(bad.status(), 400);
    EXPECT_EQ(bad.field("connection"), "close");
    EXPECT_EQ(engine.book.refused(0), http::refusal_name(http::Refusal::kMalformed));
    EXPECT_EQ(engine.ask("GET / HTTP/1.1\r\nhost: a\r\nx: " + std::string(70'000, 'x') + "\r\n\r\n").status(), 431);
    EXPECT_EQ(engine.ask("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").status(), 400);
    EXPECT_EQ(engine.book.request(0).flags, "DPE");
    EXPECT_EQ(origin.requests(), 0);
}

TEST_P(EngineLane, SlowHeadsIdleConnectionsAndTooManyAreEnded) {
    Origin origin("fine");
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Limits limits;
    limits.header_timeout = 100ms;
    limits.idle_timeout = 200ms;
    limits.connections = 2;
    Engine engine(service, GetParam(), limits);
    Peer slow = engine.dial();
    slow.send("GET / HTTP/1.1\r\nhos");
    EXPECT_EQ(slow.read().value_or(Message{}).status(), 408);
    EXPECT_TRUE(slow.ended());
    EXPECT_EQ(engine.book.refused(0), "header_timeout");
    Peer idle = engine.dial();
    for (int i = 0; i < 3; ++i) {
        idle.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        EXPECT_EQ(idle.read().value_or(Message{}).body, "fine");
        EXPECT_TRUE(idle.silent(120ms));
    }
    EXPECT_TRUE(idle.ended());
    ASSERT_TRUE(soon([&] { return engine.proxy().stats()[0].connections == 0; }));
    Peer one = engine.dial(), two = engine.dial(), three = engine.dial();
    EXPECT_TRUE(three.ended());
    EXPECT_EQ(engine.book.refused(1), "connections");
}

TEST_P(EngineLane, NewRulesActOnTheNextHeadAndBreakNoRequest) {
    std::atomic<bool> go{false};
    Origin old([&](const Message&) {
        soon([&] { return go.load(); });
        return ok("old");
    });
    Origin fresh("new");
    Service before;
    before.rule({{"v1", 1}});
    serve(before, "v1", old.port());
    Engine engine(before, GetParam());
    Peer waiting = engine.dial();
    waiting.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    ASSERT_TRUE(soon([&] { return old.requests() == 1; }));
    Service after;
    after.rule({{"v2", 1}});
    serve(after, "v2", fresh.port());
    engine.publish(after);
    EXPECT_EQ(engine.get().body, "new");
    engine.reclaim();
    go = true;
    EXPECT_EQ(waiting.read().value_or(Message{}).body, "old");
    waiting.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    EXPECT_EQ(waiting.read().value_or(Message{}).body, "new");
    EXPECT_TRUE(soon([&] { return engine.active() == 0; }));
    engine.reclaim();
}

TEST_P(EngineLane, ReloadsUnderLoadLoseNothing) {
    Origin origin([](const Message& request) { return ok(request.field("x-nonce")); });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam(), {}, 2);
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0}, right{0};
    std::vector<std::thread> clients;
    for (int c = 0; c < 4; ++c) {
        clients.emplace_back([&, c] {
            Peer client = engine.dial();
            for (int i = 0; !stop; ++i) {
                const std::string nonce = std::to_string(c) + "-" + std::to_string(i);
                client.send("GET / HTTP/1.1\r\nhost: a\r\nx-nonce: " + nonce + "\r\n\r\n");
                const auto answer = client.read();
                (answer && answer->status() == 200 && answer->body == nonce ? right : wrong)++;
                if (!answer) {
                    return;
                }
            }
        });
    }
    for (int i = 0; i < 40; ++i) {
        Service next;
        next.rule({{"v" + std::to_string(i % 3), 1}});
        serve(next, "v" + std::to_string(i % 3), origin.port());
        engine.publish(next);
        engine.reclaim();
        std::this_thread::sleep_for(5ms);
    }
    stop = true;
    for (std::thread& each : clients) {
        each.join();
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_GT(right, 50);
    EXPECT_TRUE(soon([&] { return engine.active() == 0; }));
}

TEST_P(EngineLane, DrainingLosesNoRequestAndClosesWhatIsIdle) {
    std::atomic<bool> go{false};
    Origin origin([&](const Message&) {
        soon([&] { return go.load(); });
        return ok("last");
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer idle = engine.dial();
    Peer busy = engine.dial();
    go = true;
    idle.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    EXPECT_EQ(idle.read().value_or(Message{}).body, "last");
    go = false;
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    ASSERT_TRUE(soon([&] { return origin.requests() == 2; }));
    std::thread draining([&] { engine.proxy().drain(); });
    EXPECT_TRUE(idle.ended());
    go = true;
    const auto answer = busy.read();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body, "last");
    EXPECT_EQ(answer->field("connection"), "close");
    EXPECT_TRUE(busy.ended());
    draining.join();
    const Fd late(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(engine.port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_NE(::connect(late.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
}

TEST_P(EngineLane, TheEndInTheMiddleOfEverythingLeavesNothing) {
    Origin origin([](Peer& peer) {
        peer.read(true);
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n");
        peer.ended();
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    std::vector<Peer> clients;
    for (int i = 0; i < 8; ++i) {
        clients.push_back(engine.dial());
        clients.back().send(i % 2 == 0 ? "GET / HTTP/1.1\r\nhost: a\r\n\r\n"
                                       : "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx");
        EXPECT_EQ(clients.back().octets(8), "HTTP/1.1");
    }
    engine.stop();
    EXPECT_EQ(engine.active(), 0u);
    for (Peer& each : clients) {
        EXPECT_TRUE(each.ended());
    }
}

}  // namespace sluice::proxy::engine
