// The rules that a request lane gets: which can be reached, in which order, and what each names.
#include <gmock/gmock.h>

#include "build.h"

namespace sluice::model::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Match = config::StringMatch::Kind;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

ServiceEntry rank_service() {
    ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
    entry.with(port(8080, PortProtocol::kHttp)).with(port(9090, PortProtocol::kHttp));
    entry.with(endpoint("127.0.1.1", {{"version", "v1"}})).with(endpoint("127.0.1.2", {{"version", "v2"}}));
    return entry;
}
DestinationRule rank_subsets() {
    DestinationRule rule("ml", "rank", kHost);
    rule.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}}).subset("v3", {{"version", "v3"}});
    return rule;
}
VirtualService rule_for(const std::string& name = "rank") {
    return {"ml", name, kHost};
}

struct Rules : ::testing::Test {
    TestMesh m{with_proxy()};
    Delta& apply(const VirtualService& rule) { return m.apply({put(rank_service()), put(rank_subsets()), put(rule)}); }
};

TEST_F(Rules, keep_their_order_up_to_the_first_that_matches_everything) {
    apply(rule_for()
              .http({{kHost, "v2"}})
              .when(header("x-user", "jason"))
              .http({{kHost, "v1", 90}, {kHost, "v2", 10}})
              .http({{kHost, "v3"}}));
    EXPECT_EQ(m.rules(kHost, 8080), "v2=100 | v1=90 v2=10");
    const RoutePtr route = m.find(kHost, 8080)->route;
    EXPECT_EQ(route->lane, Lane::kProxy);
    EXPECT_THAT(route->http[0].matches, ElementsAre(0));
    EXPECT_FALSE(route->http[0].catch_all);
    EXPECT_TRUE(route->http[1].catch_all);
    EXPECT_EQ(m.shares(kHost, 8080), "v1=90 v2=10") << "what clients without a proxy get";
    EXPECT_EQ(route->no_fallback, "");
}

TEST_F(Rules, end_where_one_of_several_matches_takes_everything) {
    for (const config::HttpMatch& every :
         {uri(Match::kPrefix, "/"), uri(Match::kRegex, ".*"), config::HttpMatch{}, dialled(8080)}) {
        apply(rule_for()
                  .http({{kHost, "v2"}})
                  .when(header("x-user", "jason"))
                  .when(every)
                  .when(header("x-user", "mary"))
                  .http({{kHost, "v1"}}));
        EXPECT_EQ(m.rules(kHost, 8080), "v2=100");
        EXPECT_THAT(m.find(kHost, 8080)->route->http[0].matches, ElementsAre(0, 1));
    }
    // Everything, but only with this header.
    config::HttpMatch with_header = uri(Match::kPrefix, "/");
    with_header.headers = header("x-user", "jason").headers;
    apply(rule_for().http({{kHost, "v2"}}).when(with_header).http({{kHost, "v1"}}));
    EXPECT_EQ(m.rules(kHost, 8080), "v2=100 | v1=100");
}

TEST_F(Rules, of_another_port_are_left_out_and_without_any_it_is_the_plain_service) {
    apply(rule_for()
              .http({{kHost, "v2"}})
              .when(dialled(8080))
              .http({{kHost, "v1"}})
              .when(dialled(8080))
              .when(header("x-user", "jason")));
    EXPECT_EQ(m.rules(kHost, 8080), "v2=100");
    EXPECT_EQ(m.find(kHost, 8080)->route->lane, Lane::kDirect) << "nothing of a request is asked";
    EXPECT_EQ(m.rules(kHost, 9090), "v1=100");
    EXPECT_THAT(m.find(kHost, 9090)->route->http[0].matches, ElementsAre(1));
    apply(rule_for().http({{kHost, "v2"}}).when(dialled(8080)));
    EXPECT_EQ(m.rules(kHost, 9090), std::string("plain ") + kHost + "=100");
    EXPECT_EQ(m.find(kHost, 9090)->route->http[0].name, "default");
    EXPECT_EQ(m.find(kHost, 9090)->route->source, nullptr);
}

TEST_F(Rules, bound_to_a_gateway_leave_the_plain_service) {
    config::HttpMatch edge = header("x-user", "jason");
    edge.gateways_given = true;
    VirtualService rule = rule_for().http({{kHost, "v2"}}).when(edge);
    apply(rule);
    EXPECT_EQ(m.rules(kHost, 8080), std::string("plain ") + kHost + "=100");
    // With gateways only they count: the namespace that is asked for does not.
    edge.gateways_mesh = true;
    edge.source_namespace = "nobody";
    apply(rule_for().http({{kHost, "v2"}}).when(edge));
    EXPECT_EQ(m.rules(kHost, 8080), "v2=100");
}

TEST_F(Rules, of_a_source_namespace_are_for_its_clients) {
    const VirtualService rule = rule_for().http({{kHost, "v2"}}).when(from_namespace("batch")).http({{kHost, "v1"}});
    m.apply({put(client("batch", "job")), put(client("web", "shop"))});
    apply(rule);
    EXPECT_EQ(m.rules(kHost, 8080), "v1=100");
    EXPECT_EQ(m.rules(kHost, 8080, "batch"), "v2=100");
    EXPECT_EQ(m.find(kHost, 8080, "batch")->route->lane, Lane::kDirect);
    EXPECT_EQ(m.find(kHost, 8080, "web"), nullptr) << "it sees what all see";
    m.apply({drop(client("batch", "job"))});
    EXPECT_EQ(m.find(kHost, 8080, "batch"), nullptr);
}

TEST_F(Rules, scopes_are_also_built_for_namespaces_that_the_command_line_names) {
    TestMesh named({.references_warn = false, .lanes = {Lane::kDirect, Lane::kProxy}, .client_namespaces = {"batch"}});
    named.apply({put(rank_service()), put(rank_subsets()),
                 put(rule_for().http({{kHost, "v2"}}).when(from_namespace("batch")).http({{kHost, "v1"}}))});
    EXPECT_EQ(named.rules(kHost, 8080, "batch"), "v2=100");
}

TEST_F(Rules, by_source_labels_leave_the_plain_service_to_all_other_clients) {
    apply(rule_for().http({{kHost, "v2"}}).when(from_labels({{"app", "shop"}})));
    EXPECT_EQ(m.rules(kHost, 8080), std::string("v2=100 | plain ") + kHost + "=100");
    const RoutePtr route = m.find(kHost, 8080)->route;
    EXPECT_EQ(route->lane, Lane::kProxy);
    EXPECT_FALSE(route->http[1].catch_all) << "only for clients that no element is for";
    EXPECT_EQ(route->no_fallback, "no rule matches every request");
    // One element for all clients: what it does not match has no route.
    apply(rule_for().http({{kHost, "v2"}}).when(from_labels({{"app", "shop"}})).when(header("x-user", "jason")));
    EXPECT_EQ(m.rules(kHost, 8080), "v2=100");
}

TEST_F(Rules, client_without_a_proxy_is_refused_where_there_is_no_rule_for_it) {
    apply(rule_for().http({{kHost, "v2"}}).when(header("x-user", "jason")));
    const auto route = [&] { return m.find(kHost, 8080)->route; };
    EXPECT_EQ(route()->no_fallback, "no rule matches every request");
    EXPECT_TRUE(route()->destinations.empty());
    apply(rule_for().http({}).also([](config::HttpRule& r) { r.direct_response = {200, "closed"}; }));
    EXPECT_EQ(route()->no_fallback, "spec.http[0] answers by itself, without a destination");
    EXPECT_EQ(m.rules(kHost, 8080), "");
    ASSERT_EQ(route()->http.size(), 1u);
    apply(rule_for()
              .http({{kHost, "v2"}})
              .when(header("x-user", "jason"))
              .also([](config::HttpRule& r) {
                  r.fault.emplace().abort = {503, std::nullopt, config::kAlways};
              })
              .http({{kHost, "v1"}}));
    EXPECT_EQ(route()->no_fallback, "fault of spec.http[0] would be bypassed");
    apply(rule_for()
              .http({{kHost, "v2"}})
              .when(header("x-user", "jason"))
              .also([](config::HttpRule& r) {
                  r.fault.emplace().abort = {503, std::nullopt, 0};
              })
              .http({{kHost, "v1"}}));
    EXPECT_EQ(route()->no_fallback, "") << "a fault without percentage does nothing";
}

TEST_F(Rules, weights_count_against_their_sum_and_one_beside_others_that_is_missing_is_nothing) {
    apply(rule_for()
              .http({{kHost, "v1", 1}, {kHost, "v2", 2}})
              .when(header("x-user", "jason"))
              .http({{kHost, "v1", 100}, {kHost, "v2"}, {kHost, "v3", 50}}));
    EXPECT_EQ(m.rules(kHost, 8080), "v1=1 v2=2 | v1=100 v2=0 v3=50");
    apply(rule_for().http({{kHost, "v1", 0}}));
    EXPECT_EQ(m.rules(kHost, 8080), "v1=100");
    EXPECT_THAT(m.warnings(), HasSubstr("a single destination gets everything"));
    EXPECT_THAT(
        m.refuse({put(
            rule_for().http({{kHost, "v1", 5}}).when(header("a", "b")).http({{kHost, "v1", 0}, {kHost, "v2", 0}}))}),
        HasSubstr("spec.http[1].route: total destination weight = 0"));
}

TEST_F(Rules, what_is_not_there_is_an_error_in_every_rule_or_nc_for_its_share) {
    const VirtualService rule = rule_for()
                                    .http({{kHost, "v9", 50}, {"nobody", "", 30}, {kHost, "v1", 20, 7777}})
                                    .when(header("x-user", "jason"))
                                    .mirror({kHost, "v8"})
                                    .http({{kHost, "v3"}});
    const std::string errors = m.refuse({put(rank_service()), put(rank_subsets()), put(rule)});
    EXPECT_THAT(errors,
                HasSubstr("spec.http[0].route[0].destination.subset: no DestinationRule declares the subset v9"));
    EXPECT_THAT(errors, HasSubstr("spec.http[0].route[1].destination.host: no ServiceEntry or Service has the host"));
    EXPECT_THAT(errors, HasSubstr("spec.http[0].route[2].destination.port.number"));
    EXPECT_THAT(errors, HasSubstr("spec.http[0].mirror.subset: no DestinationRule declares the subset v8"));
    TestMesh warned(with_proxy(true));
    warned.apply({put(rank_service()), put(rank_subsets()), put(rule)});
    EXPECT_EQ(warned.rules(kHost, 8080), "NC=50 NC=30 NC=20 | v3=100");
    const RoutePtr route = warned.find(kHost, 8080)->route;
    ASSERT_EQ(route->http[0].mirrors.size(), 1u);
    EXPECT_EQ(route->http[0].mirrors[0].cluster, nullptr);
    EXPECT_THAT(warned.warnings(),
                HasSubstr("v8 of host rank.ml.svc.cluster.local; declared: v1, v2, v3: nothing is mirrored there"));
    // A subset without endpoints is another thing: it has a cluster, and nobody in it (UH).
    ASSERT_NE(route->http[1].destinations[0].cluster, nullptr);
    EXPECT_TRUE(route->http[1].destinations[0].cluster->endpoints.empty());
}

TEST_F(Rules, destination_without_port_means_the_port_of_the_request) {
    apply(rule_for().http({{kHost, "v1"}}).when(header("x-user", "jason")).mirror({kHost, "v2"}));
    const auto& rule = m.find(kHost, 9090)->route->http[0];
    EXPECT_EQ(rule.destinations[0].cluster->name, "outbound|9090|v1|rank.ml.svc.cluster.local");
    EXPECT_EQ(rule.mirrors[0].cluster->name, "outbound|9090|v2|rank.ml.svc.cluster.local");
}

TEST_F(Rules, are_named_as_in_envoy) {
    config::HttpMatch jason = header("x-user", "jason");
    jason.name = "premium";
    apply(rule_for()
              .http({{kHost, "v2"}})
              .named("canary")
              .when(jason)
              .when(header("x-user", "mary"))
              .http({{kHost, "v1"}}));
    const auto& rules = m.find(kHost, 8080)->route->http;
    EXPECT_EQ(rules[0].name, "canary");
    EXPECT_EQ(route_name(rules[0], 0), "canary.premium");
    EXPECT_EQ(route_name(rules[0], 1), "canary");
    EXPECT_EQ(route_name(rules[1], 0), "");
}

TEST_F(Rules, of_ports_on_the_direct_lane_are_there_for_requests_that_come_to_the_proxy) {
    m.apply({put(rank_service())});
    EXPECT_EQ(m.find(kHost, 8080)->route->lane, Lane::kDirect);
    EXPECT_EQ(m.rules(kHost, 8080), std::string("plain ") + kHost + "=100");
    TestMesh direct;
    direct.apply({put(rank_service())});
    EXPECT_EQ(direct.rules(kHost, 8080), "") << "nobody could use them";
}

TEST_F(Rules, service_without_address_is_there_for_those_who_name_it) {
    ServiceEntry headless("ml", "rank", kHost, "");
    headless.with(port(8080, PortProtocol::kHttp)).with(port(9090)).with(endpoint("127.0.1.1"));
    m.apply({put(headless)});
    ASSERT_NE(m.find(kHost, 8080), nullptr);
    EXPECT_TRUE(m.find(kHost, 8080)->addresses.empty());
    EXPECT_EQ(m.find(kHost, 9090), nullptr) << "TCP has no Host field";
    EXPECT_THAT(m.warnings(), HasSubstr("has no virtual address"));
}

TEST_F(Rules, change_when_the_service_of_a_mirror_or_a_later_rule_does) {
    ServiceEntry shadow("ml", "shadow", "shadow.example", "127.10.0.9");
    shadow.with(port(8080, PortProtocol::kHttp)).with(endpoint("127.0.9.1"));
    m.apply({put(shadow)});
    apply(rule_for().http({{kHost, "v1"}}).when(header("a", "b")).mirror({"shadow.example", ""}).http({{kHost, "v2"}}));
    const auto clusters = [&] {
        std::vector<std::string> names;
        for (const ClusterPtr& cluster : clusters_of(*m.find(kHost, 8080)->route)) {
            names.push_back(cluster->name + " " + std::to_string(cluster->endpoints.size()));
        }
        return names;
    };
    EXPECT_THAT(clusters(),
                ElementsAre("outbound|8080|v2|rank.ml.svc.cluster.local 1",
                            "outbound|8080|v1|rank.ml.svc.cluster.local 1", "outbound|8080||shadow.example 1"));
    shadow.with(endpoint("127.0.9.2"));
    const Delta& delta = m.apply({put(shadow)});
    EXPECT_THAT(clusters(), ::testing::Contains("outbound|8080||shadow.example 2"));
    EXPECT_EQ(std::ranges::count(delta.changed, kHost, &ServicePort::host), 2) << "both ports";
    EXPECT_THAT(m.refuse({drop(shadow)}),
                HasSubstr("spec.http[0].mirror.host: no ServiceEntry or Service has the host"));
}

TEST_F(Rules, of_a_rule_that_was_written_anew_are_those_of_the_new_document) {
    VirtualService rule =
        rule_for().http({{kHost, "v1"}}).also([](config::HttpRule& r) { r.timeout = std::chrono::milliseconds(200); });
    apply(rule);
    EXPECT_EQ(m.apply({put(rank_service())}).changed.size(), 0u);
    rule.also([](config::HttpRule& r) { r.timeout = std::chrono::milliseconds(300); });
    EXPECT_EQ(m.apply({put(rule)}).changed.size(), 2u);
    EXPECT_EQ(m.find(kHost, 8080)->route->http[0].rule->http->timeout, std::chrono::milliseconds(300));
}

TEST_F(Rules, of_an_older_virtual_service_are_the_only_ones) {
    VirtualService older = rule_for("old").http({{kHost, "v1"}}).when(header("x-user", "jason"));
    older.created("2024-01-01T00:00:00Z");
    VirtualService younger = rule_for("new").http({{kHost, "v2"}});
    younger.created("2025-01-01T00:00:00Z");
    m.apply({put(rank_service()), put(rank_subsets()), put(older), put(younger)});
    EXPECT_EQ(m.rules(kHost, 8080), "v1=100") << "what only the younger has is no route";
    EXPECT_THAT(m.warnings(), HasSubstr("nothing of it is merged"));
}

TEST_F(Rules, of_an_exact_host_hide_those_of_a_wildcard) {
    VirtualService wide("ml", "wide", "*.ml.svc.cluster.local");
    wide.http({{kHost, "v2"}});
    m.apply({put(rank_service()), put(rank_subsets()), put(wide)});
    EXPECT_EQ(m.rules(kHost, 8080), "v2=100");
    m.apply({put(rule_for().http({{kHost, "v1"}}).when(header("x-user", "jason")))});
    EXPECT_EQ(m.rules(kHost, 8080), "v1=100");
}

TEST_F(Rules, not_exported_to_a_client_leave_it_the_plain_service) {
    VirtualService rule = rule_for().http({{kHost, "v2"}}).when(header("x-user", "jason"));
    rule.export_to({"batch"});
    m.apply({put(client("batch", "job"))});
    apply(rule);
    EXPECT_EQ(m.rules(kHost, 8080), std::string("plain ") + kHost + "=100");
    EXPECT_EQ(m.rules(kHost, 8080, "batch"), "v2=100");
}

TEST_F(Rules, client_labels_are_known_to_whoever_compares_them) {
    m.apply({put(client("web", "shop"))});
    ASSERT_EQ(m.mesh.clients().size(), 1u);
    EXPECT_EQ(m.mesh.clients()[0].labels, (config::Labels{{"app", "shop"}}));
    WorkloadEntry relabelled = client("web", "shop");
    relabelled.spec().endpoint.labels =
        std::make_shared<const config::Labels>(config::Labels{{"app", "shop"}, {"tier", "gold"}});
    EXPECT_TRUE(m.apply({put(relabelled)}).clients_changed);
}

}  // namespace
}  // namespace sluice::model::test
