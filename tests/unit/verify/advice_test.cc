// Advice: each code where it is meant, and silence where it would be a false alarm.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/unit/verify/meshes.h"
#include "verify/advice.h"

namespace sluice::verify::test {
namespace {

using testing::HasSubstr;

// "CODE:LINE …" of everything that is said; lines of the VirtualService count from its `http:`.
std::string said(const std::string& text, const Knowledge& knowledge = {}) {
    const model::Mesh mesh = mesh_of(text);
    std::string out;
    for (const Advice& one : advise(mesh, knowledge)) {
        out += (out.empty() ? "" : " ") + std::string(one.code);
        EXPECT_EQ(one.diagnostic.severity, Severity::kWarning);
        EXPECT_GT(one.diagnostic.line, 0);
        EXPECT_THAT(one.diagnostic.text(), testing::EndsWith(" [" + std::string(one.code) + "]"));
        EXPECT_NE(find_page(one.code), nullptr) << one.code;
    }
    return out;
}

std::string first_text(const std::string& text, const Knowledge& knowledge = {}) {
    const model::Mesh mesh = mesh_of(text);
    const auto all = advise(mesh, knowledge);
    return all.empty() ? "nothing" : all.front().diagnostic.text();
}

std::string rules(const std::string& http) {
    return kRanker + virtual_service(http);
}

TEST(Advice, RetriesThatCanNeverBegin) {
    const auto rule = [](const char* timeout, const char* retries) {
        return rules(std::string("  - {route: [{destination: {host: ranker}}], timeout: ") + timeout +
                     ", retries: " + retries + "}");
    };
    EXPECT_EQ(said(rule("200ms", "{attempts: 3, perTryTimeout: 80ms}")), "SL101");
    EXPECT_EQ(said(rule("160ms", "{attempts: 2, perTryTimeout: 80ms}")), "SL101") << "begins when all is over";
    EXPECT_EQ(said(rule("200ms", "{attempts: 2, perTryTimeout: 80ms}")), "") << "the source text's";
    EXPECT_EQ(said(rule("200ms", "{attempts: 3}")), "") << "tries have no time of their own";
    EXPECT_EQ(said(rule("200ms", "{attempts: 0}")), "");
    EXPECT_THAT(first_text(rule("200ms", "{attempts: 3, perTryTimeout: 80ms}")),
                HasSubstr("spec.http[0].retries: 3 tries of 80ms take 240ms, and the timeout ends the request after "
                          "200ms"));
}

TEST(Advice, TimeoutsCloseToTheMeasuredTail) {
    const std::string text = rules("  - {route: [{destination: {host: ranker}}], timeout: 200ms}");
    const auto p99 = [](double seconds) {
        return Knowledge{.p99 = [seconds](const model::ServicePort&) { return std::optional(seconds); }, .power = {}};
    };
    EXPECT_EQ(said(text, p99(0.134)), "SL102");
    EXPECT_EQ(said(text, p99(0.133)), "");
    EXPECT_EQ(said(text), "");
    EXPECT_EQ(said(text, {.p99 = [](const model::ServicePort&) { return std::nullopt; }, .power = {}}), "");
    EXPECT_EQ(said(rules("  - {route: [{destination: {host: ranker}}], retries: {attempts: 1}}"), p99(9)), "");
}

TEST(Advice, MatchesThatAnEarlierOneTakesAway) {
    EXPECT_EQ(said(rules(R"(
  - {match: [{uri: {prefix: /v1/}}], route: [{destination: {host: ranker, subset: v45}}]}
  - {match: [{uri: {exact: /v1/x}}, {uri: {prefix: /v1/y}, headers: {a: {exact: b}}}, {uri: {prefix: /v1}}],
     route: [{destination: {host: ranker, subset: v47}}]}
)")),
              "SL104 SL104")
        << "the exact and the longer prefix, not the shorter";
    EXPECT_EQ(said(rules(R"(
  - {match: [{headers: {x-user: {}}}], route: [{destination: {host: ranker, subset: v45}}]}
  - {match: [{headers: {x-user: {exact: a}, x-team: {exact: b}}}], route: [{destination: {host: ranker, subset: v47}}]}
  - {match: [{headers: {x-team: {exact: b}}}], route: [{destination: {host: ranker, subset: v47}}]}
)")),
              "SL104");
    EXPECT_EQ(said(rules(R"(
  - {match: [{uri: {prefix: /v1}, method: {exact: GET}}], route: [{destination: {host: ranker, subset: v45}}]}
  - {match: [{uri: {prefix: /v1}, method: {exact: POST}}], route: [{destination: {host: ranker, subset: v47}}]}
  - {match: [{uri: {prefix: /v1}, sourceLabels: {app: web}}], route: [{destination: {host: ranker, subset: v47}}]}
  - {match: [{uri: {exact: /v1}}], route: [{destination: {host: ranker, subset: v46}}]}
)")),
              "")
        << "each leaves something to the next";
    EXPECT_EQ(said(rules(R"(
  - {match: [{uri: {regex: "/v1/.*"}}], route: [{destination: {host: ranker, subset: v45}}]}
  - {match: [{uri: {exact: /v1/x}}], route: [{destination: {host: ranker, subset: v47}}]}
)")),
              "")
        << "regular expressions are not compared";
    EXPECT_EQ(said(rules(R"(
  - {match: [{uri: {prefix: /V1}, ignoreUriCase: true}], route: [{destination: {host: ranker, subset: v45}}]}
  - {match: [{uri: {prefix: /v1}}], route: [{destination: {host: ranker, subset: v47}}]}
)")),
              "");
    EXPECT_THAT(first_text(rules(R"(
  - {match: [{uri: {prefix: /v1/}}], route: [{destination: {host: ranker, subset: v45}}]}
  - {match: [{uri: {exact: /v1/x}}], route: [{destination: {host: ranker, subset: v47}}]}
)")),
                HasSubstr("spec.http[1].match[0]: never decides: an earlier rule (line"));
}

// One that another namespace's clients still reach is not unreachable.
TEST(Advice, AMatchThatSomeClientsReachIsNotTakenAway) {
    EXPECT_EQ(said(rules(R"(
  - {match: [{uri: {prefix: /v1}, sourceNamespace: ads}], route: [{destination: {host: ranker, subset: v45}}]}
  - {match: [{uri: {prefix: /v1/x}}], route: [{destination: {host: ranker, subset: v47}}]}
  - {route: [{destination: {host: ranker, subset: v46}}]}
)")),
              "");
}

TEST(Advice, WeightsThatDoNotAddUpTo100) {
    const auto weights = [](int a, int b) {
        return rules("  - route:\n    - {destination: {host: ranker, subset: v45}, weight: " + std::to_string(a) +
                     "}\n    - {destination: {host: ranker, subset: v47}, weight: " + std::to_string(b) + "}");
    };
    EXPECT_EQ(said(weights(90, 20)), "SL105");
    EXPECT_EQ(said(weights(90, 10)), "");
    EXPECT_EQ(said(weights(100, 0)), "");
    EXPECT_EQ(said(rules("  - route: [{destination: {host: ranker}, weight: 90}]")), "SL105");
    EXPECT_EQ(said(rules("  - route: [{destination: {host: ranker}, weight: 100}]")), "");
    EXPECT_EQ(said(rules("  - route: [{destination: {host: ranker}}]")), "");
    EXPECT_THAT(first_text(weights(90, 20)), HasSubstr("the weights add up to 110, not to 100 (90 + 20)"));
}

TEST(Advice, UsersSplitByARegularExpression) {
    const auto regex = [](const std::string& header, const std::string& pattern) {
        return rules("  - {match: [{headers: {" + header + ": {regex: '" + pattern +
                     "'}}}], route: [{destination: {host: ranker, subset: v45}}]}\n"
                     "  - route: [{destination: {host: ranker, subset: v47}}]");
    };
    for (const char* pattern : {"^[0-9a-cA-C].*", "[0-7].*$", ".*[02468]", "(?i)^[a-f].+", "^[^a-m]\\w*"}) {
        EXPECT_EQ(said(regex("x-user-id", pattern)), "SL106") << pattern;
    }
    EXPECT_EQ(said(regex("session", "[0-7].*")), "SL106");
    EXPECT_EQ(said(regex("x-ab-bucket", "[0-7]?[0-9]")), "") << "a bucket that somebody computed";
    EXPECT_EQ(said(regex("x-ab-bucket", "[0-7].*")), "");
    EXPECT_EQ(said(regex("x-user-segment-of-user", "[pP]remium")), "") << "a word, not a share";
    EXPECT_EQ(said(regex("x-user-id", "internal-.*")), "") << "a prefix that somebody chose";
    EXPECT_EQ(said(regex("x-user-id", "(alice|bob)")), "");
    EXPECT_EQ(said(regex("x-user-id", "[i]nternal.*")), "");
}

TEST(Advice, AMirrorOfTheVersionThatServes) {
    const auto mirror = [](const char* subset, const char* rest = "") {
        return rules(std::string("  - {route: [{destination: {host: ranker, subset: v45}}], mirror: {host: ranker, "
                                 "subset: ") +
                     subset + "}" + rest + "}");
    };
    EXPECT_EQ(said(mirror("v45")), "SL107");
    EXPECT_EQ(said(mirror("v47")), "");
    EXPECT_EQ(said(mirror("v45", ", mirrorPercentage: {value: 0}")), "") << "nothing is copied";
    EXPECT_EQ(said(rules(R"(
  - route:
    - {destination: {host: ranker, subset: v45}, weight: 100}
    - {destination: {host: ranker, subset: v47}, weight: 0}
    mirror: {host: ranker, subset: v47}
)")),
              "")
        << "it has no share yet";
}

std::string policy(const std::string& outlier) {
    std::string text = kRanker;
    const std::string host = "  host: ranker\n";
    text.insert(text.find(host) + host.size(), "  trafficPolicy: {outlierDetection: " + outlier + "}\n");
    return text;
}

TEST(Advice, EjectionsThatCanNeverHappen) {
    EXPECT_EQ(said(policy("{consecutiveGatewayErrors: 10, maxEjectionPercent: 100}")), "SL202");
    EXPECT_EQ(said(policy("{consecutiveGatewayErrors: 3, maxEjectionPercent: 100}")), "");
    EXPECT_EQ(said(policy("{consecutiveGatewayErrors: 10, consecutive5xxErrors: 0, maxEjectionPercent: 100}")), "");
    EXPECT_EQ(said(policy("{consecutiveGatewayErrors: 10, consecutive5xxErrors: 20, maxEjectionPercent: 100}")), "");
    EXPECT_EQ(said(policy("{consecutive5xxErrors: 0, maxEjectionPercent: 100}")), "SL202");
    EXPECT_EQ(said(policy("{consecutive5xxErrors: 0, splitExternalLocalOriginErrors: true, maxEjectionPercent: 100}")),
              "");
    EXPECT_EQ(said(policy("{consecutive5xxErrors: 5, maxEjectionPercent: 100}")), "");
}

TEST(Advice, SubsetsThatNobodySendsToNeedServersToo) {
    std::string text = kRanker;
    const std::string only_v45 = virtual_service("  - route: [{destination: {host: ranker, subset: v45}}]");
    const std::size_t subset = text.rfind("{name: v46, labels: {version: v46}}");
    ASSERT_NE(subset, std::string::npos);
    text.replace(subset, 35, "{name: v46, labels: {version: v99}}");
    EXPECT_EQ(said(text + only_v45), "SL201");
    EXPECT_EQ(said(kRanker + only_v45), "");
    // WorkloadEntries that a service selects count.
    const std::string selected = R"(
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: tagger, namespace: ml}
spec:
  hosts: [tagger.ml.svc.cluster.local]
  addresses: [127.2.0.10]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: tagger}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: tagger-1, namespace: ml}
spec: {address: 127.2.1.1, labels: {app: tagger, version: v1}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: tagger, namespace: ml}
spec: {host: tagger, subsets: [{name: v1, labels: {version: v1}}]}
)";
    EXPECT_EQ(said(selected), "");
    std::string other = selected;
    other.replace(other.find("app: tagger, version: v1"), 24, "app: tagger, version: v2");
    EXPECT_EQ(said(other), "SL201");
}

// What the model or the parser warns of has a page too.
TEST(Advice, WarningsOfOthersHaveCodes) {
    const auto code = [](const std::string& text) {
        std::vector<config::ObjectPtr> objects;
        Diagnostics found;
        config::parse(text, "rules.yaml", {}, objects, found);
        std::vector<model::Change> changes;
        for (const config::ObjectPtr& object : objects) {
            changes.push_back({object->key, object});
        }
        model::Mesh mesh({.references_warn = true, .lanes = {model::Lane::kDirect, model::Lane::kProxy}});
        auto delta = mesh.apply(changes);
        for (const Diagnostic& one : delta ? delta->warnings.items : std::vector<Diagnostic>()) {
            found.add(one);
        }
        std::set<std::string> codes;
        for (const Diagnostic& one : found.items) {
            codes.emplace(code_of(one));
        }
        std::string all;
        for (const std::string& each : codes) {
            EXPECT_TRUE(each.empty() || find_page(each) != nullptr);
            all += (all.empty() ? "" : " ") + each;
        }
        return all;
    };
    EXPECT_EQ(code(rules("  - route: [{destination: {host: ranker, subset: v45}}]\n"
                         "  - route: [{destination: {host: ranker, subset: v47}}]")),
              "SL103");
    EXPECT_EQ(code(rules("  - route:\n    - {destination: {host: ranker, subset: v45}}\n"
                         "    - {destination: {host: ranker, subset: v47}, weight: 10}")),
              "SL108");
    EXPECT_EQ(code(rules("  - route: [{destination: {host: ranker}, weight: 0}]")), "SL108");
    EXPECT_EQ(
        code(kRanker + virtual_service("  - route:\n    - {destination: {host: ranker, subset: v45}, weight: 90}\n"
                                       "    - {destination: {host: ranker, subset: v47}, weight: 10}",
                                       "{sluice.dev/split: connection}")),
        "SL109");
    std::string empty = rules("  - route: [{destination: {host: ranker, subset: v46}}]");
    const std::string v46 = "{name: v46, labels: {version: v46}}";
    empty.replace(empty.find(v46), v46.size(), "{name: v46, labels: {version: v99}}");
    EXPECT_EQ(code(empty), "SL201");
    EXPECT_EQ(code(policy("{maxEjectionPercent: 10}")), "SL202");
    std::string pool = policy("{maxEjectionPercent: 100}");
    pool.replace(pool.find("{outlierDetection"), 1, "{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}, ");
    EXPECT_EQ(code(pool), "SL203");
    EXPECT_EQ(code(rules("  - name: split\n    route:\n    - {destination: {host: ranker, subset: v45}, weight: 1}\n"
                         "    - {destination: {host: ranker, subset: v47}, weight: 99}") +
                   "apiVersion: sluice.dev/v1\nkind: Experiment\nmetadata: {name: e, namespace: ml}\n"
                   "spec: {host: ranker, route: split, httpHeaderName: x-user-id, buckets: 10}\n"),
              "SL307")
        << "the first one has no bucket";
}

TEST(Advice, PagesAreInOrderAndSayWhatIsWrongAndRight) {
    std::string before;
    for (const Page& page : pages()) {
        EXPECT_LT(before, page.code);
        before = page.code;
        EXPECT_FALSE(page.title.empty());
        EXPECT_TRUE(page.text.starts_with('\n') && page.text.ends_with('\n')) << page.code;
        EXPECT_THAT(std::string(page.text), testing::AnyOf(HasSubstr("\nright"), HasSubstr("\nno change")))
            << page.code;
        std::istringstream lines{std::string(page.text)};
        for (std::string line; std::getline(lines, line);) {
            EXPECT_LE(line.size(), 120u) << line;
        }
    }
    EXPECT_EQ(find_page("SL000"), nullptr);
    EXPECT_EQ(find_page("SL101")->title, "a retry that can never begin");
}

}  // namespace
}  // namespace sluice::verify::test
