// Which rule routes a host, and what its destinations mean.
#include <gmock/gmock.h>
#include <algorithm>

#include "build.h"

namespace sluice::model::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

ServiceEntry rank_service(PortProtocol protocol = PortProtocol::kTcp) {
    ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
    entry.with(port(8080, protocol));
    entry.with(endpoint("127.0.1.1", {{"version", "v1"}})).with(endpoint("127.0.1.2", {{"version", "v2"}}));
    return entry;
}

DestinationRule rank_subsets(const std::string& ns = "ml") {
    DestinationRule rule(ns, "rank", kHost);
    rule.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}});
    return rule;
}

TEST(Routes, plain_service_goes_to_all_its_endpoints) {
    TestMesh m;
    m.apply({put(rank_service())});
    EXPECT_EQ(m.shares(kHost, 8080), "rank.ml.svc.cluster.local=100");
    ASSERT_EQ(m.delta.changed.size(), 1u);
    const ServicePortPtr service = m.delta.changed[0];
    EXPECT_EQ(service->service_name, "rank");
    EXPECT_EQ(service->service_namespace, "ml");
    EXPECT_EQ(service->route->source, nullptr);
    const ClusterPtr cluster = m.cluster(kHost, 8080);
    EXPECT_EQ(cluster->name, "outbound|8080||rank.ml.svc.cluster.local");
    EXPECT_EQ(cluster->load_balancer, SL_LB_LEAST_REQUEST);
    EXPECT_EQ(cluster->connect_timeout_ms, 10'000u);
    EXPECT_EQ(cluster->max_connections, SL_UNLIMITED);
    ASSERT_EQ(cluster->endpoints.size(), 2u);
    EXPECT_EQ(endpoint_text(cluster->endpoints[1].address, cluster->endpoints[1].port), "127.0.1.2:8080");
}

TEST(Routes, weights_pick_subsets_by_label) {
    TestMesh m;
    m.apply({put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v1", 85}, {kHost, "v2", 15}})), put(rank_subsets()),
             put(rank_service())});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=85 v2=15");
    ASSERT_EQ(m.cluster(kHost, 8080, 1)->endpoints.size(), 1u);
    EXPECT_EQ(m.cluster(kHost, 8080, 1)->endpoints[0].address, ip("127.0.1.2"));
}

TEST(Routes, short_host_means_the_rules_namespace) {
    TestMesh m;
    m.apply({put(rank_service()), put(DestinationRule("ml", "rank", "rank").subset("v2", {{"version", "v2"}})),
             put(VirtualService("ml", "rank", "rank").tcp({{"rank", "v2"}}))});
    EXPECT_EQ(m.shares(kHost, 8080), "v2=100");
    // From another namespace the same short name is another host.
    EXPECT_THAT(m.refuse({put(VirtualService("web", "rank", "rank").tcp({{"rank", ""}}))}),
                HasSubstr("spec.hosts[0]: no ServiceEntry or Service has the host rank.web.svc.cluster.local"));
}

TEST(Routes, short_host_finds_a_service_entry_of_that_very_name_unless_the_full_name_exists) {
    ServiceEntry bare("x", "bare", "rank", "127.10.0.9");
    bare.with(port(8080)).with(endpoint("127.0.9.9"));
    VirtualService rule("ml", "rank", "rank");
    rule.tcp({{"rank", ""}});
    TestMesh m;
    m.apply({put(bare), put(rule)});
    ASSERT_NE(m.find("rank", 8080), nullptr);
    EXPECT_EQ(m.find("rank", 8080)->route->source->key, rule.object.key);
    // The full name appears: the rule moves there.
    m.apply({put(rank_service())});
    EXPECT_EQ(m.find("rank", 8080)->route->source, nullptr);
    EXPECT_EQ(m.find(kHost, 8080)->route->source->key, rule.object.key);
    m.apply({drop(rank_service())});
    EXPECT_NE(m.find("rank", 8080)->route->source, nullptr);
}

TEST(Routes, host_with_a_dot_is_literal) {
    TestMesh m;
    EXPECT_THAT(m.refuse({put(rank_service()), put(VirtualService("ml", "a", "rank.ml").tcp({{kHost, ""}}))}),
                HasSubstr("no ServiceEntry or Service has the host rank.ml\n"));
}

TEST(Routes, oldest_rule_wins_whole_and_the_other_is_named) {
    TestMesh m;
    VirtualService young("ml", "a-young", kHost), old("ml", "b-old", kHost);
    young.created("2026-02-01T00:00:00Z");
    old.created("2026-01-01T00:00:00Z");
    young.tcp({{kHost, "v1"}});
    old.tcp({{kHost, "v2"}});
    m.apply({put(rank_service()), put(rank_subsets()), put(young), put(old)});
    EXPECT_EQ(m.shares(kHost, 8080), "v2=100");
    EXPECT_THAT(m.warnings(),
                HasSubstr("rules.yaml:" + std::to_string(young.object.place.line + 1) + ":5: warning: spec.hosts: "));
    EXPECT_THAT(m.warnings(), HasSubstr("already routed by VirtualService ml/b-old"));
    m.apply({drop(old)});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=100");
}

TEST(Routes, without_timestamps_the_name_decides) {
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets()), put(VirtualService("ml", "b", kHost).tcp({{kHost, "v2"}})),
             put(VirtualService("ml", "a", kHost).tcp({{kHost, "v1"}}))});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=100");
}

TEST(Routes, exact_host_beats_wildcard_and_longer_wildcard_beats_shorter) {
    TestMesh m;
    VirtualService exact("ml", "z", kHost), near("ml", "y", "*.ml.svc.cluster.local"), far("ml", "a", "*.local");
    exact.tcp({{kHost, "v1", 1}, {kHost, "v2", 2}});
    near.tcp({{kHost, "v2"}});
    far.tcp({{kHost, "v1"}});
    m.apply({put(rank_service()), put(rank_subsets()), put(exact), put(near), put(far)});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=1 v2=2");
    m.apply({drop(exact)});
    EXPECT_EQ(m.shares(kHost, 8080), "v2=100");
    m.apply({drop(near)});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=100");
    m.apply({drop(far)});
    EXPECT_EQ(m.shares(kHost, 8080), "rank.ml.svc.cluster.local=100");
}

TEST(Routes, http_rules_leave_tcp_ports_alone_and_the_other_way_round) {
    ServiceEntry entry = rank_service();
    entry.with(port(9090, PortProtocol::kHttp)).with(port(9443, PortProtocol::kTls));
    TestMesh m;
    m.apply({put(entry), put(rank_subsets()), put(VirtualService("ml", "web", kHost).http({{kHost, "v1"}}))});
    EXPECT_EQ(m.shares(kHost, 8080), "rank.ml.svc.cluster.local=100");
    EXPECT_EQ(m.shares(kHost, 9443), "rank.ml.svc.cluster.local=100");
    EXPECT_EQ(m.shares(kHost, 9090), "v1=100");
    // A second VirtualService with only tcp rules does not compete with it.
    m.apply({put(VirtualService("ml", "wire", kHost).tcp({{kHost, "v2"}}))});
    EXPECT_EQ(m.warnings(), "");
    EXPECT_EQ(m.shares(kHost, 8080), "v2=100");
    EXPECT_EQ(m.shares(kHost, 9443), "v2=100");
    EXPECT_EQ(m.shares(kHost, 9090), "v1=100");
}

TEST(Routes, rules_without_a_port_of_their_kind_are_warned_about) {
    TestMesh m;
    m.apply({put(rank_service()), put(VirtualService("ml", "web", kHost).http({{kHost, ""}}))});
    EXPECT_THAT(m.warnings(), HasSubstr("spec.http has no effect: rank.ml.svc.cluster.local has no HTTP port"));
}

TEST(Routes, rule_without_match_ends_the_list) {
    VirtualService rule("ml", "rank", kHost);
    rule.tcp({{kHost, "v1"}}).tcp({{kHost, "v2"}});
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets()), put(rule)});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=100");
}

TEST(Routes, destination_without_port_takes_the_dialled_one_else_the_only_one) {
    ServiceEntry other("ml", "other", "other.example", "127.10.0.2");
    other.with(port(8080)).with(port(9999)).with(endpoint("127.0.2.1"));
    ServiceEntry single("ml", "single", "single.example", "127.10.0.3");
    single.with(port(7000)).with(endpoint("127.0.3.1"));
    VirtualService rule("ml", "rank", kHost);
    rule.tcp({{"other.example", "", 1}, {"single.example", "", 1}, {"other.example", "", 1, 9999}});
    TestMesh m;
    m.apply({put(rank_service()), put(other), put(single), put(rule)});
    EXPECT_EQ(m.cluster(kHost, 8080, 0)->port, 8080);
    EXPECT_EQ(m.cluster(kHost, 8080, 1)->port, 7000);
    EXPECT_EQ(m.cluster(kHost, 8080, 2)->port, 9999);
    // Neither dialled nor single: an error that lists the ports.
    ServiceEntry twin = single;
    twin.with(port(7001));
    EXPECT_THAT(m.refuse({put(twin)}), HasSubstr("host single.example has no port 8080; it has 7000, 7001"));
    EXPECT_EQ(m.cluster(kHost, 8080, 1)->port, 7000);
}

TEST(Routes, dangling_references_are_errors_with_their_place) {
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets())});
    VirtualService rule("ml", "rank", kHost);
    rule.tcp({{kHost, "v9", 1}, {"nowhere.example", "", 1}, {kHost, "", 1, 1234}});
    const auto& destinations = rule.spec().tcp[0].destinations;
    const auto at = [](config::Place place) { return "rules.yaml:" + std::to_string(place.line) + ":5: "; };
    const std::string errors = m.refuse({put(rule)});
    EXPECT_THAT(
        errors,
        HasSubstr(at(destinations[0].subset_place) +
                  "spec.tcp[0].route[0].destination.subset: no DestinationRule declares the subset v9 of host " +
                  kHost + "; declared: v1, v2"));
    EXPECT_THAT(errors,
                HasSubstr(at(destinations[1].host_place) + "spec.tcp[0].route[1].destination.host: no ServiceEntry"));
    EXPECT_THAT(errors, HasSubstr(at(destinations[2].port_place) +
                                  "spec.tcp[0].route[2].destination.port.number: host " + kHost + " has no port 1234"));
    EXPECT_EQ(std::ranges::count(errors, '\n'), 3);
    EXPECT_EQ(m.shares(kHost, 8080), "rank.ml.svc.cluster.local=100");
}

TEST(Routes, dangling_references_with_warn_become_nc_for_their_share) {
    TestMesh m({.references_warn = true, .lanes = {Lane::kDirect}});
    m.apply({put(rank_service()), put(rank_subsets()),
             put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v9", 10}, {kHost, "v1", 90}})),
             put(VirtualService("ml", "ghost", "ghost").tcp({{kHost, ""}}))});
    EXPECT_EQ(m.shares(kHost, 8080), "NC=10 v1=90");
    EXPECT_THAT(m.warnings(), HasSubstr("its share is refused (NC)"));
    EXPECT_THAT(m.warnings(), HasSubstr("no ServiceEntry or Service has the host ghost.ml.svc.cluster.local"));
    // The subset appears: its share is served.
    m.apply({put(DestinationRule(rank_subsets()).subset("v9", {{"version", "v2"}}))});
    EXPECT_EQ(m.shares(kHost, 8080), "v9=10 v1=90");
}

TEST(Routes, removing_what_a_rule_needs_is_refused) {
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets()), put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v1"}}))});
    EXPECT_THAT(m.refuse({drop(rank_subsets())}), HasSubstr("declared: none"));
    EXPECT_THAT(m.refuse({drop(rank_service())}), HasSubstr("spec.hosts[0]: no ServiceEntry"));
    EXPECT_EQ(m.shares(kHost, 8080), "v1=100");
}

TEST(Routes, destination_rule_for_no_service_is_an_error) {
    TestMesh m;
    EXPECT_THAT(m.refuse({put(rank_subsets())}), HasSubstr("spec.host: no ServiceEntry or Service has the host"));
}

TEST(Routes, weights_that_say_nothing_are_warned_about) {
    TestMesh m;
    m.apply(
        {put(rank_service()), put(rank_subsets()), put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v1", 0}}))});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=100");
    EXPECT_THAT(m.warnings(), HasSubstr("weight 0 is ignored"));
    m.apply({put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v1", 1}, {kHost, "v2"}}))});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=1 v2=0");
    EXPECT_THAT(m.warnings(), HasSubstr("no weight beside others counts as 0"));
    EXPECT_THAT(m.refuse({put(VirtualService("ml", "rank", kHost).tcp({{kHost, "v1"}, {kHost, "v2"}}))}),
                HasSubstr("total destination weight = 0"));
}

TEST(Routes, more_destinations_than_a_row_holds_are_refused) {
    std::vector<To> many(33, To{kHost, "", 1});
    TestMesh m;
    EXPECT_THAT(m.refuse({put(rank_service()), put(VirtualService("ml", "rank", kHost).tcp(many))}),
                HasSubstr("33 destinations; 1 to 32 are allowed"));
}

TEST(Routes, on_subset_down_is_the_rules_then_the_destination_rules_then_the_services) {
    const auto spill = [](config::Annotations& a) { a.on_subset_down = config::OnSubsetDown::kSpill; };
    const auto fail = [](config::Annotations& a) { a.on_subset_down = config::OnSubsetDown::kFail; };
    ServiceEntry service = rank_service();
    service.annotate(spill);
    VirtualService rule("ml", "rank", kHost);
    rule.tcp({{kHost, "v1"}});
    TestMesh m;
    m.apply({put(service), put(rank_subsets()), put(rule)});
    EXPECT_TRUE(m.find(kHost, 8080)->route->spill);
    DestinationRule policy = rank_subsets();
    policy.annotate(fail);
    m.apply({put(policy)});
    EXPECT_FALSE(m.find(kHost, 8080)->route->spill);
    rule.annotate(spill);
    m.apply({put(rule)});
    EXPECT_TRUE(m.find(kHost, 8080)->route->spill);
}

TEST(Routes, service_without_address_is_a_destination_only) {
    ServiceEntry hidden("ml", "hidden", "hidden.example", "");
    hidden.with(port(8080)).with(endpoint("127.0.4.1"));
    TestMesh m;
    m.apply({put(rank_service()), put(hidden), put(VirtualService("ml", "rank", kHost).tcp({{"hidden.example", ""}}))});
    EXPECT_EQ(m.find("hidden.example", 8080), nullptr);
    EXPECT_THAT(m.warnings(), HasSubstr("hidden.example has no virtual address"));
    EXPECT_EQ(m.cluster(kHost, 8080)->endpoints.at(0).address, ip("127.0.4.1"));
}

}  // namespace
}  // namespace sluice::model::test
