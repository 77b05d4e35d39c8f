// DestinationRule: blocks, values and defaults.
#include <gtest/gtest.h>

#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

DestinationRule destination_rule(const std::string& policy) {
    return one<DestinationRule>(document("DestinationRule", "spec: {host: a, trafficPolicy: " + policy + "}\n"));
}

TEST(DestinationRuleTest, AbsentBlocksStayAbsent) {
    const auto rule =
        one<DestinationRule>(document("DestinationRule", "spec: {host: '*.local', subsets: [{name: v1}]}\n"));
    EXPECT_FALSE(rule.policy);
    EXPECT_FALSE(rule.subsets[0].policy);
    EXPECT_TRUE(rule.subsets[0].labels.empty());
    const PolicyBlocks blocks = destination_rule("{}").policy->blocks;
    EXPECT_FALSE(blocks.load_balancer || blocks.connection_pool || blocks.outlier);
}

TEST(DestinationRuleTest, OutlierDefaults) {
    const OutlierDetection outlier = *destination_rule("{outlierDetection: {}}").policy->blocks.outlier;
    EXPECT_FALSE(outlier.consecutive_5xx);
    EXPECT_FALSE(outlier.consecutive_gateway);
    EXPECT_FALSE(outlier.consecutive_local);
    EXPECT_FALSE(outlier.split_local_origin);
    EXPECT_EQ(outlier.interval, seconds(10));
    EXPECT_EQ(outlier.base_ejection, seconds(30));
    EXPECT_EQ(outlier.max_ejection_percent, 10u);
    EXPECT_EQ(outlier.min_health_percent, 0u);
}

TEST(DestinationRuleTest, OutlierWhole) {
    const OutlierDetection outlier =
        *destination_rule(
             "{outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, "
             "splitExternalLocalOriginErrors: "
             "true, consecutiveLocalOriginFailures: 2, interval: 1s, baseEjectionTime: 1m, maxEjectionPercent: 100, "
             "minHealthPercent: 40}}")
             .policy->blocks.outlier;
    EXPECT_EQ(outlier.consecutive_5xx, 0u);
    EXPECT_EQ(outlier.consecutive_gateway, 3u);
    EXPECT_TRUE(outlier.split_local_origin);
    EXPECT_EQ(outlier.consecutive_local, 2u);
    EXPECT_EQ(outlier.interval, seconds(1));
    EXPECT_EQ(outlier.base_ejection, seconds(60));
    EXPECT_EQ(outlier.max_ejection_percent, 100u);
    EXPECT_EQ(outlier.min_health_percent, 40u);
    EXPECT_EQ(
        destination_rule("{outlierDetection: {maxEjectionPercent: 0}}").policy->blocks.outlier->max_ejection_percent,
        10u);
}

LoadBalancer load_balancer(const std::string& text) {
    return *destination_rule("{loadBalancer: " + text + "}").policy->blocks.load_balancer;
}

TEST(DestinationRuleTest, LoadBalancers) {
    EXPECT_EQ(load_balancer("{}").simple, SimpleLb::kLeastRequest);
    EXPECT_EQ(load_balancer("{simple: LEAST_CONN}").simple, SimpleLb::kLeastRequest);
    EXPECT_EQ(load_balancer("{simple: UNSPECIFIED}").simple, SimpleLb::kLeastRequest);
    EXPECT_EQ(load_balancer("{simple: ROUND_ROBIN}").simple, SimpleLb::kRoundRobin);
    EXPECT_EQ(load_balancer("{simple: RANDOM}").simple, SimpleLb::kRandom);
}

TEST(DestinationRuleTest, ConsistentHash) {
    const LoadBalancer ring = load_balancer("{consistentHash: {useSourceIp: true}}");
    EXPECT_TRUE(ring.source_ip_hash);
    EXPECT_FALSE(ring.maglev);
    EXPECT_EQ(ring.table_size, 1024u);
    EXPECT_EQ(load_balancer("{consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 4096}}}").table_size,
              4096u);
    EXPECT_EQ(load_balancer("{consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 0}}}").table_size, 1024u);
    const LoadBalancer maglev = load_balancer("{consistentHash: {useSourceIp: true, maglev: {tableSize: 251}}}");
    EXPECT_TRUE(maglev.maglev);
    EXPECT_EQ(maglev.table_size, 251u);
    EXPECT_EQ(load_balancer("{consistentHash: {useSourceIp: true, maglev: {}}}").table_size, 65537u);
}

TEST(DestinationRuleTest, AConsistentHashWithoutKeyIsRandomAsInIstio) {
    for (const char* text :
         {"{consistentHash: {}}", "{consistentHash: {useSourceIp: false}}", "{consistentHash: {ringHash: {}}}"}) {
        const LoadBalancer balancer = load_balancer(text);
        EXPECT_FALSE(balancer.source_ip_hash) << text;
        EXPECT_EQ(balancer.simple, SimpleLb::kRandom) << text;
    }
}

TEST(DestinationRuleTest, ConnectionPool) {
    const ConnectionPool pool =
        *destination_rule(
             "{connectionPool: {tcp: {maxConnections: 7, connectTimeout: 1.5s, tcpKeepalive: {probes: 3, "
             "time: 2h, interval: 75s}}}}")
             .policy->blocks.connection_pool;
    EXPECT_EQ(pool.max_connections, 7u);
    EXPECT_EQ(pool.connect_timeout, milliseconds(1500));
    EXPECT_EQ(pool.keepalive->probes, 3u);
    EXPECT_EQ(pool.keepalive->time, hours(2));
    EXPECT_EQ(pool.keepalive->interval, seconds(75));
    const ConnectionPool unset =
        *destination_rule("{connectionPool: {tcp: {maxConnections: 0}}}").policy->blocks.connection_pool;
    EXPECT_FALSE(unset.max_connections);
    EXPECT_FALSE(unset.connect_timeout);
    EXPECT_FALSE(unset.keepalive);
}

TEST(DestinationRuleTest, PortLevelSettingsAreByNumber) {
    const auto rule = destination_rule(
        "{portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}, {port: {number: 81}}]}");
    ASSERT_EQ(rule.policy->port_level.size(), 2u);
    EXPECT_EQ(rule.policy->port_level.at(80).load_balancer->simple, SimpleLb::kRandom);
    EXPECT_FALSE(rule.policy->port_level.at(81).load_balancer);
}

// ---- what needs a request lane
constexpr const char* kPolicy = "spec.trafficPolicy.";

TEST(DestinationRuleTest, AKeyOfTheRequest) {
    const LoadBalancer header = load_balancer("{consistentHash: {httpHeaderName: X-User}}");
    EXPECT_EQ(header.key, (HashKey{HashKey::Kind::kHeader, "x-user", "", {}, {}}));
    EXPECT_EQ(header.table_size, 1024u);
    EXPECT_FALSE(header.maglev);
    EXPECT_NE(header.simple, SimpleLb::kRandom);
    EXPECT_TRUE(header.needs_request_lane.starts_with(std::string(kPolicy) + "loadBalancer.consistentHash.httpHeader"))
        << header.needs_request_lane;
    const LoadBalancer query =
        load_balancer("{consistentHash: {httpQueryParameterName: User, maglev: {tableSize: 251}}}");
    EXPECT_EQ(query.key, (HashKey{HashKey::Kind::kQuery, "User", "", {}, {}}));
    EXPECT_TRUE(query.maglev);
    EXPECT_EQ(query.table_size, 251u);
    EXPECT_EQ(load_balancer("{consistentHash: {httpCookie: {name: U}}}").key,
              (HashKey{HashKey::Kind::kCookie, "U", "", {}, {}}));
    EXPECT_EQ(load_balancer("{consistentHash: {useSourceIp: true}}").needs_request_lane, "");
    EXPECT_FALSE(load_balancer("{consistentHash: {useSourceIp: true}}").key);
}

TEST(DestinationRuleTest, ACookieThatIsSet) {
    const LoadBalancer session = load_balancer(
        "{consistentHash: {httpCookie: {name: user, path: /a, ttl: 0s, attributes: [{name: SameSite, value: Strict}, "
        "{name: Secure}]}}}");
    EXPECT_EQ(
        session.key,
        (HashKey{HashKey::Kind::kCookie, "user", "/a", nanoseconds(0), {{"SameSite", "Strict"}, {"Secure", ""}}}));
    EXPECT_EQ(load_balancer("{consistentHash: {httpCookie: {name: user, ttl: 1.5s}}}").key->ttl, milliseconds(1500));
}

TEST(DestinationRuleTest, Warmup) {
    const LoadBalancer whole = load_balancer("{warmup: {duration: 30s, minimumPercent: 0.5, aggression: 2}}");
    EXPECT_EQ(whole.warmup, (Warmup{seconds(30), 0.5, 2}));
    EXPECT_TRUE(whole.needs_request_lane.starts_with(std::string(kPolicy) + "loadBalancer.warmup: "));
    EXPECT_EQ(load_balancer("{simple: ROUND_ROBIN, warmup: {duration: 1m}}").warmup, (Warmup{seconds(60), 10, 1}));
    EXPECT_EQ(load_balancer("{warmup: {duration: 1m, minimumPercent: 0}}").warmup->minimum_percent, 0);
}

TEST(DestinationRuleTest, WarmupHasNoEffectOnPoliciesThatDoNotWeigh) {
    for (const char* policy : {"simple: RANDOM", "consistentHash: {useSourceIp: true}"}) {
        const Parsed parsed = parse_text(document(
            "DestinationRule",
            std::string("spec: {host: a, trafficPolicy: {loadBalancer: {warmup: {duration: 1s}, ") + policy + "}}}\n"));
        EXPECT_EQ(parsed.lines(),
                  "t.yaml:4:48: warning: spec.trafficPolicy.loadBalancer.warmup: has no effect: only LEAST_REQUEST and "
                  "ROUND_ROBIN start slowly\n");
        ASSERT_EQ(parsed.objects.size(), 1u);
        const auto& balancer = *std::get<DestinationRule>(parsed.objects[0]->spec).policy->blocks.load_balancer;
        EXPECT_FALSE(balancer.warmup);
        EXPECT_EQ(balancer.needs_request_lane, "");
    }
}

ConnectionPool connection_pool(const std::string& text) {
    return *destination_rule("{connectionPool: " + text + "}").policy->blocks.connection_pool;
}

TEST(DestinationRuleTest, HttpPool) {
    const ConnectionPool pool = connection_pool(
        "{http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 3, maxRetries: 4, "
        "idleTimeout: 30s}}");
    EXPECT_EQ(pool.http.max_pending, 1u);
    EXPECT_EQ(pool.http.max_requests, 2u);
    EXPECT_EQ(pool.http.max_requests_per_connection, 3u);
    EXPECT_EQ(pool.http.max_retries, 4u);
    EXPECT_EQ(pool.http.idle_timeout, seconds(30));
    EXPECT_FALSE(pool.http.max_connection_duration);
    EXPECT_FALSE(pool.http.h2_upgrade);
    EXPECT_TRUE(
        pool.needs_request_lane.starts_with(std::string(kPolicy) + "connectionPool.http.http1MaxPendingRequests: "));
    EXPECT_EQ(pool.needs_tcp_proxy, "");
}

TEST(DestinationRuleTest, ZeroIsUnsetInHttpPools) {
    const ConnectionPool pool = connection_pool(
        "{http: {http1MaxPendingRequests: 0, http2MaxRequests: 0, maxRequestsPerConnection: 0, maxRetries: 0, "
        "h2UpgradePolicy: DO_NOT_UPGRADE}}");
    EXPECT_EQ(pool.http, HttpPool{});
    EXPECT_EQ(pool.http.max_requests, 0xffffffffu);
    EXPECT_EQ(pool.http.idle_timeout, hours(1));
    EXPECT_EQ(pool.needs_request_lane, "");
    EXPECT_EQ(connection_pool("{http: {}}").needs_request_lane, "");
}

TEST(DestinationRuleTest, HttpConnectionsTakeTheTimesOfTcpOnes) {
    EXPECT_EQ(connection_pool("{tcp: {idleTimeout: 5s}}").http.idle_timeout, seconds(5));
    EXPECT_EQ(connection_pool("{tcp: {idleTimeout: 0s}}").http.idle_timeout, seconds(0));
    EXPECT_EQ(connection_pool("{tcp: {idleTimeout: 5s}, http: {idleTimeout: 7s}}").http.idle_timeout, seconds(7));
    EXPECT_EQ(connection_pool("{http: {idleTimeout: 7s}, tcp: {idleTimeout: 5s}}").http.idle_timeout, seconds(7));
    const ConnectionPool pool = connection_pool("{tcp: {maxConnections: 1, maxConnectionDuration: 2h}}");
    EXPECT_EQ(pool.http.max_connection_duration, hours(2));
    EXPECT_TRUE(pool.needs_request_lane.starts_with(std::string(kPolicy) + "connectionPool.tcp.maxConnectionDuration"));
    EXPECT_EQ(pool.needs_tcp_proxy, pool.needs_request_lane);
    EXPECT_EQ(connection_pool("{tcp: {maxConnections: 1, connectTimeout: 1s}}").needs_request_lane, "");
}

TEST(DestinationRuleTest, AnUpgradeToHttp2IsAcceptedWithAWarning) {
    const Parsed parsed = parse_text(document(
        "DestinationRule", "spec: {host: a, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}\n"));
    EXPECT_EQ(
        parsed.lines(),
        "t.yaml:4:57: warning: spec.trafficPolicy.connectionPool.http.h2UpgradePolicy: is accepted, but HTTP/1.1 is "
        "spoken to endpoints: HTTP/2 comes with a later release\n");
    ASSERT_EQ(parsed.objects.size(), 1u);
    const auto& pool = *std::get<DestinationRule>(parsed.objects[0]->spec).policy->blocks.connection_pool;
    EXPECT_TRUE(pool.http.h2_upgrade);
    EXPECT_NE(pool.needs_request_lane, "");
}

TEST(DestinationRuleTest, SubsetsAndPortsHaveTheirOwnBlocks) {
    const auto rule = one<DestinationRule>(document(
        "DestinationRule",
        "spec:\n  host: a\n  subsets:\n  - name: v1\n    trafficPolicy:\n      connectionPool: {http: {maxRetries: "
        "5}}\n"
        "      portLevelSettings: [{port: {number: 80}, loadBalancer: {consistentHash: {httpHeaderName: x}}}]\n"));
    const TrafficPolicy& policy = *rule.subsets[0].policy;
    EXPECT_EQ(policy.blocks.connection_pool->http.max_retries, 5u);
    EXPECT_FALSE(policy.blocks.load_balancer);
    EXPECT_EQ(policy.port_level.at(80).load_balancer->key->name, "x");
    EXPECT_FALSE(policy.port_level.at(80).connection_pool);
}

}  // namespace
}  // namespace sluice::config::test
