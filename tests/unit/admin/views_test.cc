#include "admin/views.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::admin {
namespace {

using testing::HasSubstr;

model::WorkloadPtr workload(const std::string& version) {
    auto made = std::make_shared<model::Workload>();
    made->name = "ranker-" + version;
    made->version = version;
    return made;
}

model::ClusterPtr cluster(const std::string& subset, int endpoints) {
    auto made = std::make_shared<model::Cluster>();
    if (subset == "v47") {
        made->outlier.emplace();
        made->outlier->consecutive_5xx = 3;
        made->outlier->interval = std::chrono::milliseconds(1500);
    }
    made->host = "ranking.ml.svc.cluster.local";
    made->subset = subset;
    made->port = 8080;
    for (int i = 0; i < endpoints; ++i) {
        model::Endpoint endpoint;
        endpoint.address = *IpAddress::parse("127.1.0." + std::to_string(i + 1));
        endpoint.port = 9000;
        endpoint.accepts_new = i != 2;  // the third one drains
        endpoint.workload = workload(subset);
        made->endpoints.push_back(endpoint);
    }
    return made;
}

config::ObjectPtr rule(const std::string& file, int line) {
    auto made = std::make_shared<config::Object>();
    made->key = {config::Kind::kVirtualService, "ml", "ranking"};
    made->file = file;
    made->place = {line, 1};
    return made;
}

model::ServicePortPtr service(const std::string& scope = "", std::uint16_t port = 8080) {
    auto route = std::make_shared<model::Route>();
    route->destinations = {
        {cluster("v45", 3), 85, "ranking/v45"}, {cluster("v47", 1), 10, "ranking/v47"}, {nullptr, 5, "ranking/v99"}};
    route->lane_reasons = {"all rules are weights"};
    route->source = rule("rules/ranking.yaml", 12);
    auto made = std::make_shared<model::ServicePort>();
    made->scope = scope;
    made->host = "ranking.ml.svc.cluster.local";
    made->service_name = "ranking";
    made->service_namespace = "ml";
    made->addresses = {*IpAddress::parse("127.9.0.1"), *IpAddress::parse("::1")};
    made->port = port;
    made->route = route;
    return made;
}

// v47's only endpoint is ejected; 40 picks went to v45 and 10 to v47.
class SomeLive : public Live {
  public:
    std::optional<ClusterLive> cluster(const model::Cluster& cluster) const override {
        return cluster.subset == "v45" ? ClusterLive{.active = 3, .picks = 40}
                                       : ClusterLive{.ejected = 1, .picks = 10, .ejections = 2};
    }
    std::vector<std::optional<EndpointLive>> endpoints(const model::Cluster& cluster) const override {
        if (cluster.subset == "v47") {
            return {EndpointLive{.times_ejected = 2, .failures = 9, .ejected = true, .ejected_for_s = 1.5}};
        }
        return {EndpointLive{.active = 3, .picks = 40}, std::nullopt, std::nullopt};
    }
    std::optional<RouteLive> route(const model::ServicePort&) const override {
        return RouteLive{.generation = 4, .open = 8, .open_older = 2, .picks = {40, 10, 0}};
    }
};

TEST(Views, ServicesShowTheirSplitAndRule) {
    auto made = rows(List::kServices, *service(), {});
    ASSERT_EQ(made.size(), 1u);
    EXPECT_EQ(
        made[0].dump(),
        R"({"host":"ranking.ml.svc.cluster.local","port":8080,"scope":"*","protocol":"tcp","addresses":"127.9.0.1 ::1",)"
        R"("lane":"direct","split":"v45=85 v47=10 ranking/v99=5","rule":"rules/ranking.yaml:12"})");
}

TEST(Views, RoutesShowSetAndObservedShares) {
    SomeLive live;
    auto made = rows(List::kRoutes, *service(), {.live = &live});
    ASSERT_EQ(made.size(), 3u);
    EXPECT_EQ(made[0]["share"], 0.85);
    EXPECT_EQ(made[0]["observed_share"], 0.8);
    EXPECT_EQ(made[1]["observed_share"], 0.2);
    EXPECT_EQ(made[2]["observed_share"], 0.0);
    EXPECT_EQ(made[0]["generation"], 4);
    auto offline = rows(List::kRoutes, *service(), {});
    EXPECT_FALSE(offline[0].contains("observed_share"));
}

TEST(Views, SubsetsAndEndpointsShowHealth) {
    SomeLive live;
    auto subsets = rows(List::kSubsets, *service(), {.live = &live});
    ASSERT_EQ(subsets.size(), 2u);
    EXPECT_EQ(subsets[0]["endpoints"], 2);  // the draining one takes none
    EXPECT_EQ(subsets[1]["ejected"], 1);
    EXPECT_TRUE(subsets[0]["outlier"].is_null());
    EXPECT_EQ(subsets[1]["outlier"], "5xx 3, interval 1.5s, base 30s, max 10%");
    EXPECT_EQ(subsets[1]["connect_timeout_ms"], 10'000);
    auto endpoints = rows(List::kEndpoints, *service(), {.live = &live});
    ASSERT_EQ(endpoints.size(), 4u);
    EXPECT_EQ(endpoints[0]["endpoint"], "127.1.0.1:9000");
    EXPECT_EQ(endpoints[0]["state"], "in");
    EXPECT_EQ(endpoints[2]["state"], "draining");
    EXPECT_EQ(endpoints[3]["state"], "ejected");
    EXPECT_EQ(endpoints[3]["ejected_for_s"], 1.5);
    EXPECT_EQ(endpoints[3]["failures"], 9);
}

TEST(Views, PlacesComeFromTheLocatorWhenThereIsOne) {
    ViewContext context;
    context.where = [](const config::Object& object) { return Where{object.file, 40}; };
    EXPECT_EQ(rows(List::kServices, *service(), context)[0]["rule"], "rules/ranking.yaml:40");
}

TEST(Explain, TellsLaneSharesHealthAndRule) {
    SomeLive live;
    Json out = explain(*service(), {.host = "ranking"}, {.live = &live});
    EXPECT_EQ(out["lane"], "direct");
    EXPECT_EQ(out["reasons"][0], "all rules are weights");
    EXPECT_EQ(out["rule"]["line"], 12);
    EXPECT_EQ(out["destinations"][0]["endpoints"], 2);
    EXPECT_EQ(out["destinations"][0]["healthy"], 2);
    EXPECT_EQ(out["destinations"][1]["endpoints"], 1);
    EXPECT_EQ(out["destinations"][1]["healthy"], 0);
    EXPECT_EQ(out["destinations"][2]["refused_as"], "NC");
    EXPECT_EQ(out["open_connections"], 8);
    EXPECT_EQ(out["older_generation_connections"], 2);
    // 10% over 10 connections: 0.9^10 = 35%.
    EXPECT_THAT(out["warnings"][0].get<std::string>(), HasSubstr("35% that ranking/v47 (10%) sees none"));
}

// The service with HTTP clusters, whose rules say how connections end.
std::shared_ptr<model::ServicePort> watched(config::Drain of_route, config::Drain of_cluster, bool http1) {
    auto made = std::make_shared<model::ServicePort>(*service());
    auto route = std::make_shared<model::Route>(*made->route);
    route->drain = of_route;
    for (model::Destination& destination : route->destinations) {
        if (destination.cluster) {
            auto cluster = std::make_shared<model::Cluster>(*destination.cluster);
            cluster->http = true;
            cluster->answers = http1;
            cluster->drain = of_cluster;
            cluster->outlier.emplace();
            destination.cluster = std::move(cluster);
        }
    }
    made->route = std::move(route);
    return made;
}

TEST(Explain, TellsWhatIsWatchedAndHowConnectionsEnd) {
    using config::Drain;
    const Json plain = explain(*service(), {.host = "ranking"}, {});
    EXPECT_THAT(plain["watched"].get<std::string>(), HasSubstr("connections only"));
    EXPECT_EQ(plain["drain"], "none");
    EXPECT_FALSE(plain["destinations"][0].contains("drain_ejected")) << "nobody is ejected without outlierDetection";
    const Json by_route = explain(*watched(Drain::kIdle, Drain::kNone, true), {.host = "ranking"}, {});
    EXPECT_THAT(by_route["watched"].get<std::string>(), HasSubstr("each HTTP/1 request is counted"));
    EXPECT_EQ(by_route["drain"], "idle");
    EXPECT_EQ(by_route["destinations"][0]["drain_ejected"], "idle");
    const Json by_cluster = explain(*watched(Drain::kNone, Drain::kNow, false), {.host = "ranking"}, {});
    EXPECT_THAT(by_cluster["watched"].get<std::string>(), HasSubstr("HTTP/2 is counted as unobserved"));
    EXPECT_EQ(by_cluster["drain"], "none");
    EXPECT_EQ(by_cluster["destinations"][1]["drain_ejected"], "now");
    EXPECT_FALSE(by_cluster["destinations"][2].contains("drain_ejected")) << "NC has no endpoints";
}

TEST(Explain, AFineSplitIsNotCalledCoarse) {
    EXPECT_EQ(coarse_split(*service()->route, 0), "");
    EXPECT_EQ(coarse_split(*service()->route, 1000), "");
    EXPECT_THAT(coarse_split(*service()->route, 40), HasSubstr("ranking/v99"));
}

class FindTest : public testing::Test {
  protected:
    void add(const model::ServicePortPtr& made) { services[{made->scope, made->host, made->port}] = made; }
    Services services;
};

TEST_F(FindTest, NamesShortFullAndAddresses) {
    add(service());
    for (const char* name : {"ranking", "ranking.ml", "ranking.ml.svc.cluster.local", "127.9.0.1", "::1"}) {
        EXPECT_TRUE(find_service(services, {.host = name})) << name;
    }
    for (const char* name : {"rank", "ranking.m", "127.9.0.2", "other"}) {
        EXPECT_FALSE(find_service(services, {.host = name})) << name;
    }
    EXPECT_FALSE(find_service(services, {.host = "ranking", .port = 81}));
}

TEST_F(FindTest, TheClientsOwnViewStandsInForTheCommonOne) {
    add(service());
    add(service("team-a"));
    EXPECT_EQ((*find_service(services, {.host = "ranking"}))->scope, "");
    EXPECT_EQ((*find_service(services, {.host = "ranking", .client = "team-a"}))->scope, "team-a");
    EXPECT_EQ((*find_service(services, {.host = "ranking", .client = "team-b"}))->scope, "");
}

TEST_F(FindTest, SeveralPortsNeedAPort) {
    add(service("", 8080));
    add(service("", 9090));
    auto found = find_service(services, {.host = "ranking"});
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error().text(),
                HasSubstr("ranking.ml.svc.cluster.local:8080, ranking.ml.svc.cluster.local:9090"));
    EXPECT_EQ((*find_service(services, {.host = "ranking", .port = 9090}))->port, 9090);
}

}  // namespace
}  // namespace sluice::admin
