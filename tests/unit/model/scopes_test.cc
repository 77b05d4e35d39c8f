// What clients of one namespace see otherwise than everybody.
#include <gmock/gmock.h>

#include "build.h"

namespace sluice::model::test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

ServiceEntry rank_service() {
    ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
    entry.with(port(8080));
    entry.with(endpoint("127.0.1.1", {{"version", "v1"}})).with(endpoint("127.0.1.2", {{"version", "v2"}}));
    return entry;
}
DestinationRule rank_subsets() {
    DestinationRule rule("ml", "rank", kHost);
    rule.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}});
    return rule;
}
VirtualService route(const std::string& ns, const std::string& name, const std::string& subset) {
    VirtualService rule(ns, name, kHost);
    rule.tcp({{kHost, subset}});
    return rule;
}

TEST(Scopes, two_clients_see_two_virtual_services_for_one_host) {
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets()), put(client("web", "shop")), put(client("batch", "job")),
             put(route("web", "mine", "v1").export_to({"web"})),
             put(route("batch", "mine", "v2").export_to({"batch"}))});
    EXPECT_EQ(m.shares(kHost, 8080), "rank.ml.svc.cluster.local=100");
    EXPECT_EQ(m.shares(kHost, 8080, "web"), "v1=100");
    EXPECT_EQ(m.shares(kHost, 8080, "batch"), "v2=100");
    EXPECT_EQ(m.mesh.services().size(), 3u);
}

TEST(Scopes, private_rule_beats_one_exported_by_name_beats_a_public_one) {
    VirtualService open = route("ml", "a", "v1"), named = route("ml", "b", "v2"), own("web", "c", kHost);
    named.export_to({"web", "other"});
    own.tcp({{kHost, "v1", 1}, {kHost, "v2", 2}}).export_to({"web"});
    // Age does not matter across these ranks.
    own.created("2026-09-01T00:00:00Z");
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets()), put(client("web", "shop")), put(open), put(named), put(own)});
    EXPECT_EQ(m.shares(kHost, 8080), "v1=100");
    EXPECT_EQ(m.shares(kHost, 8080, "web"), "v1=1 v2=2");
    EXPECT_EQ(m.warnings(), "");
    m.apply({drop(own)});
    EXPECT_EQ(m.shares(kHost, 8080, "web"), "v2=100");
    m.apply({drop(named)});
    EXPECT_EQ(m.find(kHost, 8080, "web"), nullptr);
}

TEST(Scopes, exist_only_while_their_namespace_has_a_client) {
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets()), put(route("web", "mine", "v1").export_to({"web"}))});
    EXPECT_EQ(m.mesh.services().size(), 1u);
    EXPECT_FALSE(m.delta.clients_changed);
    m.apply({put(client("web", "shop"))});
    EXPECT_TRUE(m.delta.clients_changed);
    EXPECT_EQ(m.shares(kHost, 8080, "web"), "v1=100");
    ASSERT_EQ(m.delta.changed.size(), 1u);
    EXPECT_EQ(m.delta.changed[0]->scope, "web");
    m.apply({put(client("web", "second"))});
    EXPECT_TRUE(m.delta.changed.empty());
    m.apply({drop(client("web", "shop"))});
    EXPECT_EQ(m.shares(kHost, 8080, "web"), "v1=100");
    m.apply({drop(client("web", "second"))});
    EXPECT_EQ(m.mesh.services().size(), 1u);
    ASSERT_EQ(m.delta.removed.size(), 1u);
    EXPECT_EQ(m.delta.removed[0].scope, "web");
}

TEST(Scopes, service_exported_to_one_namespace_is_seen_only_there) {
    TestMesh m;
    ServiceEntry hidden = rank_service();
    hidden.export_to({"web"});
    m.apply({put(hidden), put(client("web", "shop")), put(client("batch", "job"))});
    EXPECT_EQ(m.find(kHost, 8080), nullptr);
    EXPECT_NE(m.find(kHost, 8080, "web"), nullptr);
    EXPECT_EQ(m.find(kHost, 8080, "batch"), nullptr);
}

TEST(Scopes, own_namespaces_service_hides_the_one_for_all) {
    ServiceEntry mine("web", "rank", kHost, "127.10.0.1");
    mine.with(port(8080)).with(endpoint("127.0.9.9"));
    mine.export_to({"web"});
    TestMesh m;
    m.apply({put(rank_service()), put(mine), put(client("web", "shop"))});
    EXPECT_EQ(m.cluster(kHost, 8080)->endpoints.size(), 2u);
    EXPECT_EQ(m.cluster(kHost, 8080, 0, "web")->endpoints.at(0).address, ip("127.0.9.9"));
    EXPECT_NE(m.cluster(kHost, 8080)->id, m.cluster(kHost, 8080, 0, "web")->id);
}

TEST(Scopes, route_to_a_service_that_clients_cannot_see_is_refused) {
    ServiceEntry hidden("ml", "hidden", "hidden.example", "127.10.0.7");
    hidden.with(port(8080)).with(endpoint("127.0.7.7")).export_to({"ml"});
    VirtualService rule("ml", "rank", kHost);
    rule.tcp({{"hidden.example", ""}});
    TestMesh m;
    EXPECT_THAT(m.refuse({put(rank_service()), put(hidden), put(rule)}),
                HasSubstr("host hidden.example is not exported to clients of all namespaces"));
    rule.export_to({"ml"});
    m.apply({put(rank_service()), put(hidden), put(rule), put(client("ml", "self"))});
    EXPECT_EQ(m.shares(kHost, 8080, "ml"), "hidden.example=100");
    EXPECT_EQ(m.shares(kHost, 8080), "rank.ml.svc.cluster.local=100");
}

TEST(Scopes, clients_are_workload_entries_with_a_cgroup) {
    TestMesh m;
    m.apply({put(client("web", "shop")), put(WorkloadEntry("web", "server", "127.0.1.1", {{"app", "s"}}))});
    ASSERT_EQ(m.mesh.clients().size(), 1u);
    const Client shop = m.mesh.clients()[0];
    EXPECT_EQ(shop.ns, "web");
    EXPECT_EQ(shop.cgroup, "/clients/shop");
    EXPECT_EQ(shop.workload->name, "shop");
    EXPECT_EQ(shop.source->key.name, "shop");
    m.apply({put(client("web", "shop"))});
    EXPECT_FALSE(m.delta.clients_changed);
    WorkloadEntry moved = client("web", "shop");
    moved.object.meta.annotations.cgroup = "/elsewhere";
    m.apply({put(moved)});
    EXPECT_TRUE(m.delta.clients_changed);
    EXPECT_EQ(m.mesh.clients()[0].cgroup, "/elsewhere");
}

TEST(Scopes, client_that_is_refused_leaves_no_scope) {
    TestMesh m;
    m.apply({put(rank_service()), put(rank_subsets()), put(route("web", "mine", "v1").export_to({"web"}))});
    m.refuse({put(client("web", "shop")), put(route("ml", "bad", "v9"))});
    EXPECT_EQ(m.mesh.services().size(), 1u);
    EXPECT_TRUE(m.mesh.clients().empty());
}

}  // namespace
}  // namespace sluice::model::test
