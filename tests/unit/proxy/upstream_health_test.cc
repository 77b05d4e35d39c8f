// Which endpoint is chosen, and what tries say of its health.
#include <random>

#include "upstream_fixture.h"

namespace sluice::proxy::upstream_test {
namespace {

class UpstreamHealth : public UpstreamTest {
  protected:
    static config::OutlierDetection strict(std::uint32_t consecutive) {
        config::OutlierDetection outlier;
        outlier.consecutive_5xx = consecutive;
        outlier.max_ejection_percent = 100;
        return outlier;
    }
    Server& failing(const char* answer) {
        Server& s = server();
        s.serve = [answer](Server::Peer& peer, const std::string&) { peer.say(answer); };
        return s;
    }
};
ON_BOTH_BACK_ENDS(UpstreamHealth);

TEST_P(UpstreamHealth, LeastRequestPrefersTheEndpointWithoutRequests) {
    Server& busy = server();
    Server& idle = server();
    const ClusterPtr c = publish(model({busy.port, idle.port}));
    rows.health[endpoint(c, busy.port)].active = 100;  // as another lane's connections would
    for (int i = 0; i < 200; ++i) {
        call(c);
    }
    // Both draws hit the busy one in a quarter of all picks: 50 of 200, deviation 6.1.
    EXPECT_GT(busy.requests, 20);
    EXPECT_LT(busy.requests, 80);
    EXPECT_EQ(busy.requests + idle.requests, 200);
    rows.health[endpoint(c, busy.port)].active -= 100;
}

TEST_P(UpstreamHealth, ARequestInFlightCountsUntilItsEnd) {
    Server& s = server();
    s.serve = [](Server::Peer&, const std::string&) {};
    const ClusterPtr c = publish(model({s.port}));
    begin(c);
    EXPECT_EQ(health(c, s).active, 1u) << "from the pick on";
    Call& second = begin(c);
    until([&] { return s.requests == 2; });
    EXPECT_EQ(health(c, s).active, 2u);
    EXPECT_EQ(rows.clusters[c->number()].active, 2u);
    EXPECT_EQ(health(c, s).picks_total, 2u);
    s.peers[0]->say(kHello);
    until([&] { return health(c, s).active == 1; });
    second.attempt.reset();
    calls[0]->attempt.reset();
    EXPECT_EQ(health(c, s).active, 0u);
}

TEST_P(UpstreamHealth, TheSame5xxSoOftenEjectsAndTheVeryNextTryGoesElsewhere) {
    Server& bad = failing(kError);
    Server& good = server();
    auto of = model({bad.port, good.port});
    of->load_balancer = SL_LB_ROUND_ROBIN;
    of->outlier = strict(3);
    const ClusterPtr c = publish(of);
    while (bad.requests < 3) {
        EXPECT_TRUE(events.empty());
        call(c);
    }
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].kind, static_cast<std::uint32_t>(SL_EVENT_EJECTED));
    EXPECT_EQ(events[0].endpoint, endpoint(c, bad.port));
    EXPECT_EQ(events[0].cluster, c->number());
    EXPECT_EQ(events[0].reason, static_cast<std::uint32_t>(SL_EJECTION_5XX));
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(call(c).statuses, std::vector{200});
    }
    EXPECT_EQ(bad.requests, 3);
    EXPECT_EQ(pools().stats().idle, 2u);
    pools().sweep();
    EXPECT_EQ(pools().stats().idle, 1u) << "its idle connections are closed";
}

TEST_P(UpstreamHealth, AnEjectedEndpointReturnsByAPickAndThatIsTold) {
    Server& bad = failing(kError);
    auto of = model({bad.port});
    of->outlier = strict(1);
    const ClusterPtr c = publish(of);
    call(c);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(call(c).failure, Failure::kNoHealthyUpstream);
    sl_health& words = health(c, bad);
    words.ejected_until = loop->now_ns() - 1;  // its time is over
    EXPECT_EQ(call(c).statuses, std::vector{500});
    ASSERT_EQ(events.size(), 3u) << "returned, and out again";
    EXPECT_EQ(events[1].kind, static_cast<std::uint32_t>(SL_EVENT_RETURNED));
    EXPECT_EQ(events[1].endpoint, endpoint(c, bad.port));
}

TEST_P(UpstreamHealth, ASuccessEndsARunOfFailures) {
    Server& s = server();
    int n = 0;
    s.serve = [&](Server::Peer& peer, const std::string&) { peer.say(++n % 3 == 0 ? kHello : kUnavailable); };
    auto of = model({s.port});
    of->outlier = strict(3);
    const ClusterPtr c = publish(of);
    for (int i = 0; i < 12; ++i) {
        EXPECT_FALSE(call(c).failure);
    }
    EXPECT_TRUE(events.empty());
    EXPECT_EQ(health(c, s).failures_total, 8u);
}

TEST_P(UpstreamHealth, AResetBeforeTheAnswerIsWholeCountsLikeA503) {
    Server& s = server();
    s.serve = [](Server::Peer& peer, const std::string&) {
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart");
        peer.stream.finish();
    };
    auto of = model({s.port});
    of->outlier = strict(0);
    of->outlier->consecutive_gateway = 1;
    const ClusterPtr c = publish(of);
    Call& made = call(c);
    EXPECT_EQ(made.failure, Failure::kTermination);
    EXPECT_EQ(made.body, "part");
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].reason, static_cast<std::uint32_t>(SL_EJECTION_GATEWAY));
}

TEST_P(UpstreamHealth, WhatIsNoHttpCountsAsAFailure) {
    Server& s = failing("SSH-2.0-OpenSSH\r\n\r\n");
    auto of = model({s.port});
    of->outlier = strict(1);
    const ClusterPtr c = publish(of);
    EXPECT_EQ(call(c).failure, Failure::kProtocolError);
    EXPECT_EQ(events.size(), 1u);
}

TEST_P(UpstreamHealth, ATimeoutIsReportedByTheCallerAndOnlyWhileTheAnswerIsAwaited) {
    Server& s = server();
    s.serve = [](Server::Peer&, const std::string&) {};
    auto of = model({s.port});
    of->outlier = strict(0);
    of->outlier->consecutive_gateway = 2;
    const ClusterPtr c = publish(of);
    Call& waiting = begin(c);
    waiting.attempt->report_timeout();
    EXPECT_EQ(health(c, s).failures_total, 0u) << "it had no connection yet";
    for (int i = 1; i < 3; ++i) {
        Call& made = i == 1 ? waiting : begin(c);
        until([&] { return s.requests == i; });
        made.attempt->report_timeout();
        made.attempt.reset();
        EXPECT_EQ(health(c, s).failures_total, static_cast<std::uint64_t>(i));
    }
    EXPECT_EQ(events.size(), 1u);
    Server& slow = server();
    slow.serve = [](Server::Peer& peer, const std::string&) {
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
    };
    const ClusterPtr d = publish(model({slow.port}, "d"));
    Call& made = begin(d);
    until([&] { return !made.statuses.empty(); });
    made.attempt->report_timeout();
    EXPECT_EQ(health(d, slow).failures_total, 0u) << "it did answer";
}

TEST_P(UpstreamHealth, SplitModeCountsLocalFailuresApart) {
    std::uint16_t port = 0;
    const Fd nobody = bound_socket(port);
    auto of = model({port});
    of->outlier = strict(1);
    of->outlier->split_local_origin = true;
    of->outlier->consecutive_local = 3;
    const ClusterPtr c = publish(of);
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(events.empty()) << "consecutive5xxErrors 1 does not count them";
        EXPECT_EQ(call(c).failure, Failure::kConnectFailure);
    }
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].reason, static_cast<std::uint32_t>(SL_EJECTION_LOCAL_ORIGIN));
}

TEST_P(UpstreamHealth, AConnectEndsARunOfLocalFailuresOnly) {
    Server& s = server();
    s.serve = [](Server::Peer&, const std::string&) {};
    auto of = model({s.port});
    of->outlier = strict(5);
    of->outlier->split_local_origin = true;
    of->outlier->consecutive_local = 5;
    const ClusterPtr c = publish(of);
    health(c, s).consecutive_local = 4;
    health(c, s).consecutive_5xx = 1;
    begin(c);
    until([&] { return s.requests == 1; });
    EXPECT_EQ(health(c, s).consecutive_local, 0u);
    EXPECT_EQ(health(c, s).consecutive_5xx, 1u);
}

TEST_P(UpstreamHealth, AHashKeySticksToItsEndpointAndMovesOnlyWhenThatIsOut) {
    for (const auto balancer : {SL_LB_RING_HASH, SL_LB_MAGLEV}) {
        Server& a = server();
        Server& b = server();
        Server& d = server();
        auto of = model({a.port, b.port, d.port}, "hash" + std::to_string(balancer));
        of->load_balancer = balancer;
        of->hash_table_size = balancer == SL_LB_MAGLEV ? 251 : 1024;
        of->outlier = strict(5);
        const ClusterPtr c = publish(of);
        std::vector<std::string> first;
        const auto ask = [&](std::uint64_t user) {
            TryRequest what = request(c);
            what.has_key = true;
            what.key = user * 0x9e3779b97f4a7c15ull;
            return call(what).address;
        };
        for (std::uint64_t user = 0; user < 30; ++user) {
            first.push_back(ask(user));
        }
        EXPECT_GT(std::ranges::count(first, first[0]), 0);
        EXPECT_LT(std::ranges::count(first, first[0]), 30);
        for (std::uint64_t user = 0; user < 30; ++user) {
            EXPECT_EQ(ask(user), first[user]);
        }
        const auto out = static_cast<std::uint16_t>(std::stoi(first[0].substr(first[0].find(':') + 1)));
        rows.clusters[c->number()].ejected = 1;
        rows.health[endpoint(c, out)].ejected_until = loop->now_ns() + 60'000'000'000;
        for (std::uint64_t user = 0; user < 30; ++user) {
            if (first[user] == first[0]) {
                const std::string elsewhere = ask(user);
                EXPECT_NE(elsewhere, first[0]);
                EXPECT_EQ(ask(user), elsewhere);
            } else {
                EXPECT_EQ(ask(user), first[user]) << "who was elsewhere stays";
            }
        }
    }
}

TEST_P(UpstreamHealth, ARetryAvoidsEndpointsAlreadyTried) {
    for (const auto balancer : {SL_LB_LEAST_REQUEST, SL_LB_ROUND_ROBIN, SL_LB_RANDOM, SL_LB_RING_HASH, SL_LB_MAGLEV}) {
        Server& a = server();
        Server& b = server();
        auto of = model({a.port, b.port}, "avoid" + std::to_string(balancer));
        of->load_balancer = balancer;
        of->hash_table_size = balancer == SL_LB_MAGLEV ? 251 : 1024;
        const ClusterPtr c = publish(of);
        const std::uint32_t avoid[] = {endpoint(c, a.port)};
        TryRequest what = request(c);
        what.avoid = avoid;
        what.avoid_count = 1;
        what.has_key = balancer >= SL_LB_RING_HASH;
        std::mt19937_64 keys(1);
        for (int i = 0; i < 100; ++i) {
            what.key = keys();
            call(what);
        }
        // All six draws hit it once in 64 picks: 1.6 of 100, at least request with idle endpoints likewise.
        EXPECT_LE(a.requests, 10) << balancer;
        EXPECT_EQ(a.requests + b.requests, 100);
    }
}

TEST_P(UpstreamHealth, WhenAllWereTriedOneOfThemIsTriedAgain) {
    Server& s = server();
    const ClusterPtr c = publish(model({s.port}));
    const std::uint32_t avoid[] = {endpoint(c, s.port)};
    TryRequest what = request(c);
    what.avoid = avoid;
    what.avoid_count = 1;
    EXPECT_EQ(call(what).body, "hello");
}

TEST_P(UpstreamHealth, AClusterWithoutEndpointsHasNoHealthyUpstream) {
    const ClusterPtr c = publish(model({}));
    Call& made = begin(c);
    EXPECT_FALSE(made.over());
    until([&] { return made.over(); });
    EXPECT_EQ(made.failure, Failure::kNoHealthyUpstream);
    EXPECT_EQ(made.attempt->endpoint(), SL_NONE);
    EXPECT_EQ(made.attempt->address(), "");
}

}  // namespace
}  // namespace sluice::proxy::upstream_test
