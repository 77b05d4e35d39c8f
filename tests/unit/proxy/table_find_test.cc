// Which service a Host means. Numbers are lines of reference istio-measured.md.
#include "tests/unit/proxy/routes.h"

namespace sluice::proxy::test {
namespace {

model::ServicePortPtr plain(std::string host, std::string scope = "", std::uint16_t port = 8080) {
    Service service(std::move(host), std::move(scope), port);
    service.plain();
    return service.port();
}

struct Hosts {
    explicit Hosts(std::vector<model::ServicePortPtr> ports)
        : table(build(ports)), dialled(table->find("", "dialled.ml.svc.cluster.local", 8080)) {}

    // "SCOPE/HOST" of what a Host means for a client of that namespace.
    std::string find(const std::string& authority, const std::string& ns = "ml", std::uint16_t port = 8080) const {
        const VirtualHost* host = table->find(client_in(ns), dialled, port, authority);
        return host != nullptr ? host->port->scope + "/" + host->port->host : "none";
    }

    TablePtr table;
    const VirtualHost* dialled;
};

constexpr const char* kRanker = "ranker.ml.svc.cluster.local";

// 29
TEST(Find, ShortNamesOfAClustersService) {
    const Hosts hosts({plain(kRanker), plain("dialled.ml.svc.cluster.local")});
    for (const char* name :
         {"ranker", "ranker.ml", "ranker.ml.svc", "ranker.ml.svc.cluster.local", "ranker.ml.svc.cluster.local."}) {
        EXPECT_EQ(hosts.find(name), std::string("/") + kRanker) << name;
    }
    EXPECT_EQ(hosts.find("ranker.ml.svc.cluster"), "/dialled.ml.svc.cluster.local");
    // The bare name is the client's namespace's.
    EXPECT_EQ(hosts.find("ranker", "other"), "/dialled.ml.svc.cluster.local");
    EXPECT_EQ(hosts.find("ranker.ml", "other"), std::string("/") + kRanker);
}

// 20, 22
TEST(Find, CaseAndPortInTheHostAreIgnored) {
    const Hosts hosts({plain(kRanker), plain(kRanker, "", 9090), plain("dialled.ml.svc.cluster.local")});
    EXPECT_EQ(hosts.find("RANKER.ml"), std::string("/") + kRanker);
    EXPECT_EQ(hosts.find("ranker:9090"), std::string("/") + kRanker);
    EXPECT_EQ(hosts.table->find(client_in("ml"), nullptr, 8080, "ranker:9090")->port->port, 8080);
    EXPECT_EQ(hosts.table->find(client_in("ml"), nullptr, 7070, "ranker"), nullptr);
}

// 26
TEST(Find, AnExactHostBeatsWildcardsAndTheLongestWildcardWins) {
    const Hosts hosts({plain("*.example.com"), plain("*.eu.example.com"), plain("a.eu.example.com"),
                       plain("dialled.ml.svc.cluster.local")});
    EXPECT_EQ(hosts.find("a.eu.example.com"), "/a.eu.example.com");
    EXPECT_EQ(hosts.find("b.eu.example.com"), "/*.eu.example.com");
    EXPECT_EQ(hosts.find("x.y.example.com:443"), "/*.example.com");
    EXPECT_EQ(hosts.find("example.com"), "/dialled.ml.svc.cluster.local");
}

// 30, our deviation: an unknown Host has the rules of the service that was dialled.
TEST(Find, AnUnknownHostIsTheDialledService) {
    const Hosts hosts({plain(kRanker), plain("dialled.ml.svc.cluster.local")});
    for (const std::string& name : {std::string("nobody.example.com"), std::string(), std::string("["),
                                    std::string("[::1"), std::string(300, 'a'), std::string(":80"), std::string(".")}) {
        EXPECT_EQ(hosts.find(name), "/dialled.ml.svc.cluster.local") << name;
    }
    EXPECT_EQ(Hosts({plain(kRanker)}).find("nobody.example.com"), "none");
}

TEST(Find, VirtualAddressesAreHosts) {
    Service four(kRanker), six("six.ml.svc.cluster.local");
    four.plain();
    four.address("10.0.0.7");
    six.plain();
    six.address("fd00::7");
    const Hosts hosts({four.port(), six.port()});
    EXPECT_EQ(hosts.find("10.0.0.7:8080"), std::string("/") + kRanker);
    EXPECT_EQ(hosts.find("[FD00:0::7]:8080"), "/six.ml.svc.cluster.local");
    EXPECT_EQ(hosts.find("[fd00::7]"), "/six.ml.svc.cluster.local");
    EXPECT_EQ(hosts.find("10.0.0.8"), "none");
}

TEST(Find, AScopeThatSeesSomethingElseGetsThat) {
    const Hosts hosts({plain(kRanker), plain(kRanker, "ml"), plain(kRanker, "ads")});
    EXPECT_EQ(hosts.find("ranker.ml", "other"), std::string("/") + kRanker);
    EXPECT_EQ(hosts.find("ranker.ml", "ads"), std::string("ads/") + kRanker);
    EXPECT_EQ(hosts.find("ranker", "ml"), std::string("ml/") + kRanker);
    EXPECT_EQ(hosts.find("ranker", "ads"), "none");
    EXPECT_EQ(hosts.table->find("ads", kRanker, 8080)->port->scope, "ads");
    EXPECT_EQ(hosts.table->find("other", kRanker, 8080)->port->scope, "");
    // One that only a namespace sees.
    const Hosts own({plain(kRanker, "ads")});
    EXPECT_EQ(own.find("ranker.ml", "ads"), std::string("ads/") + kRanker);
    EXPECT_EQ(own.find("ranker.ml", "other"), "none");
}

TEST(Find, TheNamespacesServiceBeatsAnEntryWithItsBareName) {
    const Hosts hosts({plain("ranker"), plain(kRanker)});
    EXPECT_EQ(hosts.find("ranker", "ml"), std::string("/") + kRanker);
    EXPECT_EQ(hosts.find("ranker", "other"), "/ranker");
}

TEST(Build, KeepsWhatDidNotChange) {
    Service ranker(kRanker), other("other.ml.svc.cluster.local");
    ranker.rule({{"v1", 1}});
    other.rule({{"v1", 1}});
    const model::ServicePortPtr kept = ranker.port();
    const TablePtr first = build({kept, other.port()});
    Service changed("other.ml.svc.cluster.local");
    changed.rule({{"v1", 1}});
    const TablePtr second = build({kept, changed.port()}, first.get());
    EXPECT_EQ(second->find("", kRanker, 8080), first->find("", kRanker, 8080));
    EXPECT_NE(second->find("", "other.ml.svc.cluster.local", 8080),
              first->find("", "other.ml.svc.cluster.local", 8080));
}

TEST(Build, AClusterOfTheSameValueIsTheSameObjectAndANewValueKeepsItsCounts) {
    Service before, same, after;
    before.rule({{"v1", 1}});
    const TablePtr first = build({before.port()});
    const ClusterPtr old = first->hosts()[0]->rules[0].destinations[0].cluster;
    same.rule({{"v1", 1}});
    same.last().destinations[0].cluster = before.last().destinations[0].cluster;
    const TablePtr second = build({same.port()}, first.get());
    EXPECT_EQ(second->hosts()[0]->rules[0].destinations[0].cluster, old);
    after.rule({{"v1", 1}});
    const TablePtr third = build({after.port()}, second.get());
    EXPECT_NE(third->hosts()[0]->rules[0].destinations[0].cluster, old);
    EXPECT_EQ(third->hosts()[0]->rules[0].destinations[0].cluster->number(), old->number());
}

TEST(Build, ANewNumberMakesANewHost) {
    Service service;
    service.rule({{"v1", 1}});
    const model::ServicePortPtr port = service.port();
    const TablePtr first = build({port});
    Table::Numbers other = numbers();
    other.cluster = [](const Identity& id) { return number_of(id) + 1; };
    const Result<TablePtr> second = Table::build(first.get(), listed({port}), other);
    ASSERT_TRUE(second.has_value());
    const Rule& rule = (*second)->hosts()[0]->rules[0];
    EXPECT_EQ(rule.destinations[0].cluster->number(),
              first->hosts()[0]->rules[0].destinations[0].cluster->number() + 1);
    EXPECT_EQ(rule.columns[0].cluster, rule.destinations[0].cluster->number());
}

// 43-45, 48
TEST(Build, RetriesAreIstiosUnlessTheRuleSaysOtherwise) {
    Service service;
    service.rule({{"v1", 1}}, "default");
    HttpRule& rule = service.rule({{"v1", 1}}, "own");
    rule.timeout = std::chrono::milliseconds(200);
    rule.retries.emplace();
    rule.retries->attempts = 3;
    rule.retries->per_try_timeout = std::chrono::milliseconds(80);
    HttpRule& late = service.rule({{"v1", 1}}, "late");
    late = rule;
    late.retries->per_try_timeout = std::chrono::milliseconds(200);
    service.rule({{"hashed", 1}}, "hashed");
    service.cluster("hashed")->load_balancer = SL_LB_RING_HASH;
    const TablePtr table = build({service.port()});
    const auto& rules = table->hosts()[0]->rules;
    EXPECT_EQ(rules[0].retry.attempts, 2u);
    EXPECT_TRUE(rules[0].retry.on.has(config::RetryOn::kConnectFailure));
    EXPECT_FALSE(rules[0].retry.on.has(config::RetryOn::k5xx));
    EXPECT_TRUE(rules[0].retry.avoid_previous);
    EXPECT_EQ(rules[0].timeout_ns, 0u);
    EXPECT_EQ(rules[1].retry.attempts, 3u);
    EXPECT_EQ(rules[1].retry.per_try_ns, 80'000'000u);
    EXPECT_TRUE(rules[1].retry.on.has(config::RetryOn::kConnectFailure));
    EXPECT_EQ(rules[1].timeout_ns, 200'000'000u);
    EXPECT_EQ(rules[2].retry.per_try_ns, 0u);
    EXPECT_FALSE(rules[3].retry.avoid_previous);
}

}  // namespace
}  // namespace sluice::proxy::test
