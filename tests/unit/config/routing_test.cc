// VirtualService, DestinationRule and the annotations on them: values, defaults, facts for the lane choice.
#include <gtest/gtest.h>

#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

VirtualService virtual_service(const std::string& spec) {
    return one<VirtualService>(document("VirtualService", "spec:\n" + spec));
}

TEST(VirtualServiceTest, WeightsSubsetsAndPorts) {
    const auto rule = virtual_service(
        "  hosts: [a, b.example.com]\n  http:\n  - name: main\n    route:\n"
        "    - {destination: {host: a, subset: v45, port: {number: 8080}}, weight: 85}\n"
        "    - {destination: {host: a, subset: v47}, weight: 10}\n    - {destination: {host: other}}\n");
    EXPECT_EQ(rule.hosts, (std::vector<std::string>{"a", "b.example.com"}));
    ASSERT_EQ(rule.http.size(), 1u);
    EXPECT_EQ(rule.http[0].name, "main");
    EXPECT_EQ(rule.http[0].needs_request_lane, "");
    const auto& destinations = rule.http[0].destinations;
    ASSERT_EQ(destinations.size(), 3u);
    EXPECT_EQ(destinations[0].subset, "v45");
    EXPECT_EQ(destinations[0].port, 8080);
    EXPECT_EQ(destinations[0].weight, 85u);
    EXPECT_EQ(destinations[1].port, 0);
    EXPECT_FALSE(destinations[2].weight);
    EXPECT_EQ(destinations[2].subset, "");
    EXPECT_TRUE(rule.export_to.all);
}

TEST(VirtualServiceTest, ASingleDestinationOfWeightZeroIsFine) {
    const auto rule = virtual_service("  hosts: [a]\n  tcp: [{route: [{destination: {host: a}, weight: 0}]}]\n");
    EXPECT_EQ(rule.tcp[0].destinations[0].weight, 0u);
}

TEST(VirtualServiceTest, TheLargestSumOfWeightsIsTwoToThe32MinusOne) {
    const std::string two =
        "{destination: {host: a}, weight: 2147483647}, {destination: {host: b}, weight: 2147483647}";
    virtual_service("  hosts: [a]\n  tcp: [{route: [" + two + ", {destination: {host: c}, weight: 1}]}]\n");
    const Parsed over = parse_text(document("VirtualService", "spec:\n  hosts: [a]\n  tcp: [{route: [" + two +
                                                                  ", {destination: {host: c}, weight: 2}]}]\n"));
    EXPECT_NE(over.lines().find("add up to 4294967296"), std::string::npos) << over.lines();
}

TEST(VirtualServiceTest, WhatNeedsARequestLaneIsAFactWithItsPlace) {
    const std::pair<const char*, const char*> fields[] = {
        {"match: [{uri: {prefix: /}}]", "match"},
        {"timeout: 1s", "timeout"},
        {"retries: {attempts: 0}", "retries"},
        {"fault: {abort: {httpStatus: 503, percentage: {value: 0.0001}}}", "fault"},
        {"mirror: {host: b}", "mirror"},
        {"mirrors: [{destination: {host: b}}]", "mirrors"},
        {"mirrorPercentage: {value: 100}", "mirrorPercentage"},
        {"headers: {request: {add: {x: v}}}", "headers"},
        {"rewrite: {uri: /}", "rewrite"},
        {"corsPolicy: {}", "corsPolicy"},
    };
    for (const auto& [text, name] : fields) {
        const auto rule = virtual_service(
            std::string("  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    ") + text + "\n");
        ASSERT_EQ(rule.http.size(), 1u);
        EXPECT_TRUE(rule.http[0].needs_request_lane.starts_with(std::string("spec.http[0].") + name + ": "))
            << rule.http[0].needs_request_lane;
        EXPECT_EQ(rule.http[0].needs_place.line, 8);
        EXPECT_EQ(rule.http[0].needs_place.column, 5);
    }
}

TEST(VirtualServiceTest, TheFirstReasonIsKept) {
    const auto rule = virtual_service(
        "  hosts: [a]\n  http:\n  - timeout: 1s\n    route:\n    - {destination: {host: a}, headers: {}}\n"
        "    match: [{port: 80}]\n  - route: [{destination: {host: a}, headers: {request: {}}}]\n"
        "  - redirect: {uri: /x}\n  tcp:\n  - match: [{port: 80}]\n    route: [{destination: {host: a}}]\n");
    EXPECT_TRUE(rule.http[0].needs_request_lane.starts_with("spec.http[0].timeout: "));
    EXPECT_TRUE(rule.http[1].needs_request_lane.starts_with("spec.http[1].route[0].headers: "));
    EXPECT_TRUE(rule.http[2].needs_request_lane.starts_with("spec.http[2].redirect: "));
    EXPECT_TRUE(rule.http[2].destinations.empty());
    EXPECT_TRUE(rule.tcp[0].needs_request_lane.starts_with("spec.tcp[0].match: "));
}

TEST(VirtualServiceTest, WhatIstioAcceptsThoughItLooksWrong) {
    virtual_service(
        "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    mirrorPercentage: {value: 5}\n    match:\n"
        "    - uri: {exact: \"\"}\n    - uri: {prefix: \"\"}\n    - headers: {X-User: {exact: \"\"}, \":authority\": "
        "{prefix: a}, x-any: , y-any: {}}\n    - withoutHeaders: {x: {regex: \"*\"}}\n");
}

TEST(VirtualServiceTest, ExportTo) {
    const auto with = [](const std::string& list, const std::string& metadata) {
        return one<VirtualService>(document(
            "VirtualService",
            "spec:\n  hosts: [a]\n  exportTo: " + list + "\n  tcp: [{route: [{destination: {host: a}}]}]\n", metadata));
    };
    EXPECT_TRUE(with("[]", "name: a").export_to.all);
    EXPECT_TRUE(with("['*']", "name: a").export_to.all);
    const ExportTo own = with("['.', other]", "name: a, namespace: ml").export_to;
    EXPECT_FALSE(own.all);
    EXPECT_EQ(own.namespaces, (std::vector<std::string>{"ml", "other"}));
    EXPECT_EQ(with("['.']", "name: a").export_to.namespaces, (std::vector<std::string>{"default"}));
    const ExportTo none = with("['~']", "name: a").export_to;
    EXPECT_FALSE(none.all);
    EXPECT_TRUE(none.namespaces.empty());
}

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

TEST(AnnotationsTest, AreReadAndUnsetByDefault) {
    const std::string spec = "spec: {hosts: [a], tcp: [{route: [{destination: {host: a}}]}]}\n";
    const Parsed parsed = parse_text(document("VirtualService", spec));
    ASSERT_EQ(parsed.objects.size(), 1u);
    const Annotations unset = parsed.objects[0]->meta.annotations;
    EXPECT_EQ(unset.split, Split::kUnset);
    EXPECT_EQ(unset.lane, LaneChoice::kAuto);
    EXPECT_FALSE(unset.lane_set);
    EXPECT_EQ(unset.on_subset_down, OnSubsetDown::kUnset);
    EXPECT_EQ(unset.drain, Drain::kUnset);
    const Parsed set = parse_text(document(
        "VirtualService", spec,
        "name: a, annotations: {sluice.dev/split: connection, sluice.dev/lane: direct, sluice.dev/on-subset-down: "
        "spill, sluice.dev/drain: none, other.dev/any: 'x'}"));
    ASSERT_EQ(set.objects.size(), 1u) << set.lines();
    const Annotations& annotations = set.objects[0]->meta.annotations;
    EXPECT_EQ(annotations.split, Split::kConnection);
    EXPECT_EQ(annotations.lane, LaneChoice::kDirect);
    EXPECT_TRUE(annotations.lane_set);
    EXPECT_EQ(annotations.on_subset_down, OnSubsetDown::kSpill);
    EXPECT_EQ(annotations.drain, Drain::kNone);
}

TEST(MetadataTest, DrainIsNoneIdleOrNowOnAllThatRoutes) {
    struct Case {
        const char* text;
        Drain drain;
    };
    for (const Case& c : {Case{"none", Drain::kNone}, Case{"idle", Drain::kIdle}, Case{"now", Drain::kNow}}) {
        const std::string metadata = std::string("name: a, annotations: {sluice.dev/drain: ") + c.text + "}";
        const Parsed parsed = parse_text(document("DestinationRule", "spec: {host: a}\n", metadata));
        ASSERT_EQ(parsed.objects.size(), 1u) << parsed.lines();
        EXPECT_EQ(parsed.objects[0]->meta.annotations.drain, c.drain);
        EXPECT_STREQ(drain_name(c.drain), c.text);
    }
    EXPECT_STREQ(drain_name(Drain::kUnset), "none");
}

TEST(MetadataTest, NamespaceLabelsAndAge) {
    const Parsed parsed = parse_text(
        document("DestinationRule", "spec: {host: a}\nstatus: {any: [thing]}\n",
                 "name: a.b, labels: {x: '1'}, creationTimestamp: 2024-01-31T12:00:00.5Z, uid: 5, generation: 1"));
    ASSERT_EQ(parsed.objects.size(), 1u) << parsed.lines();
    const Object& object = *parsed.objects[0];
    EXPECT_EQ(object.key, (ObjectKey{Kind::kDestinationRule, "default", "a.b"}));
    EXPECT_EQ(object.meta.labels, (Labels{{"x", "1"}}));
    EXPECT_EQ(object.meta.creation_timestamp, "2024-01-31T12:00:00.5Z");
    EXPECT_EQ(object.file, "t.yaml");
}

TEST(MetadataTest, EveryApiVersionOfAKindIsTheSameKind) {
    for (const char* version : {"v1", "v1beta1", "v1alpha3"}) {
        const Parsed parsed = parse_text(std::string("apiVersion: networking.istio.io/") + version +
                                         "\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: a}\n");
        EXPECT_EQ(parsed.output(), "+ DestinationRule default/a\n");
    }
}

}  // namespace
}  // namespace sluice::config::test
