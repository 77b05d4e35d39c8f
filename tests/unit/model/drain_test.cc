// What becomes of open connections (sluice.dev/drain), what is watched, and what is said of both.
#include <gmock/gmock.h>

#include "build.h"

namespace sluice::model::test {
namespace {

using config::Drain;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

ServiceEntry rank_service(PortProtocol protocol = PortProtocol::kHttp) {
    ServiceEntry entry("ml", "rank", kHost, "127.10.0.1");
    entry.with(port(8080, protocol));
    entry.with(endpoint("127.0.1.1", {{"version", "v1"}})).with(endpoint("127.0.1.2", {{"version", "v2"}}));
    return entry;
}
DestinationRule rank_policy(bool ejects = false) {
    DestinationRule rule("ml", "rank", kHost);
    rule.subset("v1", {{"version", "v1"}}).subset("v2", {{"version", "v2"}});
    if (ejects) {
        rule.policy().blocks.outlier.emplace().max_ejection_percent = 100;
    }
    return rule;
}
VirtualService rank_rule() {
    VirtualService rule("ml", "rank", kHost);
    rule.http({{kHost, "v1", 90}, {kHost, "v2", 10}});
    return rule;
}
void by_connection(config::Annotations& a) {
    a.split = config::Split::kConnection;
}
template <Drain drain>
void draining(config::Annotations& a) {
    a.drain = drain;
}

Drain of_route(const TestMesh& m) {
    return m.find(kHost, 8080)->route->drain;
}
Drain of_cluster(const TestMesh& m, std::size_t i = 0) {
    return m.cluster(kHost, 8080, i)->drain;
}

TEST(Drain, NothingIsDrainedUnlessSomebodySaysSo) {
    TestMesh m;
    m.apply({put(rank_service())});
    EXPECT_EQ(of_route(m), Drain::kNone);
    EXPECT_EQ(of_cluster(m), Drain::kNone);
}

TEST(Drain, TheVirtualServiceWinsOverTheDestinationRuleOverTheService) {
    ServiceEntry service = rank_service();
    service.annotate(draining<Drain::kNow>).annotate(by_connection);
    DestinationRule policy = rank_policy();
    VirtualService rule = rank_rule();
    TestMesh m;
    m.apply({put(service), put(policy), put(rule)});
    EXPECT_EQ(of_route(m), Drain::kNow);
    EXPECT_EQ(of_cluster(m), Drain::kNow);
    policy.annotate(draining<Drain::kIdle>);
    m.apply({put(policy)});
    EXPECT_EQ(of_route(m), Drain::kIdle);
    EXPECT_EQ(of_cluster(m), Drain::kIdle);
    rule.annotate(draining<Drain::kNone>);
    m.apply({put(rule)});
    EXPECT_EQ(of_route(m), Drain::kNone) << "none is an answer too";
    EXPECT_EQ(of_cluster(m, 0), Drain::kIdle) << "a cluster is shared by the routes that lead to it";
    EXPECT_EQ(of_cluster(m, 1), Drain::kIdle);
    m.apply({drop(rule)});
    EXPECT_EQ(of_route(m), Drain::kIdle);
}

TEST(Drain, TheOldestDestinationRuleThatSaysSomethingDecides) {
    DestinationRule silent = rank_policy();
    silent.created("2024-01-01T00:00:00Z");
    DestinationRule second("ml", "rank-more", kHost);
    second.created("2025-01-01T00:00:00Z").annotate(draining<Drain::kIdle>);
    DestinationRule third("ml", "rank-most", kHost);
    third.created("2026-01-01T00:00:00Z").annotate(draining<Drain::kNow>);
    TestMesh m;
    m.apply({put(rank_service()), put(silent), put(third), put(second)});
    EXPECT_EQ(of_route(m), Drain::kIdle);
    EXPECT_EQ(of_cluster(m), Drain::kIdle);
}

TEST(Drain, AChangeIsAChangeOfTheServiceButNotAnotherCluster) {
    ServiceEntry service = rank_service();
    DestinationRule policy = rank_policy();
    TestMesh m;
    m.apply({put(service), put(policy)});
    const Identity id = m.cluster(kHost, 8080)->id;
    policy.annotate(draining<Drain::kIdle>);
    EXPECT_EQ(m.apply({put(policy)}).changed.size(), 1u);
    EXPECT_EQ(of_cluster(m), Drain::kIdle);
    EXPECT_EQ(m.cluster(kHost, 8080)->id, id) << "its health survives";
    EXPECT_THAT(m.apply({put(policy)}).changed, IsEmpty());
    VirtualService rule = rank_rule();
    rule.annotate(by_connection);
    m.apply({put(rule)});
    rule.annotate(draining<Drain::kNow>);
    EXPECT_EQ(m.apply({put(rule)}).changed.size(), 1u);
    EXPECT_EQ(of_route(m), Drain::kNow);
}

TEST(Drain, IdleOnAPortThatNobodyWatchesIsSaid) {
    const char* const kSaid = "idle has no effect on TCP port 8080";
    DestinationRule policy = rank_policy();
    policy.annotate(draining<Drain::kIdle>);
    TestMesh m;
    m.apply({put(rank_service(PortProtocol::kTcp)), put(policy)});
    EXPECT_THAT(m.warnings(), HasSubstr(kSaid));
    EXPECT_EQ(of_route(m), Drain::kIdle);
    ServiceEntry mixed = rank_service(PortProtocol::kTcp);
    mixed.with(port(8081, PortProtocol::kHttp));
    m.apply({put(mixed)});
    EXPECT_THAT(m.warnings(), Not(HasSubstr(kSaid))) << "the rule may mean the other port";
    VirtualService rule("ml", "rank", kHost);
    rule.tcp({{kHost, "v1"}}).annotate(draining<Drain::kIdle>);
    m.apply({put(rule)});
    EXPECT_THAT(m.warnings(), HasSubstr(kSaid));
    rule.annotate(draining<Drain::kNow>);
    m.apply({put(rule)});
    EXPECT_THAT(m.warnings(), Not(HasSubstr(kSaid)));
}

TEST(Watching, HttpPortsAreWatchedAndAnswersCountWhereClientsSpeakHttp1) {
    struct Case {
        PortProtocol protocol;
        bool http, answers;
    };
    for (const Case& c : {Case{PortProtocol::kHttp, true, true}, Case{PortProtocol::kGrpcWeb, true, true},
                          Case{PortProtocol::kHttp2, true, false}, Case{PortProtocol::kGrpc, true, false},
                          Case{PortProtocol::kTcp, false, false}, Case{PortProtocol::kHttps, false, false},
                          Case{PortProtocol::kTls, false, false}}) {
        TestMesh m;
        m.apply({put(rank_service(c.protocol))});
        EXPECT_EQ(m.cluster(kHost, 8080)->http, c.http) << config::protocol_name(c.protocol);
        EXPECT_EQ(m.cluster(kHost, 8080)->answers, c.answers) << config::protocol_name(c.protocol);
    }
}

TEST(Watching, AProtocolThatChangesIsAChangeOfAllThatLeadsThere) {
    ServiceEntry service = rank_service(PortProtocol::kTcp);
    ServiceEntry front("ml", "front", "front.ml.svc.cluster.local", "127.10.0.2");
    front.with(port(8080, PortProtocol::kHttp));
    VirtualService rule("ml", "front", "front.ml.svc.cluster.local");
    rule.http({{kHost, ""}});
    TestMesh m;
    m.apply({put(service), put(front), put(rule)});
    const Identity id = m.cluster(kHost, 8080)->id;
    service.spec().ports[0].protocol = PortProtocol::kHttp2;
    EXPECT_EQ(m.apply({put(service)}).changed.size(), 2u) << "watched now";
    service.spec().ports[0].protocol = PortProtocol::kHttp;
    EXPECT_EQ(m.apply({put(service)}).changed.size(), 2u) << "answers count now";
    EXPECT_TRUE(m.cluster("front.ml.svc.cluster.local", 8080)->answers);
    EXPECT_EQ(m.cluster(kHost, 8080)->id, id);
}

TEST(Watching, EjectionByConnectionSaysWhatItCountsAndWhereItDiffersFromIstio) {
    DestinationRule policy = rank_policy(true);
    policy.annotate(by_connection);
    TestMesh m;
    m.apply({put(rank_service()), put(policy)});
    EXPECT_THAT(m.warnings(), HasSubstr("open connections stay with an ejected endpoint; sluice.dev/drain: idle"));
    policy.annotate(draining<Drain::kIdle>);
    m.apply({put(policy)});
    EXPECT_THAT(m.warnings(), Not(HasSubstr("outlierDetection"))) << "as Istio does";
    const auto reasons = m.find(kHost, 8080)->route->lane_reasons;
    ASSERT_EQ(reasons.size(), 2u);
    EXPECT_THAT(reasons[1], HasSubstr("counts the answers; open connections leave an ejected endpoint between"));
    policy.annotate(draining<Drain::kNow>);
    m.apply({put(policy)});
    EXPECT_THAT(m.find(kHost, 8080)->route->lane_reasons.at(1), HasSubstr("ended at once"));
}

TEST(Watching, EjectionOnAnHttp2PortSaysThatAnswersAreNotCounted) {
    DestinationRule policy = rank_policy(true);
    policy.annotate(by_connection).annotate(draining<Drain::kIdle>);
    TestMesh m;
    m.apply({put(rank_service(PortProtocol::kGrpc)), put(policy)});
    EXPECT_THAT(m.warnings(), HasSubstr("outlierDetection counts failed connections, not failed requests"));
}

TEST(Watching, TheDrainOfTheVirtualServiceIsEnoughForEjections) {
    DestinationRule policy = rank_policy(true);
    VirtualService rule("ml", "rank", kHost);
    rule.http({{kHost, "v1"}});
    rule.annotate(by_connection).annotate(draining<Drain::kIdle>);
    TestMesh m;
    m.apply({put(rank_service()), put(policy), put(rule)});
    EXPECT_THAT(m.warnings(), Not(HasSubstr("open connections stay")));
}

}  // namespace
}  // namespace sluice::model::test
