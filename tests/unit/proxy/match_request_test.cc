// Which rule a request gets. Numbers are lines of reference istio-measured.md, which DESIGN.md names.
#include "tests/unit/proxy/routes.h"

namespace sluice::proxy::test {
namespace {

// A service whose rule "hit" asks for one thing, with "miss" behind it.
struct OneMatch {
    explicit OneMatch(HttpMatch match) {
        service.rule({{"v1", 100}}, "hit", {std::move(match)});
        service.rule({{"v1", 100}}, "miss");
    }
    bool hits(const Request& request) { return World(service).rule(request) == "hit"; }
    bool hits(const std::string& target, Fields fields = {}) { return hits(Request("GET", target, std::move(fields))); }

    Service service;
};

// 14
TEST(Match, RegexesTakeTheWholeValueAndThePathWithoutItsQuery) {
    OneMatch path(uri(regex("/v[12]/.*")));
    EXPECT_TRUE(path.hits("/v1/rank?x=1"));
    EXPECT_FALSE(path.hits("/a/v1/rank"));
    EXPECT_FALSE(path.hits("/v1"));
    OneMatch header_match(header("x-user-id", regex("[0-9a-c].*")));
    EXPECT_TRUE(header_match.hits("/", {{"X-User-Id", "c0ffee"}}));
    EXPECT_FALSE(header_match.hits("/", {{"X-User-Id", "dc0ffee"}}));
    HttpMatch query;
    query.query.push_back({"id", regex("[0-9]+")});
    EXPECT_TRUE(OneMatch(query).hits("/?id=47"));
    EXPECT_FALSE(OneMatch(query).hits("/?id=47x"));
    HttpMatch method;
    method.method = regex("GE|GET");
    EXPECT_TRUE(OneMatch(method).hits("/"));
    method.method = regex("GE");
    EXPECT_FALSE(OneMatch(method).hits("/"));
    HttpMatch authority;
    authority.authority = regex("rank.*");
    EXPECT_TRUE(OneMatch(authority).hits("/", {{"Host", "ranker"}}));
    EXPECT_FALSE(OneMatch(authority).hits("/", {{"Host", "a-ranker"}}));
}

// 14
TEST(Match, PrefixesAreByCharacter) {
    OneMatch match(uri(prefix("/pre")));
    EXPECT_TRUE(match.hits("/prefix"));
    EXPECT_TRUE(match.hits("/pre"));
    EXPECT_FALSE(match.hits("/pr"));
}

// 15
TEST(Match, SeesTheNormalPath) {
    OneMatch match(uri(exact("/exact")));
    for (const char* target : {"/a/../exact", "/./exact", "/a/%2e%2e/exact", "/%65xact", "/exact#part", "/exact?x"}) {
        EXPECT_TRUE(match.hits(target)) << target;
    }
    EXPECT_FALSE(match.hits("//exact"));
    EXPECT_TRUE(OneMatch(uri(exact("//exact"))).hits("//exact"));
    EXPECT_TRUE(OneMatch(uri(exact("/a%20b"))).hits("/a%20b"));
}

// 16
TEST(Match, IgnoreUriCaseActsOnExactAndPrefixOnly) {
    for (auto [match, target] : {std::pair(exact("/Rank"), "/rANK"), std::pair(prefix("/Ra"), "/rANK")}) {
        HttpMatch element = uri(match);
        EXPECT_FALSE(OneMatch(element).hits(target));
        element.ignore_uri_case = true;
        EXPECT_TRUE(OneMatch(element).hits(target));
    }
    HttpMatch element = uri(regex("/Rank"));
    element.ignore_uri_case = true;
    EXPECT_FALSE(OneMatch(element).hits("/rANK"));
    EXPECT_TRUE(OneMatch(element).hits("/Rank"));
}

// 17
TEST(Match, OfRepeatedQueryKeysTheFirstCountsUndecoded) {
    HttpMatch element;
    element.query.push_back({"v", exact("47")});
    OneMatch match(element);
    EXPECT_TRUE(match.hits("/?v=47&v=45"));
    EXPECT_FALSE(match.hits("/?v=45&v=47"));
    EXPECT_FALSE(match.hits("/?v=%347"));
    EXPECT_FALSE(match.hits("/?%76=47"));
    EXPECT_FALSE(match.hits("/?a=1;v=47"));
    EXPECT_FALSE(match.hits("/?V=47"));
    EXPECT_FALSE(match.hits("/"));
    HttpMatch debug;
    debug.query.push_back({"debug", present()});
    OneMatch there(debug);
    for (const char* target : {"/?debug", "/?debug=", "/?debug=0", "/?a&debug"}) {
        EXPECT_TRUE(there.hits(target)) << target;
    }
    EXPECT_FALSE(there.hits("/?debugging"));
    HttpMatch empty;
    empty.query.push_back({"debug", exact("")});
    EXPECT_TRUE(OneMatch(empty).hits("/?debug"));
    EXPECT_TRUE(OneMatch(empty).hits("/?debug="));
    EXPECT_FALSE(OneMatch(empty).hits("/?debug=0"));
}

// 18
TEST(Match, AHeaderSentTwiceMatchesByOneOfItsLines) {
    OneMatch match(header("end-user", exact("jason")));
    EXPECT_TRUE(match.hits("/", {{"End-User", "jason"}, {"end-user", "mary"}}));
    EXPECT_FALSE(match.hits("/", {{"End-User", "jason,mary"}}));
}

// 19
TEST(Match, AnEmptyHeaderIsPresentAndWithoutHeadersMatchesWhatIsAbsent) {
    EXPECT_TRUE(OneMatch(header("x-a", present())).hits("/", {{"X-A", ""}}));
    EXPECT_FALSE(OneMatch(header("x-a", present())).hits("/"));
    EXPECT_TRUE(OneMatch(header("x-a", exact(""))).hits("/", {{"X-A", ""}}));
    EXPECT_FALSE(OneMatch(header("x-a", exact(""))).hits("/"));
    HttpMatch value;
    value.without_headers.push_back({"x-a", exact("1")});
    EXPECT_TRUE(OneMatch(value).hits("/"));
    EXPECT_TRUE(OneMatch(value).hits("/", {{"x-a", "2"}}));
    EXPECT_FALSE(OneMatch(value).hits("/", {{"x-a", "1"}}));
    HttpMatch absent;
    absent.without_headers.push_back({"x-a", present()});
    EXPECT_TRUE(OneMatch(absent).hits("/"));
    EXPECT_FALSE(OneMatch(absent).hits("/", {{"x-a", ""}}));
    // A missing header is compared as an empty value.
    HttpMatch anything;
    anything.without_headers.push_back({"x-a", regex(".*")});
    EXPECT_FALSE(OneMatch(anything).hits("/"));
}

// 20
TEST(Match, AuthorityIsComparedAsSent) {
    HttpMatch element;
    element.authority = exact("ranker");
    EXPECT_TRUE(OneMatch(element).hits("/", {{"Host", "ranker"}}));
    EXPECT_FALSE(OneMatch(element).hits("/", {{"Host", "RANKER"}}));
    EXPECT_FALSE(OneMatch(element).hits("/", {{"Host", "ranker:8080"}}));
    EXPECT_TRUE(OneMatch(header(":authority", exact("ranker"))).hits("/", {{"Host", "ranker"}}));
}

// 21
TEST(Match, SchemeFollowsTheForwardedProtocolOrAnAbsoluteTarget) {
    HttpMatch element;
    element.scheme = exact("https");
    EXPECT_FALSE(OneMatch(element).hits("/"));
    EXPECT_TRUE(OneMatch(element).hits("/", {{"X-Forwarded-Proto", "https"}}));
    EXPECT_TRUE(OneMatch(element).hits("https://ranker/"));
    HttpMatch authority;
    authority.authority = exact("other");
    EXPECT_TRUE(OneMatch(authority).hits("http://other/a", {{"Host", "ranker"}}));
    EXPECT_TRUE(OneMatch(uri(exact("/"))).hits("http://other", {{"Host", "ranker"}}));
}

// 23: rules in order, elements of one rule each.
TEST(Match, TheFirstRuleThatMatchesDecides) {
    Service service;
    service.rule({{"v1", 1}}, "premium", {header("x-user-segment", exact("premium")), uri(prefix("/premium"))});
    service.rule({{"v1", 1}}, "rank", {uri(prefix("/"))});
    World world(service);
    EXPECT_EQ(world.rule(Request("GET", "/rank", {{"x-user-segment", "premium"}})), "premium");
    EXPECT_EQ(world.rule(Request("GET", "/premium/rank")), "premium");
    EXPECT_EQ(world.rule(Request("GET", "/rank")), "rank");
}

// 24
TEST(Match, NoRuleIsNoRoute) {
    Service service;
    service.rule({{"v1", 1}}, "rank", {uri(prefix("/rank"))});
    EXPECT_EQ(World(service).rule(Request("GET", "/other")), "NR");
}

TEST(Match, AllThatAnElementAsksForMustHold) {
    HttpMatch element = uri(prefix("/rank"));
    element.method = exact("POST");
    element.headers.push_back({"x-a", exact("1")});
    element.headers.push_back({"x-b", prefix("2")});
    OneMatch match(element);
    EXPECT_TRUE(match.hits(Request("POST", "/rank", {{"x-a", "1"}, {"x-b", "22"}})));
    EXPECT_FALSE(match.hits(Request("GET", "/rank", {{"x-a", "1"}, {"x-b", "22"}})));
    EXPECT_FALSE(match.hits(Request("POST", "/rank", {{"x-a", "1"}})));
    EXPECT_FALSE(match.hits(Request("POST", "/ran", {{"x-a", "1"}, {"x-b", "22"}})));
}

// Istio drops elements for other workloads before it makes routes; a client that no rule is for has the plain service.
TEST(Match, SourceLabelsAreTheClients) {
    Service service;
    HttpMatch element;
    element.source_labels = {{"app", "gateway"}, {"tier", "front"}};
    element.uri = prefix("/rank");
    service.rule({{"v1", 1}}, "gateway", {element});
    service.plain();
    World world(service);
    const Client gateway = client_in("ml", {{"app", "gateway"}, {"tier", "front"}, {"more", "x"}});
    EXPECT_EQ(world.rule(Request("GET", "/rank", {}, gateway)), "gateway");
    EXPECT_EQ(world.rule(Request("GET", "/other", {}, gateway)), "NR");
    EXPECT_EQ(world.rule(Request("GET", "/rank", {}, client_in("ml", {{"app", "gateway"}}))), "default");
    // With `gateways` the labels do not count.
    Service other;
    element.gateways_given = element.gateways_mesh = true;
    other.rule({{"v1", 1}}, "mesh", {element});
    EXPECT_EQ(World(other).rule(Request("GET", "/rank", {}, client_in("ml"))), "mesh");
}

TEST(Match, RuleAndElementNameTheRoute) {
    Service service;
    HttpMatch element = uri(prefix("/a"));
    element.name = "part";
    service.rule({{"v1", 1}}, "rank", {element});
    EXPECT_EQ(World(service).rule(Request("GET", "/a")), "rank.part");
}

TEST(Match, ARegexBeyondItsBudgetIsAnErrorWithItsPlace) {
    Service service;
    StringMatch huge = regex("((a{100}){100}){10}");
    huge.place = {12, 18};
    service.rule({{"v1", 1}}, "", {uri(prefix("/")), header("x-a", huge)});
    const std::vector<model::ServicePortPtr> ports{service.port()};
    const std::vector<std::string> errors = Table::check(ports);
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_EQ(errors[0].substr(0, 54), "rules.yaml:12:18: spec.http[0].match[1].headers[x-a]: ");
    EXPECT_FALSE(Table::build(nullptr, listed(ports), numbers()).has_value());
}

}  // namespace
}  // namespace sluice::proxy::test
