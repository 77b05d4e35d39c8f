// What a try hears of an answer, and what its destruction does at each stage.
#include "upstream_fixture.h"

namespace sluice::proxy::upstream_test {
namespace {

class UpstreamAnswer : public UpstreamTest {
  protected:
    Server& saying(const std::string& answer, bool fin = false) {
        Server& s = server();
        s.serve = [answer, fin](Server::Peer& peer, const std::string&) {
            peer.say(answer);
            if (fin) {
                peer.stream.finish();
            }
        };
        return s;
    }
};
ON_BOTH_BACK_ENDS(UpstreamAnswer);

TEST_P(UpstreamAnswer, InformationalHeadsComeBeforeTheAnswer) {
    Server& s =
        saying("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + std::string(kHello));
    const ClusterPtr c = publish(model({s.port}));
    Call& made = call(c);
    EXPECT_EQ(made.statuses, (std::vector{100, 103, 200}));
    EXPECT_EQ(made.body, "hello");
    EXPECT_EQ(pools().stats().idle, 1u);
}

TEST_P(UpstreamAnswer, ChunksAreDecodedAndTrailersAreInTheHead) {
    Server& s =
        saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n");
    const ClusterPtr c = publish(model({s.port}));
    EXPECT_EQ(call(c).body, "abcde");
    EXPECT_EQ(pools().stats().idle, 1u);
}

TEST_P(UpstreamAnswer, AnAnswerToHeadHasNoBody) {
    Server& s = saying("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    const ClusterPtr c = publish(model({s.port}));
    TryRequest head = request(c);
    head.head_request = true;
    EXPECT_TRUE(call(head).ended);
    EXPECT_TRUE(call(head).ended);
    EXPECT_EQ(s.accepted(), 1u);
}

TEST_P(UpstreamAnswer, AnswersWithoutBodyKeepTheConnectionWhateverTheirFieldsSay) {
    Server& s = server();
    s.serve = [](Server::Peer& peer, const std::string& head) {
        peer.say(head.starts_with("HEAD") ? "HTTP/1.1 200 OK\r\n\r\n" : "HTTP/1.1 304 Not Modified\r\n\r\n");
    };
    const ClusterPtr c = publish(model({s.port}));
    TryRequest head = request(c);
    head.head_request = true;
    EXPECT_TRUE(call(head, [](Call& made) { made.text = "HEAD / HTTP/1.1\r\nhost: x\r\n\r\n"; }).ended);
    EXPECT_TRUE(call(c).ended);
    EXPECT_TRUE(call(c).ended);
    EXPECT_EQ(s.accepted(), 1u);
}

TEST_P(UpstreamAnswer, ABodyMayEndWithTheConnection) {
    Server& s = saying("HTTP/1.1 200 OK\r\n\r\nuntil the end", true);
    const ClusterPtr c = publish(model({s.port}));
    Call& made = call(c);
    EXPECT_TRUE(made.ended);
    EXPECT_EQ(made.body, "until the end");
    EXPECT_EQ(pools().stats().connections, 0u);
}

TEST_P(UpstreamAnswer, AnEndBeforeTheAnswerIsATermination) {
    Server& s = saying("", true);
    const ClusterPtr c = publish(model({s.port}));
    Call& made = call(c);
    EXPECT_EQ(made.failure, Failure::kTermination);
    EXPECT_TRUE(made.sent);
    EXPECT_TRUE(made.statuses.empty());
}

TEST_P(UpstreamAnswer, ATruncatedAnswerIsATermination) {
    for (const char* answer : {"HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal",
                               "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"}) {
        Server& s = saying(answer, true);
        const ClusterPtr c = publish(model({s.port}, "c" + std::to_string(s.port)));
        Call& made = call(c);
        EXPECT_EQ(made.failure, Failure::kTermination) << answer;
        EXPECT_FALSE(made.ended);
    }
}

TEST_P(UpstreamAnswer, AnUpgradeBecomesRawInBothDirections) {
    Server& s = server();
    s.serve = [](Server::Peer& peer, const std::string&) {
        peer.raw = true;
        peer.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfrom the start");
    };
    const ClusterPtr c = publish(model({s.port}));
    Call& made = begin(c, [](Call& to) { to.when_head = [](Try& t) { t.upgraded(); }; });
    until([&] { return made.raw == "from the start"; });
    EXPECT_EQ(made.statuses, std::vector{101});
    made.attempt->write("ping");
    until([&] { return s.peer(0).seen == "ping"; });
    s.peer(0).say(", pong");
    until([&] { return made.raw == "from the start, pong"; });
    EXPECT_EQ(health(c, s).active, 1u) << "held as long as it lasts";
    made.attempt->finish_raw();
    until([&] { return s.peer(0).ended; });
    s.peer(0).stream.finish();
    until([&] { return made.raw_ended; });
    made.attempt.reset();
    EXPECT_EQ(pools().stats().connections, 0u);
}

TEST_P(UpstreamAnswer, ATunnelBeginsWithTheAnswerToConnect) {
    Server& s = saying("HTTP/1.1 200 OK\r\n\r\nraw octets");
    const ClusterPtr c = publish(model({s.port}));
    TryRequest tunnel = request(c);
    tunnel.connect_request = true;
    Call& made = begin(tunnel, [](Call& to) { to.when_head = [](Try& t) { t.upgraded(); }; });
    until([&] { return made.raw == "raw octets"; });
}

TEST_P(UpstreamAnswer, ARawConnectionThatIsResetFails) {
    Server& s = saying("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    const ClusterPtr c = publish(model({s.port}));
    Call& made = begin(c, [](Call& to) { to.when_head = [](Try& t) { t.upgraded(); }; });
    until([&] { return !made.statuses.empty(); });
    s.peer(0).stream.reset();
    until([&] { return made.over(); });
    EXPECT_EQ(made.failure, Failure::kTermination);
}

TEST_P(UpstreamAnswer, AnUpgradeThatNobodyAskedForIsAProtocolError) {
    Server& s = saying("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    const ClusterPtr c = publish(model({s.port}));
    EXPECT_EQ(call(c).failure, Failure::kProtocolError);
    EXPECT_EQ(pools().stats().connections, 0u);
}

TEST_P(UpstreamAnswer, NothingIsDeliveredWhileTheHandlerDoesNotRead) {
    const std::string body(300'000, 'x');
    Server& s = saying("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + body);
    const ClusterPtr c = publish(model({s.port}));
    int pieces = 0;
    Call& made = begin(c, [&](Call& to) {
        to.when_body = [&](Try& t) {
            ++pieces;
            t.read(false);
        };
    });
    int waits = 0;
    while (!made.over()) {
        until([&] { return made.over() || pieces > waits; });
        const int seen = pieces;
        pass(std::chrono::milliseconds(1));
        ASSERT_EQ(pieces, seen) << "not a piece more";
        waits = pieces;
        if (!made.over()) {
            made.attempt->read(true);
        }
    }
    EXPECT_TRUE(made.ended);
    EXPECT_EQ(made.body, body);
    EXPECT_GT(pieces, 10);
}

TEST_P(UpstreamAnswer, WhatWaitsWhileNobodyReadsIsDeliveredBeforeTheConnectionsEnd) {
    Server& s = saying("HTTP/1.1 200 OK\r\n\r\nfirst", true);
    const ClusterPtr c = publish(model({s.port}));
    Call& made = begin(c, [](Call& to) { to.when_head = [](Try& t) { t.read(false); }; });
    until([&] { return !made.statuses.empty(); });
    pass(std::chrono::milliseconds(5));
    EXPECT_EQ(made.body, "");
    EXPECT_FALSE(made.over());
    made.attempt->read(true);
    EXPECT_EQ(made.body, "") << "told by the loop";
    until([&] { return made.over(); });
    EXPECT_EQ(made.body, "first");
    EXPECT_TRUE(made.ended);
}

TEST_P(UpstreamAnswer, ALargeRequestTellsWhenItWasTaken) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    const std::string body(4'000'000, 'y');
    Call& made = begin(c, [&](Call& to) {
        to.when_ready = [&](Try& t) {
            t.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n");
            t.write(body);
            t.request_end();
            EXPECT_GE(t.queued(), body.size());
            t.want_drained();
        };
    });
    s.serve = [](Server::Peer& peer, const std::string&) { peer.raw = true; };
    until([&] { return made.drained; });
    EXPECT_EQ(made.attempt->queued(), 0u);
    until([&] { return s.peer(0).seen.size() == body.size(); });
}

// ---- Destruction ----

TEST_P(UpstreamAnswer, DestroyedWhileItConnectsItLeavesTheConnectionToOthers) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    begin(c).attempt.reset();
    EXPECT_EQ(rows.clusters[c->number()].active, 0u);
    until([&] { return pools().stats().idle == 1; });
    EXPECT_TRUE(begin(c).ready);
}

TEST_P(UpstreamAnswer, DestroyedBeforeItWroteItLeavesTheConnectionToOthers) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    call(c);
    Call& unused = begin(c, [](Call& to) { to.text.clear(); });
    EXPECT_TRUE(unused.ready);
    unused.attempt.reset();
    EXPECT_EQ(pools().stats().idle, 1u);
    EXPECT_EQ(call(c).body, "hello");
    EXPECT_EQ(s.accepted(), 1u);
}

TEST_P(UpstreamAnswer, DestroyedWhileItAwaitsTheAnswerItResetsTheConnection) {
    Server& s = server();
    s.serve = [](Server::Peer&, const std::string&) {};
    const ClusterPtr c = publish(model({s.port}));
    Call& made = begin(c);
    until([&] { return s.requests == 1; });
    made.attempt.reset();
    until([&] { return s.peer(0).closed; });
    EXPECT_EQ(pools().stats().connections, 0u);
    EXPECT_FALSE(made.over());
    EXPECT_EQ(health(c, s).failures_total, 0u) << "that is not the endpoint's failure";
}

TEST_P(UpstreamAnswer, DestroyedInsideEachCallbackAndStartedAgainThere) {
    for (const int stage : {0, 1, 2, 3}) {
        Server& s = saying("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhellohello");
        const ClusterPtr c = publish(model({s.port}, "c" + std::to_string(stage)));
        Call* again = nullptr;
        Call& made = begin(c, [&](Call& to) {
            const auto anew = [&, this] {
                to.attempt.reset();
                again = &begin(c);
            };
            const auto with_try = [anew](Try&) { anew(); };
            if (stage == 0) {
                to.when_ready = with_try;
            } else if (stage == 1) {
                to.when_head = with_try;
            } else if (stage == 2) {
                to.when_body = with_try;
            } else {
                to.when_over = anew;
            }
        });
        until([&] { return again != nullptr && again->over(); });
        EXPECT_EQ(again->body, "hellohello") << stage;
        EXPECT_EQ(made.ended, stage == 3);
        EXPECT_EQ(s.accepted(), stage == 0 || stage == 3 ? 1u : 2u) << stage;
    }
}

TEST_P(UpstreamAnswer, DestroyedInsideItsFailureAndStartedAgainThere) {
    Server& s = server();
    s.serve = [&](Server::Peer& peer, const std::string&) { s.requests == 1 ? peer.stream.reset() : peer.say(kHello); };
    const ClusterPtr c = publish(model({s.port}));
    Call* again = nullptr;
    begin(c, [&](Call& to) {
        to.when_over = [&, this] {
            to.attempt.reset();
            again = &begin(c);
        };
    });
    until([&] { return again != nullptr && again->over(); });
    EXPECT_EQ(again->body, "hello");
}

TEST_P(UpstreamAnswer, TheNextInTheQueueMayBeDestroyedByTheOneBeforeIt) {
    Server& s = server();
    auto of = model({s.port});
    of->max_connections = 1;
    const ClusterPtr c = publish(of);
    Call* second = nullptr;
    begin(c, [&](Call& to) { to.when_over = [&] { second->attempt.reset(); }; });
    second = &begin(c);
    Call& third = begin(c);
    until([&] { return third.over(); });
    EXPECT_EQ(third.body, "hello");
    EXPECT_FALSE(second->ready);
    EXPECT_EQ(s.accepted(), 1u);
    EXPECT_EQ(s.requests, 2);
}

}  // namespace
}  // namespace sluice::proxy::upstream_test
