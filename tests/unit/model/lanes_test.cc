// Which lane carries a service port, and what is said when none can.
#include <gmock/gmock.h>

#include "build.h"

namespace sluice::model::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

ServiceEntry rank_service(PortProtocol protocol = PortProtocol::kHttp) {
    ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
    entry.with(port(8080, protocol));
    entry.with(endpoint("127.0.1.1", {{"version", "v1"}})).with(endpoint("127.0.1.2", {{"version", "v2"}}));
    return entry;
}
DestinationRule rank_subsets() {
    DestinationRule rule("ml", "rank", kHost);
    rule.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}});
    return rule;
}
VirtualService canary() {
    VirtualService rule("ml", "rank", kHost);
    rule.http({{kHost, "v1", 90}, {kHost, "v2", 10}});
    return rule;
}
void by_connection(config::Annotations& a) {
    a.split = config::Split::kConnection;
}
void by_request(config::Annotations& a) {
    a.split = config::Split::kRequest;
}
template <config::LaneChoice lane>
void force(config::Annotations& a) {
    a.lane = lane;
    a.lane_set = true;
}
std::string at(config::Place place) {
    return "rules.yaml:" + std::to_string(place.line);
}

TEST(Lanes, tcp_ports_are_direct_with_weights_and_ejection) {
    DestinationRule policy = rank_subsets();
    policy.policy().blocks.outlier.emplace().max_ejection_percent = 100;
    VirtualService rule("ml", "rank", kHost);
    rule.tcp({{kHost, "v1", 90}, {kHost, "v2", 10}});
    const ServiceEntry service = rank_service(PortProtocol::kTcp);
    TestMesh m;
    m.apply({put(service), put(policy), put(rule)});
    const RoutePtr route = m.find(kHost, 8080)->route;
    EXPECT_EQ(route->lane, Lane::kDirect);
    ASSERT_EQ(route->lane_reasons.size(), 1u);
    EXPECT_THAT(route->lane_reasons[0],
                HasSubstr(at(std::get<config::ServiceEntry>(service.object.spec).ports[0].place)));
}

TEST(Lanes, http_with_one_destination_is_direct) {
    DestinationRule policy = rank_subsets();
    policy.policy().blocks.connection_pool.emplace().max_connections = 10;
    VirtualService rule("ml", "rank", kHost);
    rule.http({{kHost, "v1", 100}, {kHost, "v2", 0}});
    TestMesh m;
    m.apply({put(rank_service()), put(policy), put(rule)});
    EXPECT_EQ(m.find(kHost, 8080)->route->lane, Lane::kDirect);
    EXPECT_THAT(m.find(kHost, 8080)->route->lane_reasons.at(0),
                HasSubstr("has one destination and no outlierDetection"));
}

TEST(Lanes, http_weights_need_a_request_lane_or_the_split_annotation) {
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets())});
    VirtualService rule = canary();
    const std::string error = m.refuse({put(rule)});
    EXPECT_THAT(error, HasSubstr(at(rule.spec().http[0].place) + ":5: spec.http[0].route: HTTP port 8080 of"));
    EXPECT_THAT(error, HasSubstr("2 destinations share its requests by weight"));
    EXPECT_THAT(error, HasSubstr("sluice.dev/split: connection"));
    EXPECT_THAT(error, HasSubstr("Lanes available here: direct."));
    rule.annotate(by_connection);
    m.apply({put(rule)});
    const RoutePtr route = m.find(kHost, 8080)->route;
    EXPECT_EQ(route->lane, Lane::kDirect);
    EXPECT_EQ(route->split, config::Split::kConnection);
    EXPECT_THAT(route->lane_reasons.at(0),
                HasSubstr("sluice.dev/split of VirtualService ml/rank at " + at(rule.object.place)));
    // 0.9^10 = 35%
    EXPECT_THAT(
        m.warnings(),
        HasSubstr("of 10 long connections none reaches rank.ml.svc.cluster.local/v2 (10%) with probability 35%"));
}

TEST(Lanes, split_is_the_rules_then_the_destination_rules_then_the_services) {
    ServiceEntry service = rank_service();
    service.annotate(by_connection);
    DestinationRule policy = rank_subsets();
    TestMesh m;
    m.apply({put(service), put(policy), put(canary())});
    policy.annotate(by_request);
    EXPECT_THAT(m.refuse({put(policy)}), HasSubstr("(now DestinationRule ml/rank says request)"));
    VirtualService rule = canary();
    rule.annotate(by_connection);
    m.apply({put(policy), put(rule)});
    EXPECT_EQ(m.find(kHost, 8080)->route->split, config::Split::kConnection);
}

TEST(Lanes, http_ejection_needs_a_request_lane_or_the_split_annotation) {
    DestinationRule policy = rank_subsets();
    policy.policy().blocks.outlier.emplace().max_ejection_percent = 100;
    policy.policy().blocks.outlier->place = policy.next();
    TestMesh m;
    EXPECT_THAT(m.refuse({put(rank_service()), put(policy)}),
                HasSubstr(at(policy.policy().blocks.outlier->place) + ":5: outlierDetection: HTTP port 8080"));
    policy.annotate(by_connection);
    m.apply({put(rank_service()), put(policy)});
    EXPECT_EQ(m.find(kHost, 8080)->route->lane, Lane::kDirect);
}

TEST(Lanes, rule_that_only_a_request_lane_can_honour_is_named) {
    VirtualService rule = canary();
    rule.annotate(by_connection);
    rule.spec().http[0].needs_request_lane = "spec.http[0].match: a request is matched by its head";
    rule.spec().http[0].needs_place = rule.next();
    TestMesh m;
    const std::string error = m.refuse({put(rank_service()), put(rank_subsets()), put(rule)});
    EXPECT_THAT(error, HasSubstr(at(rule.spec().http[0].needs_place) + ":5: "));
    EXPECT_THAT(error, HasSubstr("spec.http[0].match: a request is matched by its head"));
    EXPECT_THAT(error, Not(HasSubstr("would make it decide per connection")));
}

TEST(Lanes, forcing_a_lane_that_is_not_there_or_cannot_is_refused) {
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets())});
    VirtualService proxy = canary();
    proxy.annotate(force<config::LaneChoice::kProxy>);
    EXPECT_THAT(m.refuse({put(proxy)}),
                HasSubstr("sluice.dev/lane: proxy is not available; lanes available here: direct"));
    VirtualService kernel = canary();
    kernel.annotate(force<config::LaneChoice::kKernel>);
    EXPECT_THAT(m.refuse({put(kernel)}), HasSubstr("sluice.dev/lane: kernel is not available"));
    VirtualService direct = canary();
    direct.annotate(force<config::LaneChoice::kDirect>);
    EXPECT_THAT(m.refuse({put(direct)}), HasSubstr("But sluice.dev/lane: direct of VirtualService ml/rank at"));
    direct.annotate(by_connection);
    m.apply({put(direct)});
    EXPECT_EQ(m.find(kHost, 8080)->route->lane, Lane::kDirect);
}

TEST(Lanes, auto_takes_the_proxy_lane_where_there_is_one_and_says_why) {
    TestMesh m({.references_warn = false, .lanes = {Lane::kDirect, Lane::kKernel, Lane::kProxy}});
    m.apply({put(rank_service()), put(rank_subsets()), put(canary())});
    const RoutePtr route = m.find(kHost, 8080)->route;
    EXPECT_EQ(route->lane, Lane::kProxy);
    EXPECT_THAT(route->lane_reasons.at(0), HasSubstr("cannot take the direct lane: 2 destinations share its requests"));
}

}  // namespace
}  // namespace sluice::model::test
