// Retries and time-outs, as istio-measured 11 and 42 to 50 say.
#include "engine.h"
#include "tests/unit/proxy/bound_socket.h"

namespace sluice::proxy::engine {

using config::Retries;
using config::RetryConditions;
using config::RetryOn;

struct EngineRetry : OnBoth {};
ON_BOTH(EngineRetry);

static Retries retries(std::uint32_t attempts, std::initializer_list<RetryOn> conditions,
                       std::optional<std::chrono::milliseconds> per_try = std::nullopt) {
    Retries made;
    made.attempts = attempts;
    made.on = RetryConditions{};
    for (const RetryOn condition : conditions) {
        made.on->on.set(static_cast<std::size_t>(condition));
    }
    made.per_try_timeout = per_try;
    made.backoff = 1ms;
    return made;
}

TEST_P(EngineRetry, AStatusIsTriedAgainUntilTheAttemptsAreUsedUp) {
    std::vector<std::string> counts;
    Origin origin([&](const Message& request) {
        counts.push_back(request.field("x-envoy-attempt-count") + request.body);
        return status(503, "x-who: origin\r\n");
    });
    Service service;
    service.rule({{"v1", 1}}).retries = retries(3, {RetryOn::k5xx});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    const Message answer = engine.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody");
    EXPECT_EQ(answer.status(), 503);
    EXPECT_EQ(answer.body, "made");
    const Seen seen = engine.book.request();
    EXPECT_EQ(seen.flags, "URX");
    EXPECT_EQ(seen.details, "via_upstream");
    EXPECT_EQ(seen.attempts, 4u);
    EXPECT_EQ(seen.response_field, "origin");
    EXPECT_EQ(counts, (std::vector<std::string>{"1body", "2body", "3body", "4body"}));
    EXPECT_EQ(engine.book.tries(), 4u);
    EXPECT_EQ(origin.connections(), 1);  // an unwanted answer is read to its end
}

TEST_P(EngineRetry, TheFirstGoodAnswerIsPassedOn) {
    std::atomic<int> asked{0};
    Origin origin([&](const Message&) { return ++asked < 3 ? status(502) : ok("third"); });
    Service service;
    service.rule({{"v1", 1}}).retries = retries(5, {RetryOn::kGatewayError});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    EXPECT_EQ(engine.get().body, "third");
    const Seen seen = engine.book.request();
    EXPECT_EQ(seen.flags, "-");
    EXPECT_EQ(seen.attempts, 3u);
}

TEST_P(EngineRetry, TheDefaultPolicyCoversConnectFailuresAndNoStatus) {
    std::uint16_t closed = 0;
    const Fd nobody = bound_socket(closed);
    Origin origin([&](const Message&) { return status(503); });
    Service service;
    service.rule({{"v1", 1}});
    serve(service, "v1", origin.port());
    service.rule({{"v1", 1}});
    Engine engine(service, GetParam());
    EXPECT_EQ(engine.get().status(), 503);
    EXPECT_EQ(origin.requests(), 1);
    EXPECT_EQ(engine.book.request(0).flags, "-");

    Service half("ranker.ml.svc.cluster.local");
    half.rule({{"v2", 1}});
    serve(half, "v2", origin.port());
    serve(half, "v2", closed);
    engine.publish(half);
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(engine.get().body, "made") << i;  // the other endpoint stands in each time
    }
    EXPECT_EQ(origin.requests(), 21);
}

TEST_P(EngineRetry, AResetAfterTheRequestIsCoveredByResetAndNotByConnectFailure) {
    Origin origin([](Peer& peer) { peer.read(); });
    Service service;
    service.rule({{"v1", 1}}, "", {test::uri(test::exact("/reset"))}).retries = retries(2, {RetryOn::kReset});
    service.rule({{"v1", 1}}).retries = retries(2, {RetryOn::kConnectFailure, RetryOn::kResetBeforeRequest});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    EXPECT_EQ(engine.get("/").body,
              "upstream connect error or disconnect/reset before headers. reset reason: connection termination");
    EXPECT_EQ(engine.book.request(0).flags, "UC");
    EXPECT_EQ(engine.book.request(0).attempts, 1u);
    EXPECT_EQ(engine.get("/reset").body,
              "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
              "connection termination");
    EXPECT_EQ(engine.book.request(1).flags, "UC,URX");
    EXPECT_EQ(engine.book.request(1).attempts, 3u);
    EXPECT_EQ(engine.book.request(1).details, "upstream_reset_before_response_started{connection_termination}");
}

TEST_P(EngineRetry, ARetryAvoidsTheEndpointThatFailed) {
    Origin bad([](const Message&) { return status(503); });
    Origin good("good");
    Service service;
    service.rule({{"v1", 1}}).retries = retries(1, {RetryOn::k5xx});
    serve(service, "v1", bad.port());
    serve(service, "v1", good.port());
    Engine engine(service, GetParam());
    int failed = 0;
    for (int i = 0; i < 100; ++i) {
        failed += engine.get().body != "good";
    }
    // Five draws of two: each retry misses the good one with a chance of 1 in 64.
    EXPECT_LE(failed, 12);
    EXPECT_GT(bad.requests(), 0);
}

TEST_P(EngineRetry, TheDestinationIsNotDrawnAgain) {
    Origin bad([](const Message&) { return status(503); });
    Origin good("good");
    Service service;
    service.rule({{"bad", 50}, {"good", 50}}).retries = retries(3, {RetryOn::k5xx});
    serve(service, "bad", bad.port());
    serve(service, "good", good.port());
    Engine engine(service, GetParam());
    int failed = 0;
    for (int i = 0; i < 60; ++i) {
        failed += engine.get().status() == 503;
    }
    EXPECT_EQ(bad.requests(), 4 * failed);
    EXPECT_GT(failed, 10);
    EXPECT_LT(failed, 50);
}

TEST_P(EngineRetry, AnUnansweredRequestTimesOutWith504) {
    Origin origin([](Peer& peer) { peer.ended(); });
    Service service;
    service.rule({{"v1", 1}}).timeout = 60ms;
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    const Message answer = engine.get();
    EXPECT_EQ(answer.status(), 504);
    EXPECT_EQ(answer.body, "upstream request timeout");
    const Seen seen = engine.book.request();
    EXPECT_EQ(seen.flags, "UT");
    EXPECT_EQ(seen.details, "response_timeout");
    EXPECT_GE(seen.duration_ms, 55u);
    EXPECT_EQ(engine.book.tried().flags, "UT");
    EXPECT_TRUE(soon([&] { return engine.active() == 0; }));
}

TEST_P(EngineRetry, TheClockStartsWhenTheRequestIsWhole) {
    Origin origin("answer");
    Service service;
    service.rule({{"v1", 1}}).timeout = 100ms;
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    Peer client = engine.dial();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na");
    EXPECT_TRUE(client.silent(300ms));
    client.send("b");
    EXPECT_EQ(client.read().value_or(Message{}).body, "answer");
}

TEST_P(EngineRetry, ATimeOutInTheAnswerEndsTheConnection) {
    Origin origin([](Peer& peer) {
        peer.read();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
        peer.ended();
    });
    Service service;
    service.rule({{"v1", 1}}).timeout = 60ms;
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    const Message answer = engine.get();
    EXPECT_EQ(answer.status(), 200);
    EXPECT_EQ(answer.body, "some");
    EXPECT_FALSE(answer.whole);
    EXPECT_EQ(engine.book.request().flags, "UT");
}

TEST_P(EngineRetry, APerTryTimeOutIsTriedAgainOnlyWhereItIsCovered) {
    std::atomic<int> asked{0};
    Origin origin([&](Peer& peer) {
        while (peer.read()) {
            if (++asked % 2 == 0) {
                peer.send(ok("second"));
            } else {
                peer.ended();
                return;
            }
        }
    });
    Service service;
    service.rule({{"v1", 1}}, "", {test::uri(test::exact("/covered"))}).retries = retries(2, {RetryOn::k5xx}, 60ms);
    service.rule({{"v1", 1}}).retries = retries(2, {RetryOn::kConnectFailure}, 60ms);
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    EXPECT_EQ(engine.get("/covered").body, "second");
    EXPECT_EQ(engine.book.request(0).attempts, 2u);
    EXPECT_EQ(engine.book.tried(0).flags, "UT");
    const Message answer = engine.get("/");
    EXPECT_EQ(answer.status(), 504);
    EXPECT_EQ(answer.body, "upstream request timeout");
    EXPECT_EQ(engine.book.request(1).flags, "UT");
    EXPECT_EQ(engine.book.request(1).details, "upstream_per_try_timeout");
    EXPECT_EQ(engine.book.request(1).attempts, 1u);
}

TEST_P(EngineRetry, TheWholeTimeOutCoversTriesAndPauses) {
    Origin origin([](const Message&) { return status(503); });
    Service service;
    auto& rule = service.rule({{"v1", 1}});
    rule.retries = retries(1000, {RetryOn::k5xx});
    rule.retries->backoff = 20ms;
    rule.timeout = 150ms;
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    EXPECT_EQ(engine.get().status(), 504);
    EXPECT_EQ(engine.book.request().flags, "UT");
    EXPECT_LT(engine.book.request().duration_ms, 2000u);
}

TEST_P(EngineRetry, NothingIsTriedAgainOnceTheAnswerBegan) {
    std::atomic<int> asked{0};
    Origin origin([&](Peer& peer) {
        peer.read();
        ++asked;
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n");
        std::this_thread::sleep_for(20ms);
    });
    Service service;
    service.rule({{"v1", 1}}).retries = retries(3, {RetryOn::k5xx, RetryOn::kReset});
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    const Message answer = engine.get();
    EXPECT_EQ(answer.body, "some");
    EXPECT_FALSE(answer.whole);
    EXPECT_EQ(asked, 1);
    EXPECT_EQ(engine.book.request().flags, "UC");
    EXPECT_EQ(engine.book.request().details, "upstream_reset_after_response_started{connection_termination}");
}

TEST_P(EngineRetry, ABodyThatIsTooLargeToKeepIsSentOnce) {
    Origin origin([](const Message&) { return status(503); });
    Service service;
    service.rule({{"v1", 1}}).retries = retries(3, {RetryOn::k5xx});
    serve(service, "v1", origin.port());
    Limits limits;
    limits.retry_body = 1000;
    Engine engine(service, GetParam(), limits);
    const auto post = [&](std::size_t size) {
        return engine.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: " + std::to_string(size) + "\r\n\r\n" +
                          std::string(size, 'x'));
    };
    EXPECT_EQ(post(1000).status(), 503);
    EXPECT_EQ(engine.book.request(0).attempts, 4u);
    EXPECT_EQ(post(1001).status(), 503);
    EXPECT_EQ(engine.book.request(1).attempts, 1u);
    EXPECT_EQ(engine.book.request(1).flags, "-");
}

TEST_P(EngineRetry, RetriesBeyondMaxRetriesFailWithTheBackendsAnswer) {
    std::atomic<int> asked{0};
    Origin origin([&](const Message&) {
        ++asked;
        return status(503);
    });
    Service service;
    auto& rule = service.rule({{"v1", 1}});
    rule.retries = retries(1, {RetryOn::k5xx});
    rule.retries->backoff = 400ms;
    serve(service, "v1", origin.port());
    service.cluster("v1")->pool.max_retries = 1;
    Engine engine(service, GetParam());
    std::vector<Peer> clients;
    for (int i = 0; i < 8; ++i) {
        clients.push_back(engine.dial());
        clients.back().send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    int overflowed = 0;
    for (std::size_t i = 0; i < clients.size(); ++i) {
        const auto answer = clients[i].read();
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->body, "made");
        overflowed += engine.book.request(i).flags == "UO";
    }
    EXPECT_GE(overflowed, 4);  // one at a time waits up to 400 ms
    EXPECT_EQ(asked, 16 - overflowed);
}

TEST_P(EngineRetry, FaultsComeBeforeTheRouteAndAreNotTriedAgain) {
    Origin origin("through");
    Service service;
    auto& aborted = service.rule({{"v1", 1}}, "", {test::uri(test::exact("/abort"))});
    aborted.retries = retries(3, {RetryOn::k5xx});
    aborted.fault = config::Fault{};
    aborted.fault->abort = config::Fault::Abort{503, std::nullopt, config::kAlways};
    auto& delayed = service.rule({{"v1", 1}});
    delayed.timeout = 50ms;
    delayed.fault = config::Fault{};
    delayed.fault->delay = config::Fault::Delay{150ms, config::kAlways};
    serve(service, "v1", origin.port());
    Engine engine(service, GetParam());
    const Message answer = engine.get("/abort");
    EXPECT_EQ(answer.status(), 503);
    EXPECT_EQ(answer.body, "fault filter abort");
    EXPECT_EQ(engine.book.request(0).flags, "FI");
    EXPECT_EQ(engine.book.request(0).details, "fault_filter_abort");
    EXPECT_EQ(origin.requests(), 0);
    const Message late = engine.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
    EXPECT_EQ(late.body, "through");
    EXPECT_EQ(engine.book.request(1).flags, "DI");
    EXPECT_GE(engine.book.request(1).duration_ms, 140u);
    EXPECT_LT(std::stoi(late.field("x-envoy-upstream-service-time")), 100);
}

}  // namespace sluice::proxy::engine
