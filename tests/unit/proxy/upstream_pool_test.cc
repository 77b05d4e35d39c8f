// Which connection a try gets, and what becomes of it afterwards.
#include "upstream_fixture.h"

namespace sluice::proxy::upstream_test {
namespace {

using UpstreamPool = UpstreamTest;
ON_BOTH_BACK_ENDS(UpstreamPool);

TEST_P(UpstreamPool, AnIdleConnectionServesTheNextTryAtOnce) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    Call& first = call(c);
    EXPECT_EQ(first.body, "hello");
    EXPECT_EQ(first.statuses, std::vector{200});
    EXPECT_EQ(first.address, "127.0.0.1:" + std::to_string(s.port));
    EXPECT_THAT(std::string(first.attempt->local_address()), testing::StartsWith("127.0.0.1:"));
    Call& second = begin(c);
    EXPECT_TRUE(second.ready) << "before the loop runs";
    until([&] { return second.over(); });
    EXPECT_EQ(second.body, "hello");
    EXPECT_EQ(second.attempt->local_address(), first.attempt->local_address());
    EXPECT_EQ(s.accepted(), 1u);
    const Upstreams::Stats stats = pools().stats();
    EXPECT_EQ(stats.made, 1u);
    EXPECT_EQ(stats.reused, 1u);
    EXPECT_EQ(stats.idle, 1u);
    EXPECT_EQ(stats.connections, 1u);
}

TEST_P(UpstreamPool, TheNewestIdleConnectionIsTakenFirst) {
    Server& s = server();
    std::vector<Server::Peer*> asked;
    s.serve = [&](Server::Peer& peer, const std::string&) { asked.push_back(&peer); };
    const ClusterPtr c = publish(model({s.port}));
    Call& a = begin(c);
    Call& b = begin(c);
    until([&] { return asked.size() == 2; });
    asked[0]->say(kHello);
    until([&] { return a.over() || b.over(); });
    asked[1]->say(kHello);
    until([&] { return a.over() && b.over(); });
    begin(c);
    until([&] { return asked.size() == 3; });
    EXPECT_EQ(asked[2], asked[1]);
}

TEST_P(UpstreamPool, ARequestNeverSharesAConnectionWithAnother) {
    Server& s = server();
    s.serve = [](Server::Peer&, const std::string&) {};
    const ClusterPtr c = publish(model({s.port}));
    for (int i = 0; i < 5; ++i) {
        begin(c);
    }
    until([&] { return s.requests == 5; });
    EXPECT_EQ(s.accepted(), 5u);
}

TEST_P(UpstreamPool, ClientsOfOtherNetworkNamespacesHaveTheirOwnConnections) {
    Server& s = server();
    std::vector<std::uint32_t> asked;
    sockets = [&](std::uint32_t netns, int family) -> Result<Fd> {
        asked.push_back(netns);
        return Fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    };
    const ClusterPtr c = publish(model({s.port}));
    TryRequest there = request(c);
    there.netns = 3;
    call(c);
    call(there);
    call(c);
    call(there);
    EXPECT_EQ(s.accepted(), 2u);
    EXPECT_EQ(asked, (std::vector<std::uint32_t>{0, 3}));
}

TEST_P(UpstreamPool, AConnectionServesMaxRequestsPerConnection) {
    Server& s = server();
    auto of = model({s.port});
    of->pool.max_requests_per_connection = 2;
    const ClusterPtr c = publish(of);
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(call(c).body, "hello");
    }
    EXPECT_EQ(s.accepted(), 3u);
    EXPECT_EQ(s.peer(0).requests, 2);
    until([&] { return s.peer(0).ended && s.peer(1).ended; });
}

TEST_P(UpstreamPool, AnAnswerThatSaysCloseEndsTheConnection) {
    Server& s = server();
    s.serve = [](Server::Peer& peer, const std::string&) {
        peer.say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    };
    const ClusterPtr c = publish(model({s.port}));
    EXPECT_EQ(call(c).body, "ok");
    EXPECT_EQ(pools().stats().connections, 0u);
    EXPECT_EQ(call(c).body, "ok");
    EXPECT_EQ(s.accepted(), 2u);
}

TEST_P(UpstreamPool, AConnectionThatTheServerClosedWhileIdleIsNotUsed) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    call(c);
    s.peer(0).stream.finish();
    until([&] { return pools().stats().connections == 0; });
    EXPECT_EQ(call(c).body, "hello");
    EXPECT_EQ(s.accepted(), 2u);
}

TEST_P(UpstreamPool, AFinThatTheLoopHasNotSeenYetIsFoundOnAConnectionThatWasIdleForLong) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    call(c);
    pass(std::chrono::milliseconds(150));
    shutdown(s.peer(0).stream.fd(), SHUT_WR);  // behind the loop's back
    Call& next = begin(c);
    EXPECT_FALSE(next.ready);
    until([&] { return next.over(); });
    EXPECT_EQ(next.body, "hello");
    EXPECT_EQ(pools().stats().stale, 1u);
    EXPECT_EQ(s.accepted(), 2u);
}

TEST_P(UpstreamPool, AFinInTheTurnInWhichARequestWasWrittenIsKnownToHaveLostNothing) {
    Server& s = server();
    auto of = model({s.port});
    of->outlier = config::OutlierDetection{};
    const ClusterPtr c = publish(of);
    call(c);
    Call* next = nullptr;
    // The loop has the FIN to tell when its turn begins, and the request is written before it gets there.
    shutdown(s.peer(0).stream.fd(), SHUT_WR);
    bool once = false, late = false;
    Deadline deadline{*loop, late};
    deadline.timer.start(std::chrono::seconds(10));
    loop->set_turn([&](bool awake) {
        if (awake && !std::exchange(once, true)) {
            next = &begin(c);
        } else if (next != nullptr && next->over()) {
            loop->stop();
        }
    });
    loop->run();
    loop->set_turn([](bool) {});
    ASSERT_FALSE(late);
    EXPECT_TRUE(next->ready);
    EXPECT_EQ(next->failure, Failure::kTermination);
    EXPECT_FALSE(next->sent);
    EXPECT_EQ(s.requests, 1);
    EXPECT_EQ(health(c, s).failures_total, 0u);
}

TEST_P(UpstreamPool, OctetsBehindAnAnswerPoisonTheConnection) {
    Server& s = server();
    s.serve = [](Server::Peer& peer, const std::string&) { peer.say(std::string(kHello) + "HTTP/1.1 200 OK\r\n"); };
    const ClusterPtr c = publish(model({s.port}));
    Call& first = call(c);
    EXPECT_TRUE(first.ended) << "the answer itself is whole";
    EXPECT_EQ(first.body, "hello");
    EXPECT_EQ(pools().stats().poisoned, 1u);
    EXPECT_EQ(pools().stats().connections, 0u);
}

TEST_P(UpstreamPool, OctetsThatNobodyAskedForPoisonAnIdleConnection) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    call(c);
    s.peer(0).say("HTTP/1.1 408 Request Timeout\r\n\r\n");
    until([&] { return pools().stats().connections == 0; });
    EXPECT_EQ(pools().stats().poisoned, 1u);
    EXPECT_EQ(call(c).body, "hello");
}

TEST_P(UpstreamPool, AnAnswerBeforeTheRequestWasWholeIsDeliveredAndEndsTheConnection) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    Call& early = call(c, [](Call& made) {
        made.when_ready = [](Try& t) { t.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhal"); };
    });
    EXPECT_TRUE(early.ended);
    EXPECT_EQ(early.body, "hello");
    EXPECT_EQ(pools().stats().connections, 0u);
    early.attempt->write("f of it");
    early.attempt->request_end();
    EXPECT_EQ(call(c).body, "hello");
    EXPECT_EQ(s.accepted(), 2u);
}

TEST_P(UpstreamPool, AnIdleConnectionIsClosedAfterIdleTimeout) {
    Server& s = server();
    auto of = model({s.port});
    of->pool.idle_timeout = std::chrono::milliseconds(30);
    const ClusterPtr c = publish(of);
    call(c);
    pools().sweep();
    EXPECT_EQ(pools().stats().idle, 1u);
    pass(std::chrono::milliseconds(40));
    Call& second = begin(c);
    EXPECT_FALSE(second.ready) << "not even before the sweep";
    until([&] { return second.over(); });
    pass(std::chrono::milliseconds(40));
    pools().sweep();
    EXPECT_EQ(pools().stats().connections, 0u);
}

TEST_P(UpstreamPool, AConnectionOlderThanMaxConnectionDurationEndsWithItsRequest) {
    Server& s = server();
    auto of = model({s.port});
    of->pool.max_connection_duration = std::chrono::milliseconds(30);
    const ClusterPtr c = publish(of);
    call(c);
    EXPECT_EQ(pools().stats().idle, 1u);
    std::vector<Server::Peer*> asked;
    s.serve = [&](Server::Peer& peer, const std::string&) { asked.push_back(&peer); };
    Call& second = begin(c);
    until([&] { return asked.size() == 1; });
    pass(std::chrono::milliseconds(40));
    asked[0]->say(kHello);
    until([&] { return second.over(); });
    EXPECT_EQ(second.body, "hello");
    EXPECT_EQ(pools().stats().connections, 0u);
}

TEST_P(UpstreamPool, NoMoreThanIdleMaxConnectionsStayIdle) {
    Server& s = server();
    options.idle_max = 2;
    std::vector<Server::Peer*> asked;
    s.serve = [&](Server::Peer& peer, const std::string&) { asked.push_back(&peer); };
    const ClusterPtr c = publish(model({s.port}));
    for (int i = 0; i < 4; ++i) {
        begin(c);
    }
    until([&] { return asked.size() == 4; });
    for (Server::Peer* peer : asked) {
        peer->say(kHello);
    }
    until([&] { return std::ranges::all_of(calls, [](const auto& made) { return made->over(); }); });
    EXPECT_EQ(pools().stats().idle, 2u);
    EXPECT_EQ(pools().stats().connections, 2u);
}

TEST_P(UpstreamPool, DrainingClosesWhatIsIdleAndWhatBecomesIdle) {
    Server& s = server();
    std::vector<Server::Peer*> asked;
    s.serve = [&](Server::Peer& peer, const std::string&) { asked.push_back(&peer); };
    const ClusterPtr c = publish(model({s.port}));
    Call& first = begin(c);
    Call& second = begin(c);
    until([&] { return asked.size() == 2; });
    asked[0]->say(kHello);
    until([&] { return first.over() || second.over(); });
    pools().drain();
    EXPECT_EQ(pools().stats().idle, 0u);
    asked[1]->say(kHello);
    until([&] { return first.over() && second.over(); });
    EXPECT_TRUE(first.ended && second.ended);
    EXPECT_EQ(pools().stats().connections, 0u);
}

TEST_P(UpstreamPool, DrainingAConnectThatNobodyWaitsForAnyMoreEndsIt) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    begin(c).attempt.reset();
    pools().drain();
    EXPECT_EQ(pools().stats().connections, 1u);
    until([&] { return pools().stats().connections == 0; });
}

TEST_P(UpstreamPool, SweepClosesIdleConnectionsOfEndpointsThatAreGone) {
    Server& s = server();
    Server& other = server();
    const ClusterPtr c = publish(model({s.port, other.port}));
    until([&] {
        if (s.requests == 0 || other.requests == 0) {
            begin(c);
        }
        return s.requests > 0 && other.requests > 0 && calls.back()->over();
    });
    until([&] { return pools().stats().idle == pools().stats().connections; });
    publish(model({other.port}));
    const std::uint64_t before = pools().stats().idle;
    pools().sweep();
    EXPECT_EQ(pools().stats().idle, before - s.accepted());
    until([&] { return std::ranges::all_of(s.peers, [](const auto& peer) { return peer->ended || peer->closed; }); });
}

TEST_P(UpstreamPool, APolicyOfANewGenerationHoldsForTheConnectionsThatThereAre) {
    Server& s = server();
    call(publish(model({s.port})));
    auto of = model({s.port});
    of->pool.max_requests_per_connection = 2;
    const ClusterPtr c = publish(of);
    call(c);
    EXPECT_EQ(s.accepted(), 1u);
    EXPECT_EQ(pools().stats().connections, 0u);
}

TEST_P(UpstreamPool, AClusterThatIsGoneOrMissingIsNoCluster) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    call(c);
    const auto stranger = std::make_shared<const Cluster>(model({s.port}, "d"), c->number(), nullptr);
    EXPECT_EQ(call(ClusterPtr(stranger)).failure, Failure::kNoCluster) << "the number means another cluster";
    EXPECT_EQ(call(TryRequest{}).failure, Failure::kNoCluster);
    ASSERT_TRUE(publisher.publish(compile::test::removed("c")));
    publisher.reclaim();
    EXPECT_EQ(call(c).failure, Failure::kNoCluster);
    pools().sweep();
    EXPECT_EQ(pools().stats().connections, 0u);
}

}  // namespace
}  // namespace sluice::proxy::upstream_test
