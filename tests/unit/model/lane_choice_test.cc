// The lane that `auto` takes where the proxy lane is available, and what is said of the ones that it leaves.
#include <gmock/gmock.h>

#include <functional>

#include "build.h"

namespace sluice::model::test {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

// What the mesh is made of; a row of the table changes one thing.
struct World {
    PortProtocol protocol = PortProtocol::kHttp;
    VirtualService rule{"ml", "rank", kHost};
    DestinationRule policy{"ml", "rank", kHost};
    std::vector<Change> extra;

    World() { policy.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}}); }
    std::vector<Change> changes() const {
        ServiceEntry service("ml", "rank", kHost, "127.10.0.1");
        service.with(port(8080, protocol));
        service.with(endpoint("127.0.1.1", {{"version", "v1"}})).with(endpoint("127.0.1.2", {{"version", "v2"}}));
        std::vector<Change> all{put(service), put(policy)};
        if (!std::get<config::VirtualService>(rule.object.spec).http.empty() ||
            !std::get<config::VirtualService>(rule.object.spec).tcp.empty()) {
            all.push_back(put(rule));
        }
        all.insert(all.end(), extra.begin(), extra.end());
        return all;
    }
    config::PolicyBlocks& blocks() { return policy.policy().blocks; }
    void request(const std::function<void(config::HttpRule&)>& edit) { rule.http({{kHost, "v1"}}).also(edit); }
    void split_by_connection() {
        policy.annotate([](config::Annotations& a) { a.split = config::Split::kConnection; });
    }
    void lane(config::LaneChoice choice) {
        rule.annotate([&](config::Annotations& a) { a.lane = choice, a.lane_set = true; });
    }
};

struct Row {
    const char* what;
    std::function<void(World&)> edit;
    Lane lane;
    const char* reason;  // part of the first one
};

config::HttpPool one_request_a_connection() {
    config::HttpPool pool;
    pool.max_requests_per_connection = 1;
    return pool;
}

const Row kTable[] = {
    {"the plain service", [](World&) {}, Lane::kDirect, "one destination and no outlierDetection"},
    {"one destination",
     [](World& w) {
         w.rule.http({{kHost, "v1"}});
     },
     Lane::kDirect, "one destination"},
    {"one that has weight",
     [](World& w) {
         w.rule.http({{kHost, "v1", 1}, {kHost, "v2", 0}});
     },
     Lane::kDirect, "one destination"},
    {"weights",
     [](World& w) {
         w.rule.http({{kHost, "v1", 9}, {kHost, "v2", 1}});
     },
     Lane::kProxy, "2 destinations share its requests by weight"},
    {"weights by connection",
     [](World& w) {
         w.rule.http({{kHost, "v1", 9}, {kHost, "v2", 1}});
         w.split_by_connection();
     },
     Lane::kDirect, "is split by connection"},
    {"ejection", [](World& w) { w.blocks().outlier.emplace(); }, Lane::kProxy, "outlierDetection counts answers"},
    {"ejection by connection",
     [](World& w) {
         w.blocks().outlier.emplace();
         w.split_by_connection();
     },
     Lane::kDirect, "is split by connection"},
    {"a match",
     [](World& w) {
         w.rule.http({{kHost, "v1"}}).when(header("x-user", "jason"));
     },
     Lane::kProxy, "spec.http[0].match: its requests are told apart by what they ask"},
    {"labels of clients",
     [](World& w) {
         w.rule.http({{kHost, "v1"}}).when(from_labels({{"app", "a"}}));
     },
     Lane::kProxy, "spec.http[0].match: its clients are told apart by their labels"},
    {"a match on the port alone",
     [](World& w) {
         w.rule.http({{kHost, "v1"}}).when(dialled(8080));
     },
     Lane::kDirect, "one destination"},
    {"a time-out", [](World& w) { w.request([](auto& r) { r.timeout = std::chrono::seconds(1); }); }, Lane::kProxy,
     "spec.http[0].timeout"},
    {"retries", [](World& w) { w.request([](auto& r) { r.retries.emplace().attempts = 2; }); }, Lane::kProxy,
     "spec.http[0].retries"},
    {"no retries", [](World& w) { w.request([](auto& r) { r.retries.emplace(); }); }, Lane::kDirect, "one destination"},
    {"a fault", [](World& w) { w.request([](auto& r) {
                                   r.fault.emplace().delay = {seconds(1), 1};
                               }); }, Lane::kProxy,
     "spec.http[0].fault"},
    {"a fault that is never drawn",
     [](World& w) { w.request([](auto& r) {
                        r.fault.emplace().delay = {seconds(1), 0};
                    }); }, Lane::kDirect,
     "one destination"},
    {"a rewrite", [](World& w) { w.request([](auto& r) { r.rewrite.emplace(); }); }, Lane::kProxy,
     "spec.http[0].rewrite"},
    {"a mirror",
     [](World& w) {
         w.rule.http({{kHost, "v1"}}).mirror({kHost, "v2"});
     },
     Lane::kProxy, "spec.http[0].mirror: requests are copied"},
    {"headers", [](World& w) { w.request([](auto& r) { r.headers.request.remove = {"x"}; }); }, Lane::kProxy,
     "spec.http[0].headers"},
    {"headers of a destination",
     [](World& w) { w.request([](auto& r) {
                        r.destination_headers = {{{}, {{}, {{"a", "b"}}, {}}}};
                    }); }, Lane::kProxy,
     "spec.http[0].route.headers"},
    {"a redirect", [](World& w) { w.rule.http({}).also([](auto& r) { r.redirect.emplace().uri = "/"; }); },
     Lane::kProxy, "spec.http[0].redirect"},
    {"a pool of requests",
     [](World& w) {
         w.blocks().connection_pool.emplace().http = one_request_a_connection();
         w.blocks().connection_pool->needs_request_lane = "connectionPool.http.maxRequestsPerConnection: counted";
     },
     Lane::kProxy, "connectionPool.http.maxRequestsPerConnection: counted"},
    {"a pool of connections", [](World& w) { w.blocks().connection_pool.emplace().max_connections = 1; }, Lane::kDirect,
     "one destination"},
    {"a key in the request",
     [](World& w) {
         w.blocks().load_balancer.emplace().key = {config::HashKey::Kind::kHeader, "x-user", "", {}, {}};
     },
     Lane::kProxy, "consistentHash is followed per request"},
    {"the client's address as key", [](World& w) { w.blocks().load_balancer.emplace().source_ip_hash = true; },
     Lane::kDirect, "one destination"},
    {"an experiment",
     [](World& w) {
         w.rule.http({{kHost, "v1", 9}, {kHost, "v2", 1}});
         w.split_by_connection();
         w.extra.push_back(put(Experiment("ml", "v2-trial", kHost)));
     },
     Lane::kProxy, "experiment v2-trial: a sticky split is made per request"},
    {"lane: proxy",
     [](World& w) {
         w.rule.http({{kHost, "v1"}}), w.lane(config::LaneChoice::kProxy);
     },
     Lane::kProxy, "sluice.dev/lane: proxy of VirtualService ml/rank"},
    {"a TCP port",
     [](World& w) {
         w.protocol = PortProtocol::kTcp;
         w.rule.tcp({{kHost, "v1", 9}, {kHost, "v2", 1}});
         w.blocks().outlier.emplace();
         w.blocks().connection_pool.emplace().http = one_request_a_connection();
         w.blocks().connection_pool->needs_request_lane = "connectionPool.http.maxRequestsPerConnection: counted";
     },
     Lane::kDirect, "Istio too decides per connection"},
};

TEST(LaneChoice, is_the_cheapest_that_honours_every_rule) {
    for (const Row& row : kTable) {
        SCOPED_TRACE(row.what);
        World world;
        row.edit(world);
        TestMesh m(with_proxy());
        m.apply(world.changes());
        const ServicePortPtr found = m.find(kHost, 8080);
        ASSERT_NE(found, nullptr);
        EXPECT_EQ(found->route->lane, row.lane);
        EXPECT_THAT(found->route->lane_reasons.at(0), HasSubstr(row.reason));
        // Without the lane what needs it is an error with the same reason, never a cheaper lane.
        TestMesh direct;
        if (row.lane == Lane::kDirect) {
            direct.apply(world.changes());
            EXPECT_EQ(direct.find(kHost, 8080)->route->lane, Lane::kDirect);
        } else {
            EXPECT_THAT(direct.refuse(world.changes()), HasSubstr("ane"));
        }
    }
}

TEST(LaneChoice, direct_forced_on_what_needs_requests_is_refused_with_the_reason) {
    for (const Row& row : kTable) {
        if (row.lane != Lane::kProxy || std::string(row.what) == "lane: proxy") {
            continue;
        }
        SCOPED_TRACE(row.what);
        World world;
        row.edit(world);
        const auto direct = [](config::Annotations& a) { a.lane = config::LaneChoice::kDirect, a.lane_set = true; };
        world.policy.annotate(direct);
        world.rule.annotate(direct);  // a redirect has no destination whose policies would count
        TestMesh m(with_proxy());
        const std::string error = m.refuse(world.changes());
        EXPECT_THAT(error, HasSubstr(row.reason));
        EXPECT_THAT(error, HasSubstr("But sluice.dev/lane: direct of "));
    }
}

TEST(LaneChoice, proxy_forced_on_a_tcp_port_is_refused) {
    World world;
    world.protocol = PortProtocol::kTcp;
    world.rule.tcp({{kHost, "v1"}});
    world.lane(config::LaneChoice::kProxy);
    TestMesh m(with_proxy());
    EXPECT_THAT(m.refuse(world.changes()), HasSubstr("sluice.dev/lane: proxy carries HTTP; TCP port 8080"));
}

TEST(LaneChoice, what_no_lane_does_for_tcp_is_refused_by_name) {
    World world;
    world.protocol = PortProtocol::kTcp;
    world.blocks().connection_pool.emplace().needs_tcp_proxy = "connectionPool.tcp.idleTimeout: nobody closes them";
    TestMesh m(with_proxy());
    EXPECT_THAT(m.refuse(world.changes()), HasSubstr("connectionPool.tcp.idleTimeout: nobody closes them"));
}

TEST(LaneChoice, split_by_connection_that_cannot_be_is_warned_about) {
    World world;
    world.rule.http({{kHost, "v1", 9}, {kHost, "v2", 1}}).when(header("x-user", "jason"));
    world.split_by_connection();
    TestMesh m(with_proxy());
    m.apply(world.changes());
    EXPECT_EQ(m.find(kHost, 8080)->route->lane, Lane::kProxy);
    EXPECT_THAT(m.warnings(), HasSubstr("connection has no effect: HTTP port 8080"));
}

TEST(LaneChoice, without_the_direct_lane_http_takes_the_proxy) {
    TestMesh m({.references_warn = false, .lanes = {Lane::kProxy}});
    m.apply(World().changes());
    EXPECT_EQ(m.find(kHost, 8080)->route->lane, Lane::kProxy);
    EXPECT_THAT(m.find(kHost, 8080)->route->lane_reasons.at(0), HasSubstr("which is not available here"));
}

}  // namespace
}  // namespace sluice::model::test
