// DestinationRules: which ones hold, how they merge, how their policies layer.
#include <gmock/gmock.h>

#include "build.h"

namespace sluice::model::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

ServiceEntry rank_service() {
    ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
    entry.with(port(8080)).with(port(9090));
    for (const char* address : {"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"}) {
        entry.with(endpoint(address, {{"version", "v1"}}));
    }
    return entry;
}

config::LoadBalancer simple(config::SimpleLb lb) {
    config::LoadBalancer out;
    out.simple = lb;
    return out;
}
config::ConnectionPool pool(std::uint32_t max) {
    config::ConnectionPool out;
    out.max_connections = max;
    return out;
}
config::OutlierDetection outlier(std::uint32_t percent) {
    config::OutlierDetection out;
    out.max_ejection_percent = percent;
    return out;
}

TEST(Policies, blocks_become_the_clusters_settings) {
    DestinationRule rule("ml", "rank", kHost);
    auto& blocks = rule.policy().blocks;
    blocks.connection_pool = pool(7);
    blocks.connection_pool->connect_timeout = milliseconds(250);
    blocks.connection_pool->keepalive = {3, seconds(60), seconds(5)};
    blocks.outlier = outlier(50);
    blocks.load_balancer = simple(config::SimpleLb::kRandom);
    rule.annotate([](auto& a) { a.limit_scope = config::LimitScope::kNode; });
    TestMesh m;
    m.apply({put(rank_service()), put(rule)});
    const ClusterPtr c = m.cluster(kHost, 8080);
    EXPECT_EQ(c->max_connections, 7u);
    EXPECT_EQ(c->connect_timeout_ms, 250u);
    EXPECT_EQ(c->keepalive->probes, 3u);
    EXPECT_EQ(c->outlier->max_ejection_percent, 50u);
    EXPECT_EQ(c->load_balancer, SL_LB_RANDOM);
    EXPECT_TRUE(c->limit_node);
    ASSERT_EQ(c->sources.size(), 2u);
    EXPECT_EQ(c->sources[1]->key, rule.object.key);
}

TEST(Policies, source_ip_hash_is_a_ring_of_1024_or_maglev) {
    DestinationRule rule("ml", "rank", kHost);
    config::LoadBalancer lb;
    lb.source_ip_hash = true;
    rule.policy().blocks.load_balancer = lb;
    TestMesh m;
    m.apply({put(rank_service()), put(rule)});
    EXPECT_EQ(m.cluster(kHost, 8080)->load_balancer, SL_LB_RING_HASH);
    EXPECT_EQ(m.cluster(kHost, 8080)->hash_table_size, 1024u);
    rule.policy().blocks.load_balancer->maglev = true;
    m.apply({put(rule)});
    EXPECT_EQ(m.cluster(kHost, 8080)->load_balancer, SL_LB_MAGLEV);
    EXPECT_EQ(m.cluster(kHost, 8080)->hash_table_size, 65537u);
}

TEST(Policies, unset_and_zero_limits_mean_no_limit) {
    DestinationRule rule("ml", "rank", kHost);
    rule.policy().blocks.connection_pool = pool(0);
    TestMesh m;
    m.apply({put(rank_service()), put(rule)});
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, SL_UNLIMITED);
}

TEST(Policies, port_level_replaces_the_whole_policy) {
    DestinationRule rule("ml", "rank", kHost);
    rule.policy().blocks.connection_pool = pool(7);
    rule.policy().blocks.load_balancer = simple(config::SimpleLb::kRandom);
    rule.policy().port_level[9090].load_balancer = simple(config::SimpleLb::kRoundRobin);
    TestMesh m;
    m.apply({put(rank_service()), put(rule)});
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, 7u);
    EXPECT_EQ(m.cluster(kHost, 8080)->load_balancer, SL_LB_RANDOM);
    EXPECT_EQ(m.cluster(kHost, 9090)->max_connections, SL_UNLIMITED);
    EXPECT_EQ(m.cluster(kHost, 9090)->load_balancer, SL_LB_ROUND_ROBIN);
}

TEST(Policies, subset_replaces_single_blocks_and_its_port_level_all_of_them) {
    DestinationRule rule("ml", "rank", kHost);
    rule.policy().blocks.connection_pool = pool(7);
    rule.policy().blocks.outlier = outlier(50);
    config::TrafficPolicy own;
    own.blocks.connection_pool = pool(3);
    own.port_level[9090].load_balancer = simple(config::SimpleLb::kRandom);
    rule.subset("v1", {{"version", "v1"}}, own).subset("plain", {{"version", "v1"}});
    TestMesh m;
    m.apply({put(rank_service()), put(rule),
             put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v1", 1}, {kHost, "plain", 1}, {kHost, "", 1}}))});
    const ClusterPtr v1 = m.cluster(kHost, 8080, 0), plain = m.cluster(kHost, 8080, 1),
                     whole = m.cluster(kHost, 8080, 2);
    EXPECT_EQ(v1->max_connections, 3u);
    EXPECT_EQ(v1->outlier->max_ejection_percent, 50u);
    EXPECT_EQ(plain->max_connections, 7u);
    EXPECT_EQ(whole->max_connections, 7u);
    const ClusterPtr on_port = m.cluster(kHost, 9090, 0);
    EXPECT_EQ(on_port->max_connections, SL_UNLIMITED);
    EXPECT_FALSE(on_port->outlier);
    EXPECT_EQ(on_port->load_balancer, SL_LB_RANDOM);
    EXPECT_EQ(std::set<Identity>({v1->id, plain->id, whole->id, on_port->id}).size(), 4u);
}

TEST(Policies, rules_of_one_namespace_merge_subsets_by_name_and_policy_as_a_whole) {
    DestinationRule old("ml", "old", kHost), young("ml", "young", kHost);
    old.created("2026-01-01T00:00:00Z");
    young.created("2026-02-01T00:00:00Z");
    old.subset("a", {{"version", "v1"}});
    young.subset("a", {{"version", "nothing"}}).subset("b", {{"version", "v1"}});
    young.policy().blocks.connection_pool = pool(7);
    TestMesh m;
    m.apply({put(rank_service()), put(young), put(old),
             put(VirtualService("ml", "rank", kHost).tcp({{kHost, "a", 1}, {kHost, "b", 1}}))});
    EXPECT_EQ(m.cluster(kHost, 8080, 0)->endpoints.size(), 4u);
    EXPECT_EQ(m.cluster(kHost, 8080, 1)->endpoints.size(), 4u);
    EXPECT_EQ(m.cluster(kHost, 8080, 0)->max_connections, 7u);
    old.policy().blocks.load_balancer = simple(config::SimpleLb::kRandom);
    m.apply({put(old)});
    EXPECT_EQ(m.cluster(kHost, 8080, 0)->max_connections, SL_UNLIMITED);
    EXPECT_EQ(m.cluster(kHost, 8080, 0)->load_balancer, SL_LB_RANDOM);
}

TEST(Policies, exact_host_beats_wildcard_in_a_namespace) {
    DestinationRule exact("ml", "exact", kHost), wild("ml", "wild", "*.svc.cluster.local");
    exact.policy().blocks.connection_pool = pool(1);
    wild.policy().blocks.connection_pool = pool(2);
    TestMesh m;
    m.apply({put(rank_service()), put(exact), put(wild)});
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, 1u);
    m.apply({drop(exact)});
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, 2u);
    m.apply({drop(wild)});
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, SL_UNLIMITED);
}

TEST(Policies, client_namespace_then_service_namespace_then_root_without_merging) {
    DestinationRule in_client("web", "r", kHost), in_service("ml", "r", kHost), in_root("istio-system", "r", kHost),
        elsewhere("third", "r", kHost);
    in_client.policy().blocks.connection_pool = pool(1);
    in_service.policy().blocks.connection_pool = pool(2);
    in_root.policy().blocks.connection_pool = pool(3);
    in_root.policy().blocks.load_balancer = simple(config::SimpleLb::kRandom);
    elsewhere.policy().blocks.connection_pool = pool(4);
    TestMesh m;
    m.apply({put(rank_service()), put(in_client), put(in_service), put(in_root), put(elsewhere),
             put(client("web", "web"))});
    EXPECT_EQ(m.cluster(kHost, 8080, 0, "web")->max_connections, 1u);
    EXPECT_EQ(m.cluster(kHost, 8080, 0, "web")->load_balancer, SL_LB_LEAST_REQUEST);
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, 2u);
    m.apply({drop(in_service)});
    EXPECT_EQ(m.cluster(kHost, 8080, 0, "web")->max_connections, 1u);
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, 3u);
    m.apply({drop(in_client)});
    // Now both see the same: the scope of its own is gone.
    EXPECT_EQ(m.find(kHost, 8080, "web"), nullptr);
    EXPECT_EQ(m.delta.removed.size(), 2u);
    m.apply({drop(in_root)});
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, SL_UNLIMITED);
}

TEST(Policies, subset_of_a_third_namespace_is_not_used) {
    TestMesh m;
    EXPECT_THAT(
        m.refuse({put(rank_service()), put(DestinationRule("third", "r", kHost).subset("v1", {{"version", "v1"}})),
                  put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v1"}}))}),
        HasSubstr("no DestinationRule that clients of all namespaces see"));
}

TEST(Policies, cluster_identity_is_kept_while_the_same_rules_shape_it) {
    DestinationRule rule("ml", "rank", kHost);
    rule.policy().blocks.connection_pool = pool(1);
    TestMesh m;
    m.apply({put(rank_service()), put(rule)});
    const ClusterPtr before = m.cluster(kHost, 8080);
    rule.policy().blocks.connection_pool = pool(2);
    m.apply({put(rule)});
    const ClusterPtr after = m.cluster(kHost, 8080);
    EXPECT_NE(before, after);
    EXPECT_EQ(before->id, after->id);
    m.apply({drop(rule)});
    EXPECT_NE(m.cluster(kHost, 8080)->id, after->id);
}

TEST(Policies, cluster_that_left_does_not_come_back_stale) {
    DestinationRule rule("ml", "rank", kHost);
    rule.subset("v1", {{"version", "v1"}});
    rule.policy().blocks.connection_pool = pool(1);
    VirtualService route("ml", "rank", kHost);
    route.tcp({{kHost, "v1"}});
    TestMesh m;
    m.apply({put(rank_service()), put(rule), put(route)});
    const ClusterPtr held = m.cluster(kHost, 8080);
    m.apply({drop(route)});
    rule.policy().blocks.connection_pool = pool(2);
    m.apply({put(rule)});
    m.apply({put(route)});
    EXPECT_EQ(held->max_connections, 1u);
    EXPECT_EQ(m.cluster(kHost, 8080)->max_connections, 2u);
}

TEST(Policies, ejection_that_can_never_happen_is_warned_about_with_numbers) {
    DestinationRule rule("ml", "rank", kHost);
    rule.policy().blocks.outlier = outlier(24);
    TestMesh m;
    m.apply({put(rank_service()), put(rule)});
    EXPECT_THAT(m.warnings(),
                HasSubstr("maxEjectionPercent 24 never ejects: outbound|8080||rank.ml.svc.cluster.local has 4 "
                          "endpoints, one of them is 25 percent; at least 25 is needed"));
    rule.policy().blocks.outlier = outlier(25);
    m.apply({put(rule)});
    EXPECT_EQ(m.warnings(), "");
}

TEST(Policies, subset_without_endpoints_is_warned_about) {
    TestMesh m;
    m.apply({put(rank_service()), put(DestinationRule("ml", "r", kHost).subset("v9", {{"version", "v9"}})),
             put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v9"}}))});
    EXPECT_THAT(m.warnings(),
                HasSubstr("no endpoint of rank.ml.svc.cluster.local that takes connections has the labels"));
    ASSERT_NE(m.cluster(kHost, 8080), nullptr);
    EXPECT_TRUE(m.cluster(kHost, 8080)->endpoints.empty());
}

// Port 8080 is HTTP, 9443 is not.
ServiceEntry two_protocols() {
    ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
    entry.with(port(8080, PortProtocol::kHttp)).with(port(9443)).with(endpoint("127.0.1.1", {{"version", "v1"}}));
    return entry;
}

TEST(Policies, least_request_is_what_a_pool_or_nothing_leaves) {
    DestinationRule rule("ml", "rank", kHost);
    rule.policy().blocks.connection_pool = pool(7);
    TestMesh m(with_proxy());
    m.apply({put(two_protocols()), put(rule)});
    EXPECT_EQ(m.cluster(kHost, 8080)->load_balancer, SL_LB_LEAST_REQUEST);
    m.apply({drop(rule)});
    EXPECT_EQ(m.cluster(kHost, 8080)->load_balancer, SL_LB_LEAST_REQUEST);
}

TEST(Policies, key_of_the_request_makes_a_table_on_http_ports_and_chance_on_others) {
    DestinationRule rule("ml", "rank", kHost);
    auto& balancer = rule.policy().blocks.load_balancer.emplace();
    balancer.key = {config::HashKey::Kind::kCookie, "user", "/", std::chrono::seconds(0), {}};
    balancer.maglev = true;
    balancer.table_size = 101;
    TestMesh m(with_proxy());
    m.apply({put(two_protocols()), put(rule)});
    EXPECT_EQ(m.cluster(kHost, 8080)->load_balancer, SL_LB_MAGLEV);
    EXPECT_EQ(m.cluster(kHost, 8080)->hash_table_size, 101u);
    EXPECT_EQ(m.cluster(kHost, 8080)->hash_key->name, "user");
    EXPECT_EQ(m.cluster(kHost, 9443)->load_balancer, SL_LB_RANDOM);
    EXPECT_EQ(m.cluster(kHost, 9443)->hash_key, std::nullopt);
    EXPECT_THAT(m.warnings(), HasSubstr("port 9443 of rank.ml.svc.cluster.local carries no HTTP"));
    const ClusterPtr before = m.cluster(kHost, 8080);
    balancer.key->name = "session";
    m.apply({put(rule)});
    EXPECT_NE(m.cluster(kHost, 8080), before) << "a key is part of a cluster";
    EXPECT_EQ(m.cluster(kHost, 8080)->id, before->id);
}

TEST(Policies, blocks_of_a_request_lane_layer_as_wholes_too) {
    config::ConnectionPool host_pool = pool(7);
    host_pool.http.max_pending = 10;
    host_pool.needs_request_lane = "connectionPool.http.http1MaxPendingRequests: counted";
    config::ConnectionPool subset_pool;
    subset_pool.http.max_requests = 3;
    subset_pool.needs_request_lane = "connectionPool.http.http2MaxRequests: counted";
    DestinationRule rule("ml", "rank", kHost);
    rule.policy().blocks.connection_pool = host_pool;
    rule.policy().blocks.load_balancer.emplace().warmup = config::Warmup{seconds(30), 20, 1};
    config::TrafficPolicy own;
    own.blocks.connection_pool = subset_pool;
    rule.subset("v1", {{"version", "v1"}}, own);
    config::TrafficPolicy by_port;
    by_port.port_level[8080].connection_pool = subset_pool;
    rule.subset("p1", {{"version", "v1"}}, by_port);
    VirtualService route("ml", "rank", kHost);
    route.http({{kHost, "v1", 1}, {kHost, "p1", 1}, {kHost, "", 1}});
    ServiceEntry service("ml", "rank", kHost, "127.10.0.1");
    service.with(port(8080, PortProtocol::kHttp)).with(endpoint("127.0.1.1", {{"version", "v1"}}));
    TestMesh m(with_proxy());
    m.apply({put(service), put(rule), put(route)});
    const ClusterPtr v1 = m.cluster(kHost, 8080, 0), p1 = m.cluster(kHost, 8080, 1), whole = m.cluster(kHost, 8080, 2);
    EXPECT_EQ(whole->pool.max_pending, 10u);
    EXPECT_EQ(whole->max_connections, 7u);
    EXPECT_EQ(whole->warmup->duration, seconds(30));
    EXPECT_EQ(v1->pool.max_requests, 3u);
    EXPECT_EQ(v1->pool.max_pending, config::HttpPool::kUnlimited) << "replaced, not merged";
    EXPECT_EQ(v1->max_connections, SL_UNLIMITED);
    EXPECT_TRUE(v1->warmup.has_value()) << "another block";
    EXPECT_FALSE(p1->warmup.has_value()) << "port-level settings replace the whole policy";
}

TEST(Policies, upgrade_to_http2_is_accepted_with_a_note) {
    DestinationRule rule("ml", "rank", kHost);
    rule.policy().blocks.connection_pool.emplace().http.h2_upgrade = true;
    TestMesh m(with_proxy());
    m.apply({put(two_protocols()), put(rule)});
    EXPECT_THAT(m.warnings(), HasSubstr("UPGRADE has no effect yet: HTTP/1.1 is spoken to the endpoints of"));
}

}  // namespace
}  // namespace sluice::model::test
