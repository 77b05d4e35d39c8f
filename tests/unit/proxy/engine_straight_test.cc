// One request, one endpoint, one answer: framing, keep-alive, order, and answers of our own.
#include "engine.h"
#include "tests/unit/proxy/bound_socket.h"

namespace sluice::proxy::engine {

struct EngineStraight : OnBoth {};
ON_BOTH(EngineStraight);

TEST_P(EngineStraight, ARequestGetsItsAnswerAndTheConnectionsAreKept) {
    Origin origin([](const Message& request) { return ok("echo " + request.body + request.line()); });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    for (int i = 0; i < 20; ++i) {
        client.send("POST /a?i=" + std::to_string(i) + " HTTP/1.1\r\nHost: ranker\r\ncontent-length: 3\r\n\r\nabc");
        const auto answer = client.read();
        ASSERT_TRUE(answer.has_value()) << i;
        EXPECT_EQ(answer->status(), 200);
        EXPECT_EQ(answer->body, "echo abcPOST /a?i=" + std::to_string(i) + " HTTP/1.1");
        EXPECT_EQ(answer->field("connection"), "-");
    }
    EXPECT_EQ(origin.connections(), 1);
    const Seen seen = engine.book.request(19);
    EXPECT_EQ(seen.status, 200);
    EXPECT_EQ(seen.flags, "-");
    EXPECT_EQ(seen.details, "via_upstream");
    EXPECT_EQ(seen.attempts, 1u);
    EXPECT_EQ(seen.received_body, 3u);
    EXPECT_EQ(seen.upstream, "127.0.0.1:" + std::to_string(origin.port()));
    EXPECT_TRUE(soon([&] { return engine.active() == 0; }));
}

TEST_P(EngineStraight, ChunkedBodiesAndTrailersPassBothWays) {
    Origin origin([](const Message& request) {
        return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: " +
               request.field("x-in") + request.body + "\r\n\r\n";
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    const Message answer = engine.ask(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nx-in: "
        "t\r\n\r\n");
    EXPECT_EQ(answer.body, "hello");
    EXPECT_EQ(answer.field("x-sum"), "tabcdefg");
}

TEST_P(EngineStraight, HeadAndBodilessAnswersKeepTheirOrder) {
    Origin origin([](const Message& request) -> std::string {
        if (request.line().starts_with("HEAD")) {
            return "HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n";
        }
        if (request.line().find("/304") != std::string::npos) {
            return "HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\n\r\n";
        }
        return request.line().find("/204") != std::string::npos ? "HTTP/1.1 204 No Content\r\n\r\n" : ok("body");
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    auto answer = client.read(true);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->field("content-length"), "12345");
    client.send(
        "GET /304 HTTP/1.1\r\nhost: a\r\n\r\nGET /204 HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
    for (const int expected : {304, 204, 200}) {
        answer = client.read();
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->status(), expected);
    }
    EXPECT_EQ(answer->body, "body");
    EXPECT_EQ(origin.connections(), 1);
}

TEST_P(EngineStraight, PipelinedRequestsAreAnsweredInOrderOneAtATime) {
    std::atomic<int> now{0}, most{0};
    Origin origin([&](const Message& request) {
        most = std::max(most.load(), ++now);
        std::this_thread::sleep_for(2ms);
        --now;
        return ok(request.line() + request.body);
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    std::string all;
    for (int i = 0; i < 50; ++i) {
        const std::string body = "b" + std::to_string(i);
        all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nhost: a\r\ncontent-length: " + std::to_string(body.size()) +
               "\r\n\r\n" + body;
    }
    client.send(all);
    for (int i = 0; i < 50; ++i) {
        const auto answer = client.read();
        ASSERT_TRUE(answer) << i;
        EXPECT_EQ(answer->body, "POST /" + std::to_string(i) + " HTTP/1.1b" + std::to_string(i));
    }
    EXPECT_EQ(most, 1);
}

TEST_P(EngineStraight, AnAnswerThatEndsWithItsConnectionIsChunkedForNewClientsAndClosedForOldOnes) {
    Origin origin([](Peer& peer) {
        peer.read();
        peer.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    const Message fresh = engine.get();
    EXPECT_EQ(fresh.field("transfer-encoding"), "chunked");
    EXPECT_EQ(fresh.body, "until the end");
    EXPECT_TRUE(fresh.whole);
    const Message old = engine.ask("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    EXPECT_EQ(old.field("transfer-encoding"), "-");
    EXPECT_EQ(old.field("connection"), "close");
    EXPECT_EQ(old.body, "until the end");
}

TEST_P(EngineStraight, WhatHasNoRuleOrNoClusterOrNoEndpointIsAnsweredHere) {
    Service service;
    service.rule({{"-", 1}}, "", {test::uri(test::exact("/nc"))});
    service.rule({{"empty", 1}}, "", {test::uri(test::exact("/uh"))});
    service.cluster("empty");
    Engine engine(service, GetParam());
    const Message nothing = engine.get("/nr");
    EXPECT_EQ(nothing.status(), 404);
    EXPECT_EQ(nothing.body, "");
    Seen seen = engine.book.request(0);
    EXPECT_EQ(seen.flags, "NR");
    EXPECT_EQ(seen.details, "route_not_found");
    EXPECT_EQ(engine.get("/nc").status(), 503);
    EXPECT_EQ(engine.book.request(1).flags, "NC");
    const Message none = engine.get("/uh");
    EXPECT_EQ(none.status(), 503);
    EXPECT_EQ(none.body, "no healthy upstream");
    seen = engine.book.request(2);
    EXPECT_EQ(seen.flags, "UH");
    EXPECT_EQ(seen.details, "no_healthy_upstream");
    EXPECT_EQ(engine.book.tries(), 0u);
}

TEST_P(EngineStraight, LocalAnswersKeepTheConnectionUnlessABodyIsUnread) {
    Service service;
    service.rule({}, "", {}).direct_response = config::DirectResponse{418, "tea"};
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    for (int i = 0; i < 3; ++i) {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        const auto answer = client.read();
        ASSERT_TRUE(answer) << i;
        EXPECT_EQ(answer->status(), 418);
        EXPECT_EQ(answer->body, "tea");
    }
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n01234");
    const auto answer = client.read();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->field("connection"), "close");
    EXPECT_TRUE(client.ended());
    EXPECT_FALSE(client.was_reset());
    EXPECT_EQ(engine.book.request(3).details, "direct_response");
}

TEST_P(EngineStraight, AnEndpointThatRefusesIsUF) {
    std::uint16_t closed = 0;
    const Fd nobody = bound_socket(closed);
    Service service;
    service.rule({{"v1", 1}}).retries = config::Retries{};
    serve(service, "v1", closed);
    Engine engine(service, GetParam());
    const Message answer = engine.get();
    EXPECT_EQ(answer.status(), 503);
    EXPECT_EQ(answer.body,
              "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, "
              "transport failure reason: delayed connect error: Connection refused");
    const Seen seen = engine.book.request();
    EXPECT_EQ(seen.flags, "UF");
    EXPECT_EQ(seen.details,
              "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_"
              "refused}");
}

}  // namespace sluice::proxy::engine
