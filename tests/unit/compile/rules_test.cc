// What the tables hold of the proxy lane: the clusters that rules and mirrors name, and what a client without a proxy
// gets.
#include <gmock/gmock.h>

#include "bpf/lib/request.h"
#include "compile/rows.h"
#include "publishing.h"

namespace sluice::compile {
namespace {

using namespace test;

// A service on the proxy lane; each list is a rule, the last one is for everybody.
std::shared_ptr<model::ServicePort> proxied(const std::vector<std::vector<model::ClusterPtr>>& rules,
                                            const std::vector<model::ClusterPtr>& mirrors = {}) {
    auto made = service("a", {"10.1.0.1"}, {});
    auto route = std::make_shared<model::Route>();
    route->lane = model::Lane::kProxy;
    for (const auto& clusters : rules) {
        model::HttpRoute rule;
        for (const model::ClusterPtr& to : clusters) {
            rule.destinations.push_back({to, 1, to ? to->name : "missing"});
        }
        for (const model::ClusterPtr& to : mirrors) {
            rule.mirrors.push_back({to, 0, to->name});
        }
        route->http.push_back(std::move(rule));
    }
    route->destinations = route->http.back().destinations;
    made->route = std::move(route);
    return made;
}

sl_route route_in_force(Publishing& p) {
    const std::uint32_t number = p.publisher.service_number({"", "a", 8080});
    const sl_tables& t = p.tables.tables();
    std::uint32_t row = SL_NONE;
    EXPECT_TRUE(sl_slot_row(t.services[number].slot, p.publisher.generation(), &row));
    return t.routes[row];
}

TEST_F(Publishing, ClustersOfEveryRuleAndMirrorArePublishedWithTheirEndpoints) {
    const auto beta = cluster("beta", {endpoint("10.0.0.1")}), main = cluster("main", {endpoint("10.0.0.2")}),
               shadow = cluster("shadow", {endpoint("10.0.0.3"), endpoint("10.0.0.4")});
    ASSERT_TRUE(publisher.publish(changed({proxied({{beta, nullptr}, {main}}, {shadow})})));
    EXPECT_EQ(row("beta").endpoint_count, 1u);
    EXPECT_EQ(row("shadow").endpoint_count, 2u);
    EXPECT_EQ(publisher.cluster_numbers().size(), 3u);
    sl_ask ask{};
    ask.reach = SL_REACH_V4;
    ask.random.state = 1;
    sl_choice choice{};
    EXPECT_EQ(sl_choose_in_cluster(&decider.tables(), publisher.cluster_number(shadow->id), &ask, &choice),
              SL_REASON_NONE);
    EXPECT_THAT(decider.endpoint_of(choice), testing::AnyOf("10.0.0.3:80", "10.0.0.4:80"));
    // The direct lane's part of the row is what clients without a proxy get.
    EXPECT_EQ(decider.endpoint_of(decider.dial("10.1.0.1")), "10.0.0.2:80");
}

TEST_F(Publishing, AClusterThatNoRuleNamesAnyMoreIsRemovedOnceNobodyCanUseIt) {
    const auto beta = cluster("beta", {endpoint("10.0.0.1")}), main = cluster("main", {endpoint("10.0.0.2")});
    ASSERT_EQ(publisher.publish(changed({proxied({{beta}, {main}})})), 1u);
    const std::uint32_t number = publisher.cluster_number(beta->id);
    ASSERT_EQ(publisher.publish(changed({proxied({{main}})})), 2u);
    sl_ask ask{};
    ask.reach = SL_REACH_V4;
    ask.random.state = 1;
    sl_choice held{};
    ASSERT_EQ(sl_choose_in_cluster(&decider.tables(), number, &ask, &held), SL_REASON_NONE)
        << "who decides by the rules of generation 1 still gets an answer";
    decider.hold(held);
    EXPECT_EQ(publisher.reclaim(), 2u) << "the request in flight holds cluster and endpoint";
    EXPECT_EQ(tables.tables().clusters[number].in_use, 1u);
    sl_choice later{};
    EXPECT_EQ(sl_choose_in_cluster(&decider.tables(), number, &ask, &later), SL_REASON_NO_CLUSTER);
    decider.release(held);
    EXPECT_EQ(publisher.reclaim(), 0u);
    EXPECT_EQ(tables.tables().clusters[number].in_use, 0u);
    EXPECT_EQ(publisher.cluster_number(beta->id), SL_NONE);
    EXPECT_EQ(used("endpoints"), 1u);
}

TEST_F(Publishing, TheRouteRowSaysTheLaneAndWhetherAClientWithoutAProxyIsRefused) {
    const auto main = cluster("main", {endpoint("10.0.0.2")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{main, 1}})})));
    EXPECT_EQ(route_in_force(*this).flags, 0u);
    auto port = proxied({{main}});
    ASSERT_EQ(publisher.publish(changed({port})), 2u);
    EXPECT_EQ(route_in_force(*this).flags, SL_ROUTE_PROXY);
    EXPECT_EQ(decider.dial("10.1.0.1").reason, SL_REASON_NONE);
    auto refusing = std::make_shared<model::Route>(*port->route);
    refusing->no_fallback = "no rule matches every request";
    refusing->destinations.clear();
    refusing->spill = true;
    auto without = std::make_shared<model::ServicePort>(*port);
    without->route = refusing;
    ASSERT_EQ(publisher.publish(changed({without})), 3u);
    EXPECT_EQ(route_in_force(*this).flags, SL_ROUTE_PROXY | SL_ROUTE_NO_FALLBACK | SL_ROUTE_SPILL);
    EXPECT_EQ(decider.dial("10.1.0.1").reason, SL_REASON_NO_CLUSTER);
    EXPECT_NE(publisher.cluster_number(main->id), SL_NONE) << "the rule still names it";
}

TEST_F(Publishing, RulesThatChangeMakeAGenerationAlthoughNoRowDoes) {
    const auto main = cluster("main", {endpoint("10.0.0.2")});
    ASSERT_EQ(publisher.publish(changed({proxied({{main}})})), 1u);
    const sl_route before = route_in_force(*this);
    ASSERT_EQ(publisher.publish(changed({proxied({{main}, {main}})})), 2u);
    EXPECT_EQ(route_in_force(*this).generation, before.generation) << "the same row";
    EXPECT_EQ(decider.dial("10.1.0.1").generation, 2u);
    EXPECT_EQ(used("routes"), 1u);
    // A restart names the same rules again.
    EXPECT_EQ(publisher.publish({}), 2u);
}

TEST_F(Publishing, AServiceThatCannotBeDialledHasItsClustersToo) {
    auto port = proxied({{cluster("main", {endpoint("10.0.0.2")})}});
    port->addresses.clear();
    ASSERT_TRUE(publisher.publish(changed({port})));
    EXPECT_EQ(row("main").endpoint_count, 1u);
    EXPECT_EQ(publisher.service_number({"", "a", 8080}), SL_NONE);
    ASSERT_TRUE(publisher.publish(removed("a")));
    publisher.reclaim();
    EXPECT_EQ(used("clusters"), 0u);
}

TEST_F(Publishing, AKeyOfTheRequestHasItsTableAsTheClientsAddressHas) {
    auto ring = cluster("ring", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    ring->load_balancer = SL_LB_RING_HASH;
    ring->hash_table_size = 64;
    ring->hash_key = config::HashKey{config::HashKey::Kind::kHeader, "x-user", "", std::nullopt, {}};
    ASSERT_TRUE(publisher.publish(changed({proxied({{ring}, {cluster("main", {})}})})));
    EXPECT_EQ(row("ring").hash_count, 64u);
}

TEST_F(Publishing, EndpointsRememberWhenTheyCameIn) {
    sl_store(&tables.tables().control->heartbeat_ns, std::uint64_t{5'000'000'000});
    ASSERT_TRUE(publisher.publish(changed({proxied({{cluster("main", {endpoint("10.0.0.1")})}})})));
    sl_store(&tables.tables().control->heartbeat_ns, std::uint64_t{9'000'000'000});
    const auto since = [&](const char* address) {
        const std::uint32_t number = publisher.cluster_number(Identity::of("cluster/main"));
        return tables.tables().endpoints[publisher.endpoint_number(number, ip(address), 80)].since_ds;
    };
    ASSERT_TRUE(
        publisher.publish(changed({proxied({{cluster("main", {endpoint("10.0.0.1"), endpoint("10.0.0.2")})}})})));
    EXPECT_EQ(since("10.0.0.1"), 50u);
    EXPECT_EQ(since("10.0.0.2"), 90u);
    // Not ready and ready again is new again.
    ASSERT_TRUE(publisher.publish(
        changed({proxied({{cluster("main", {endpoint("10.0.0.1", 80, false), endpoint("10.0.0.2")})}})})));
    ASSERT_TRUE(
        publisher.publish(changed({proxied({{cluster("main", {endpoint("10.0.0.1"), endpoint("10.0.0.2")})}})})));
    EXPECT_EQ(since("10.0.0.1"), 90u);
}

TEST(Warmup, CurveIsEnvoysByStepsOfTheDuration) {
    config::Warmup linear{std::chrono::seconds(64), 10, 1};
    const sl_warmup curve = warmup_curve(linear);
    EXPECT_EQ(curve.duration_ns, 64'000'000'000u);
    const auto share = [](const sl_warmup& of, std::uint32_t step) { return of.share[step] / double{0xffffffffu}; };
    EXPECT_NEAR(share(curve, 0), 0.1, 1e-6);
    EXPECT_NEAR(share(curve, 5), 0.1, 1e-6) << "5.5 of 64 seconds are below the minimum";
    EXPECT_NEAR(share(curve, 31), 31.5 / 64, 1e-6);
    EXPECT_NEAR(share(curve, 63), 63.5 / 64, 1e-6);
    // (age / duration) ^ (1 / aggression): 2 is faster in the beginning.
    EXPECT_NEAR(share(warmup_curve({std::chrono::seconds(64), 10, 2}), 31), std::sqrt(31.5 / 64), 1e-6);
}

}  // namespace
}  // namespace sluice::compile
