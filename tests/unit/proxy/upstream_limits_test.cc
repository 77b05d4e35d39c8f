// Circuit breakers: what waits, what is refused, and in which order those who wait are served.
#include "upstream_fixture.h"

namespace sluice::proxy::upstream_test {
namespace {

class UpstreamLimits : public UpstreamTest {
  protected:
    // A server that answers when the test says so.
    Server& silent() {
        Server& s = server();
        s.serve = [this](Server::Peer& peer, const std::string& head) {
            asked.push_back(&peer);
            paths.push_back(head.substr(0, head.find(" HTTP")));
        };
        return s;
    }
    Call& get(const ClusterPtr& cluster, const std::string& path) {
        return begin(cluster, [&](Call& made) { made.text = "GET " + path + " HTTP/1.1\r\nhost: x\r\n\r\n"; });
    }
    std::vector<Server::Peer*> asked;
    std::vector<std::string> paths;
};
ON_BOTH_BACK_ENDS(UpstreamLimits);

TEST_P(UpstreamLimits, WhoFindsMaxConnectionsTakenWaitsForOneInOrder) {
    Server& s = silent();
    auto of = model({s.port});
    of->max_connections = 2;
    const ClusterPtr c = publish(of);
    const auto breakers = c->breakers(7);
    for (int i = 0; i < 6; ++i) {
        get(c, "/" + std::to_string(i));
    }
    EXPECT_EQ(breakers->connections, 2u);
    EXPECT_EQ(breakers->pending, 6u) << "also those who wait for a connect";
    EXPECT_EQ(breakers->connections_overflow, 4u);
    until([&] { return asked.size() == 2; });
    EXPECT_EQ(breakers->pending, 4u);
    for (std::size_t i = 0; i < 6; ++i) {
        asked[i]->say(kHello);
        until([&] { return asked.size() == std::min<std::size_t>(6, i + 3) && calls[i]->over(); });
    }
    EXPECT_EQ(paths, (std::vector<std::string>{"GET /0", "GET /1", "GET /2", "GET /3", "GET /4", "GET /5"}));
    EXPECT_EQ(s.accepted(), 2u);
    EXPECT_EQ(breakers->pending, 0u);
    EXPECT_TRUE(std::ranges::all_of(calls, [](const auto& made) { return made->body == "hello"; }));
}

TEST_P(UpstreamLimits, AHostWithoutConnectionMayAlwaysOpenOne) {
    Server& s = silent();
    Server& other = silent();
    auto of = model({s.port, other.port});
    of->max_connections = 1;
    of->load_balancer = SL_LB_ROUND_ROBIN;
    const ClusterPtr c = publish(of);
    begin(c);
    begin(c);
    until([&] { return asked.size() == 2; });
    EXPECT_EQ(s.accepted(), 1u);
    EXPECT_EQ(other.accepted(), 1u);
    EXPECT_EQ(c->breakers(7)->connections, 2u);
}

TEST_P(UpstreamLimits, AnIdleConnectionToAnotherHostMakesRoom) {
    Server& s = silent();
    Server& other = silent();
    auto of = model({s.port, other.port});
    of->max_connections = 2;
    of->load_balancer = SL_LB_ROUND_ROBIN;
    const ClusterPtr c = publish(of);
    begin(c);
    begin(c);
    until([&] { return asked.size() == 2; });
    asked[0]->say(kHello);
    until([&] { return pools().stats().idle == 1; });
    const std::uint32_t busy = asked[1]->server.port == s.port ? endpoint(c, s.port) : endpoint(c, other.port);
    const std::uint32_t avoid[] = {busy == endpoint(c, s.port) ? endpoint(c, other.port) : endpoint(c, s.port)};
    TryRequest again = request(c);
    again.avoid = avoid;
    again.avoid_count = 1;
    begin(again);
    until([&] { return asked.size() == 3; });
    EXPECT_EQ(&asked[2]->server, &asked[1]->server);
    EXPECT_EQ(pools().stats().idle, 0u);
    EXPECT_EQ(c->breakers(7)->connections, 2u);
}

TEST_P(UpstreamLimits, MoreThanMaxPendingOverflows) {
    Server& s = silent();
    auto of = model({s.port});
    of->max_connections = 1;
    of->pool.max_pending = 2;
    const ClusterPtr c = publish(of);
    get(c, "/0");
    get(c, "/1");
    Call& third = get(c, "/2");
    EXPECT_FALSE(third.over()) << "told by the loop, not inside start()";
    until([&] { return third.over(); });
    EXPECT_EQ(third.failure, Failure::kOverflow) << "a cold pool: two wait for the connect already";
    EXPECT_FALSE(third.sent);
    EXPECT_EQ(c->breakers(7)->pending_overflow, 1u);
    until([&] { return asked.size() == 1; });
    get(c, "/3");
    Call& fifth = get(c, "/4");
    until([&] { return fifth.over(); });
    EXPECT_EQ(fifth.failure, Failure::kOverflow);
    EXPECT_EQ(c->breakers(7)->pending_overflow, 2u);
    EXPECT_EQ(c->breakers(7)->pending, 2u);
    EXPECT_EQ(health(c, s).failures_total, 0u) << "an overflow says nothing of the endpoint";
}

TEST_P(UpstreamLimits, WhoWaitsMayGoAndMakesRoom) {
    Server& s = silent();
    auto of = model({s.port});
    of->max_connections = 1;
    of->pool.max_pending = 1;
    const ClusterPtr c = publish(of);
    begin(c);
    until([&] { return asked.size() == 1; });
    Call& waiting = begin(c);
    waiting.attempt.reset();
    EXPECT_EQ(c->breakers(7)->pending, 0u);
    Call& next = begin(c);
    asked[0]->say(kHello);
    until([&] { return asked.size() == 2; });
    asked[1]->say(kHello);
    until([&] { return next.over(); });
    EXPECT_EQ(next.body, "hello");
    EXPECT_FALSE(waiting.over());
}

TEST_P(UpstreamLimits, MoreThanHttp2MaxRequestsOverflows) {
    Server& s = silent();
    auto of = model({s.port});
    of->pool.max_requests = 2;
    const ClusterPtr c = publish(of);
    begin(c);
    begin(c);
    Call& third = begin(c);
    until([&] { return third.over() && asked.size() == 2; });
    EXPECT_EQ(third.failure, Failure::kOverflow) << "when it was about to start on its connection";
    EXPECT_EQ(c->breakers(7)->requests_overflow, 1u);
    EXPECT_EQ(c->breakers(7)->requests, 2u);
    EXPECT_EQ(pools().stats().idle, 1u) << "the connection stays for others";
    Call& fourth = begin(c);
    EXPECT_FALSE(fourth.ready);
    until([&] { return fourth.over(); });
    EXPECT_EQ(fourth.failure, Failure::kOverflow) << "also with an idle connection";
    asked[0]->say(kHello);
    until([&] { return c->breakers(7)->requests == 1; });
    EXPECT_TRUE(begin(c).ready);
}

TEST_P(UpstreamLimits, ClientsHaveTheirOwnLimitsUnlessTheNodeShares) {
    Server& s = silent();
    auto of = model({s.port});
    of->pool.max_requests = 1;
    const ClusterPtr c = publish(of);
    TryRequest other = request(c);
    other.client = 8;
    begin(c);
    begin(other);
    until([&] { return asked.size() == 2; });
    EXPECT_EQ(c->breakers(7)->requests, 1u);
    EXPECT_EQ(c->breakers(8)->requests, 1u);
    calls.clear();
    auto shared = model({s.port});
    shared->pool.max_requests = 1;
    shared->limit_node = true;
    const ClusterPtr d = publish(shared);
    EXPECT_EQ(d->breakers(7), d->breakers(8));
    begin(d);
    TryRequest another = request(d);
    another.client = 8;
    EXPECT_EQ(call(another).failure, Failure::kOverflow);
}

TEST_P(UpstreamLimits, AFailedConnectFailsAllWhoWaitForThatHost) {
    std::uint16_t port = 0;
    const Fd nobody = bound_socket(port);
    auto of = model({port});
    of->max_connections = 1;
    const ClusterPtr c = publish(of);
    for (int i = 0; i < 3; ++i) {
        begin(c);
    }
    until([&] { return std::ranges::all_of(calls, [](const auto& made) { return made->over(); }); });
    for (const auto& made : calls) {
        EXPECT_EQ(made->failure, Failure::kConnectFailure);
        EXPECT_EQ(made->error, ECONNREFUSED);
        EXPECT_FALSE(made->sent);
    }
    EXPECT_EQ(rows.health[endpoint(c, port)].failures_total, 3u) << "each try reports, as in Envoy";
    EXPECT_EQ(pools().stats().failed, 1u);
}

TEST_P(UpstreamLimits, AConnectThatTakesTooLongFails) {
    // A queue that is full drops what more comes.
    std::uint16_t port = 0;
    const Fd full = bound_socket(port);
    ASSERT_EQ(listen(full.get(), 0), 0);
    std::vector<Fd> fillers;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    for (int i = 0; i < 4; ++i) {
        fillers.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        connect(fillers.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    }
    auto of = model({port});
    of->connect_timeout_ms = 50;
    const ClusterPtr c = publish(of);
    Call& made = call(c);
    EXPECT_EQ(made.failure, Failure::kConnectTimeout);
    EXPECT_FALSE(made.sent);
    EXPECT_EQ(pools().stats().connections, 0u);
    EXPECT_EQ(rows.health[endpoint(c, port)].failures_total, 1u);
}

TEST_P(UpstreamLimits, WithoutASocketTheTryFailsAndTheEndpointIsNotBlamed) {
    Server& s = server();
    sockets = [](std::uint32_t, int) -> Result<Fd> { return fail_errno(EMFILE, "socket"); };
    const ClusterPtr c = publish(model({s.port}));
    Call& made = begin(c);
    EXPECT_FALSE(made.over());
    until([&] { return made.over(); });
    EXPECT_EQ(made.failure, Failure::kConnectFailure);
    EXPECT_EQ(made.error, EMFILE);
    EXPECT_EQ(health(c, s).failures_total, 0u);
}

TEST_P(UpstreamLimits, AConnectionThatEndsIsReplacedForThoseWhoWait) {
    Server& s = silent();
    auto of = model({s.port});
    of->max_connections = 1;
    const ClusterPtr c = publish(of);
    Call& first = begin(c);
    Call& second = begin(c);
    until([&] { return asked.size() == 1; });
    asked[0]->stream.reset();
    until([&] { return asked.size() == 2; });
    EXPECT_EQ(first.failure, Failure::kTermination);
    EXPECT_TRUE(first.sent);
    asked[1]->say(kHello);
    until([&] { return second.over(); });
    EXPECT_EQ(second.body, "hello");
}

}  // namespace
}  // namespace sluice::proxy::upstream_test
