#include "admin/top.h"

#include <gtest/gtest.h>

namespace sluice::admin {
namespace {

sl_request_key key(std::uint16_t status, std::uint8_t reason) {
    sl_request_key made{};
    made.status = status;
    made.reason = reason;
    return made;
}

sl_request_counts counts(std::uint64_t requests, std::size_t bucket) {
    sl_request_counts made{};
    made.requests = requests;
    made.duration[bucket] = requests;
    return made;
}

TEST(ClusterRequests, FailuresAreTheServersDoing) {
    ClusterRequests sum;
    sum.add(key(200, SL_REASON_NONE), counts(10, 0));
    sum.add(key(404, SL_REASON_NONE), counts(5, 1));
    EXPECT_EQ(sum.failed, 0u);
    sum.add(key(0, SL_REASON_DOWNSTREAM_CLOSED), counts(2, 2));  // the client gave up
    EXPECT_EQ(sum.failed, 0u);
    sum.add(key(503, SL_REASON_NONE), counts(3, 3));
    EXPECT_EQ(sum.failed, 3u);
    sum.add(key(200, SL_REASON_UPSTREAM_CLOSED), counts(4, 3));  // its body was cut off
    EXPECT_EQ(sum.failed, 7u);
    sum.add(key(0, SL_REASON_DRAINED), counts(1, 3));
    EXPECT_EQ(sum.failed, 8u);
    sum.add(key(500, SL_REASON_DOWNSTREAM_CLOSED), counts(1, 3));
    EXPECT_EQ(sum.failed, 9u);
    EXPECT_EQ(sum.requests, 26u);
    EXPECT_EQ(sum.duration[0], 10u);
    EXPECT_EQ(sum.duration[3], 9u);
    EXPECT_EQ(sum.unobserved, 0u);
}

TEST(ClusterRequests, UnobservedConnectionsAreNoRequests) {
    ClusterRequests sum;
    sum.add(key(0, SL_REASON_UNOBSERVED_TLS), counts(3, 0));
    EXPECT_EQ(sum.requests, 0u);
    EXPECT_EQ(sum.failed, 0u);
    EXPECT_EQ(sum.unobserved, 3u);
}

TEST(ClusterRequests, AConnectThatFailedIsARequestThatFailed) {
    ClusterRequests sum;
    sl_flow flow{};
    flow.opened = 6;
    sl_flow_key flow_key{};
    for (const std::uint32_t reason : {SL_REASON_ESTABLISHED, SL_REASON_CANCELLED}) {
        flow_key.reason = reason;
        sum.add(flow_key, flow);
    }
    EXPECT_EQ(sum.requests, 0u);
    for (const std::uint32_t reason : {SL_REASON_REFUSED, SL_REASON_NO_HEALTHY_UPSTREAM}) {
        flow_key.reason = reason;
        sum.add(flow_key, flow);
    }
    EXPECT_EQ(sum.requests, 12u);
    EXPECT_EQ(sum.failed, 12u);
}

TEST(ClusterRequests, OfTheProxyFailWhenTheServerOrTheMeshDid) {
    ClusterRequests sum;
    const auto add = [&](std::uint16_t status, const char* flags) {
        telemetry::ProxiedLabels labels;
        labels.status = status;
        labels.flags = flags;
        sum.add(labels, counts(1, 4));
        return sum.failed;
    };
    EXPECT_EQ(add(200, "-"), 0u);
    EXPECT_EQ(add(404, "NR"), 0u);
    EXPECT_EQ(add(0, "DC"), 0u) << "the client gave up";
    EXPECT_EQ(add(200, "DI"), 0u);
    EXPECT_EQ(add(500, "-"), 1u);
    EXPECT_EQ(add(503, "UF,URX"), 2u);
    EXPECT_EQ(add(504, "UT"), 3u);
    EXPECT_EQ(add(200, "UC"), 4u) << "its body was cut off";
    EXPECT_EQ(add(503, "DC"), 5u);
    EXPECT_EQ(sum.requests, 9u);
    EXPECT_EQ(sum.duration[4], 9u);
}

class SomeLive : public Live {
  public:
    std::optional<ClusterLive> cluster(const model::Cluster& cluster) const override {
        return cluster.subset == "v47"
                   ? std::optional(ClusterLive{.active = 2, .ejected = 1, .picks = 30, .ejections = 4})
                   : std::nullopt;
    }
    std::vector<std::optional<EndpointLive>> endpoints(const model::Cluster&) const override { return {}; }
    std::optional<RouteLive> route(const model::ServicePort&) const override {
        return RouteLive{.generation = 4, .open = 8, .open_older = 2, .picks = {10, 30, 0}};
    }
};

model::ClusterPtr cluster(const std::string& subset) {
    auto made = std::make_shared<model::Cluster>();
    made->name = "outbound|8080|" + subset + "|ranking";
    made->subset = subset;
    made->endpoints.resize(3);
    made->endpoints[2].accepts_new = false;
    return made;
}

model::ServicePort service(config::PortProtocol protocol) {
    auto route = std::make_shared<model::Route>();
    route->destinations = {
        {cluster("v45"), 75, "ranking/v45"}, {cluster("v47"), 20, "ranking/v47"}, {nullptr, 5, "ranking/v99"}};
    model::ServicePort made;
    made.host = "ranking.ml.svc.cluster.local";
    made.port = 8080;
    made.protocol = protocol;
    made.route = route;
    return made;
}

const RequestsOf some{.cluster =
                          [](const model::Cluster& cluster) {
                              ClusterRequests made;
                              if (cluster.subset == "v47") {
                                  made.requests = 9;
                                  made.failed = 2;
                                  made.duration[5] = 9;
                              }
                              return made;
                          },
                      .unrouted =
                          [](const model::ServicePort&) {
                              ClusterRequests made;
                              made.requests = 7;
                              made.failed = 3;
                              return made;
                          }};

TEST(TopRow, HasTheCountersOfEveryDestination) {
    const Json row = top_row(service(config::PortProtocol::kHttp), SomeLive(), some);
    EXPECT_EQ(row["http"], true);
    EXPECT_EQ(row["scope"], "*");
    EXPECT_EQ(row["connections"], 10);
    EXPECT_EQ(row["older_generation_connections"], 2);
    const Json& v47 = row["destinations"][1];
    EXPECT_EQ(v47["share"], 0.2);
    EXPECT_EQ(v47["observed_share"], 0.75);
    EXPECT_EQ(v47["endpoints"], 2);
    EXPECT_EQ(v47["ejected"], 1);
    EXPECT_EQ(v47["requests"], 9);
    EXPECT_EQ(v47["failed"], 2);
    EXPECT_EQ(v47["duration"][5], 9);
    EXPECT_EQ(v47["duration"].size(), 20u);
    EXPECT_TRUE(row["destinations"][0]["duration"].empty());  // no request yet
    EXPECT_FALSE(row["destinations"][2].contains("requests"));
    EXPECT_TRUE(row["destinations"][2]["cluster"].is_null());
    EXPECT_EQ(row["unrouted_requests"], 7);
    EXPECT_EQ(row["unrouted_failed"], 3);
    EXPECT_EQ(activity(row), 10u + 30u + 9u + 7u);
}

TEST(TopRow, ClustersThatOnlyOtherRulesNameComeLastWithoutWeights) {
    model::ServicePort made = service(config::PortProtocol::kHttp);
    auto route = std::make_shared<model::Route>(*made.route);
    const model::Destination v47 = route->destinations[1];
    const model::Destination v43{cluster("v43"), 100, "ranking/v43"};
    route->http.resize(3);
    route->http[0].destinations = {v43, {nullptr, 1, "ranking/v99"}};
    route->http[1].destinations = {v43, v47};
    route->http[2].destinations = route->destinations;
    made.route = route;
    const Json row = top_row(made, SomeLive(), some);
    ASSERT_EQ(row["destinations"].size(), 4u);
    const Json& last = row["destinations"][3];
    EXPECT_EQ(last["subset"], "v43");
    EXPECT_TRUE(last["weight"].is_null());
    EXPECT_TRUE(last["share"].is_null());
    EXPECT_TRUE(last["observed_share"].is_null());
    EXPECT_EQ(last["requests"], 0);
    EXPECT_EQ(row["destinations"][0]["share"], 0.75) << "the weights of the route stay";
}

TEST(TopRow, TcpServicesHaveNoRequests) {
    const Json row = top_row(service(config::PortProtocol::kTcp), SomeLive(), some);
    EXPECT_EQ(row["http"], false);
    EXPECT_EQ(row["destinations"][1]["requests"], 0);
    EXPECT_EQ(row["destinations"][1]["picks"], 30);
}

class NoLive : public Live {
  public:
    std::optional<ClusterLive> cluster(const model::Cluster&) const override { return std::nullopt; }
    std::vector<std::optional<EndpointLive>> endpoints(const model::Cluster&) const override { return {}; }
    std::optional<RouteLive> route(const model::ServicePort&) const override { return std::nullopt; }
};

TEST(TopRow, AServiceThatNobodyDialledHasNoActivity) {
    EXPECT_EQ(activity(top_row(service(config::PortProtocol::kTcp), NoLive(), some)), 0u);
    EXPECT_EQ(activity(top_row(service(config::PortProtocol::kHttp), NoLive(), some)), 9u + 7u);
}

}  // namespace
}  // namespace sluice::admin
