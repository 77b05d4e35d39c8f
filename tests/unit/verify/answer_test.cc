// What the oracle says of requests; the differential test against a real proxy is tests/e2e/test_rule_tests.py.
#include <random>

#include "proxy/routing.h"
#include "tests/unit/verify/meshes.h"

namespace sluice::verify::test {
namespace {

const std::string kCanary = std::string(kRanker) + virtual_service(R"(
  - name: premium
    match:
    - {name: gold, headers: {x-segment: {exact: gold}}}
    - {headers: {x-segment: {exact: premium}}, uri: {prefix: /v1}}
    route: [{destination: {host: ranker, subset: v47}}]
  - name: split
    route:
    - {destination: {host: ranker, subset: v45}, weight: 90}
    - {destination: {host: ranker, subset: v47}, weight: 10}
    timeout: 200ms
    retries: {attempts: 2, perTryTimeout: 80ms, retryOn: 5xx}
    mirrors:
    - {destination: {host: ranker, subset: v46}, percentage: {value: 25}}
)");

TEST(Oracle, SaysRuleElementSharesAndPolicies) {
    const World world(kCanary);
    const Answer split = world.ask(from("ml", "ranker"));
    EXPECT_EQ(split.route, "split");
    EXPECT_EQ(split.lane, model::Lane::kProxy);
    EXPECT_FALSE(split.lane_reasons.empty());
    ASSERT_NE(split.rule, nullptr);
    EXPECT_EQ(split.element, std::nullopt);
    EXPECT_EQ(world.shares(from("ml", "ranker")), "v45 90 v47 10");
    EXPECT_EQ(split.timeout, std::chrono::milliseconds(200));
    EXPECT_EQ(split.retries, 2u);
    EXPECT_EQ(split.per_try_timeout, std::chrono::milliseconds(80));
    EXPECT_TRUE(split.retry_on.has(config::RetryOn::k5xx));
    ASSERT_EQ(split.mirrors.size(), 1u);
    EXPECT_EQ(split.mirrors[0].name, "v46");
    EXPECT_DOUBLE_EQ(split.mirrors[0].share, 0.25);
    EXPECT_EQ(split.status, 0);

    const Answer gold = world.ask(from("ml", "ranker", {{"x-segment", "gold"}}));
    EXPECT_EQ(gold.route, "premium.gold");
    EXPECT_EQ(gold.element, 0u);
    EXPECT_EQ(gold.rule->name, "premium");
    EXPECT_EQ(gold.timeout, std::chrono::nanoseconds(0));
    EXPECT_EQ(gold.retries, 2u) << "Istio's default";
    const Answer premium = world.ask(from("ml", "ranker", {{"X-Segment", "premium"}}, "/v1/x?y"));
    EXPECT_EQ(premium.element, 1u);
    EXPECT_EQ(world.shares(from("ml", "ranker", {{"X-Segment", "premium"}}, "/v1/x?y")), "v47 100");
    EXPECT_EQ(world.ask(from("ml", "ranker", {{"x-segment", "premium"}}, "/v2")).route, "split");
}

TEST(Oracle, FindsTheServiceAsAClientDialsIt) {
    const World world(kCanary);
    for (const char* host : {"ranker", "ranker.ml", "RANKER.ml.svc", "ranker.ml.svc.cluster.local", "127.1.0.10"}) {
        EXPECT_EQ(world.ask(from("ml", host)).route, "split") << host;
    }
    EXPECT_EQ(world.ask(from("ads", "ranker")).route, "split") << "the only one whose host begins so";
    EXPECT_NE(world.refusal(from("ml", "nobody")).find("no service 'nobody'"), std::string::npos);
    Question question = from("ml", "ranker");
    question.port = 9090;
    EXPECT_NE(world.refusal(question).find("has no port 9090; it has ranker.ml.svc.cluster.local:8080"),
              std::string::npos);
}

TEST(Oracle, ANameOfSeveralServicesIsRefusedUnlessItIsTheClientsOwn) {
    std::string other = kRanker;
    for (std::size_t at = 0; (at = other.find("namespace: ml", at)) != std::string::npos; at += 5) {
        other.replace(at, 13, "namespace: ads");
    }
    other.replace(other.find("ranker.ml"), 9, "ranker.ads");
    other.replace(other.find("127.1.0.10"), 10, "127.1.0.11");
    const World world(kCanary + other);
    EXPECT_EQ(world.ask(from("ads", "ranker")).service->host, "ranker.ads.svc.cluster.local");
    EXPECT_EQ(world.ask(from("ml", "ranker")).service->host, "ranker.ml.svc.cluster.local");
    EXPECT_NE(world.refusal(from("web", "ranker")).find("means several services: ranker.ads.svc"), std::string::npos);
}

TEST(Oracle, TheHostFieldPicksTheRulesOnTheProxyLane) {
    std::string other = kRanker;
    for (std::size_t at = 0; (at = other.find("ranker", at)) != std::string::npos; at += 6) {
        other.replace(at, 6, "tagger");
    }
    for (std::size_t at = 0; (at = other.find("127.1.", at)) != std::string::npos; at += 6) {
        other.replace(at, 6, "127.2.");
    }
    const World world(kCanary + other);
    EXPECT_EQ(world.ask(from("ml", "ranker", {{"Host", "tagger"}})).service->host, "tagger.ml.svc.cluster.local");
    EXPECT_EQ(world.ask(from("ml", "ranker", {{"Host", "nobody.example"}})).route, "split");
    // The direct lane looks at no request.
    const Answer direct = world.ask(from("ml", "tagger", {{"Host", "ranker"}}));
    EXPECT_EQ(direct.lane, model::Lane::kDirect);
    EXPECT_EQ(direct.service->host, "tagger.ml.svc.cluster.local");
    EXPECT_EQ(direct.route, "default");
    EXPECT_EQ(direct.retries, 0u);
    EXPECT_EQ(field(direct.headers, "Host"), "ranker");
    EXPECT_EQ(world.shares(from("ml", "tagger")), "tagger.ml.svc.cluster.local 100");
}

TEST(Oracle, HostIsWhatClientsSend) {
    const World world(kRanker + virtual_service(R"(
  - {match: [{authority: {exact: "ranker:8080"}}], name: port, route: [{destination: {host: ranker}}]}
  - {name: rest, route: [{destination: {host: ranker}}]}
)"));
    EXPECT_EQ(world.ask(from("ml", "ranker")).route, "port");
    EXPECT_EQ(world.ask(from("ml", "ranker", {{"host", "ranker"}})).route, "rest");
}

TEST(Oracle, SplitByConnectionHasItsWeights) {
    const World world(kRanker + virtual_service(R"(
  - route:
    - {destination: {host: ranker, subset: v45}, weight: 3}
    - {destination: {host: ranker, subset: v47}, weight: 1}
)",
                                                "{sluice.dev/split: connection}"));
    EXPECT_EQ(world.shares(from("ml", "ranker")), "v45 75 v47 25");
    EXPECT_EQ(world.ask(from("ml", "ranker")).lane, model::Lane::kDirect);
}

TEST(Oracle, TcpPortsHaveWeightsOnly) {
    std::string tcp = kRanker;
    tcp.replace(tcp.find("protocol: HTTP"), 14, "protocol: TCP");
    const World world(tcp +
                      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: ml}\n"
                      "spec:\n  hosts: [ranker]\n  tcp:\n  - route:\n"
                      "    - {destination: {host: ranker, subset: v45}, weight: 1}\n"
                      "    - {destination: {host: ranker, subset: v47}, weight: 1}\n");
    const Answer answer = world.ask(from("ml", "ranker"));
    EXPECT_EQ(world.shares(from("ml", "ranker")), "v45 50 v47 50");
    EXPECT_EQ(answer.lane, model::Lane::kDirect);
    EXPECT_EQ(answer.rule, nullptr);
    EXPECT_TRUE(answer.headers.empty());
}

TEST(Oracle, NoRuleIsNotFound) {
    const World world(kRanker + virtual_service(R"(
  - {match: [{uri: {prefix: /v1}}], route: [{destination: {host: ranker}}]}
)"));
    const Answer answer = world.ask(from("ml", "ranker", {}, "/v2"));
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.rule, nullptr);
    EXPECT_TRUE(answer.subsets.empty());
    // Dot segments are removed before matching.
    EXPECT_EQ(world.ask(from("ml", "ranker", {}, "/x/../v1/y")).status, 0);
    EXPECT_EQ(world.ask(from("ml", "ranker", {}, "/%00")).status, 400);
}

TEST(Oracle, LocalAnswersHaveAStatus) {
    const World world(kRanker + virtual_service(R"(
  - {name: away, match: [{uri: {prefix: /old}}], redirect: {uri: /new, redirectCode: 302}}
  - {name: said, match: [{uri: {prefix: /health}}], directResponse: {status: 204}}
  - name: broken
    match: [{uri: {prefix: /broken}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: ranker}}]
  - name: rest
    fault: {abort: {httpStatus: 500, percentage: {value: 50}}}
    route: [{destination: {host: ranker}}]
)"));
    const Answer away = world.ask(from("ml", "ranker", {{"host", "ranker"}}, "/old?q=1"));
    EXPECT_EQ(away.status, 302);
    EXPECT_EQ(away.location, "http://ranker/new?q=1");
    EXPECT_EQ(world.ask(from("ml", "ranker", {}, "/health")).status, 204);
    EXPECT_EQ(world.ask(from("ml", "ranker", {}, "/broken")).status, 418);
    EXPECT_EQ(world.ask(from("ml", "ranker")).status, 0) << "half of them are forwarded";
}

TEST(Oracle, ARequestThatNobodyCanSendIsAnError) {
    const World world(kCanary);
    EXPECT_NE(world.refusal(from("ml", "ranker", {{"x y", "1"}})).find("no header field"), std::string::npos);
    EXPECT_NE(world.refusal(from("ml", "ranker", {{"x", "1\r\nHost: other"}})).find("no header field"),
              std::string::npos);
    EXPECT_NE(world.refusal(from("ml", "ranker", {}, "/a b")).find("is no path"), std::string::npos);
    EXPECT_NE(world.refusal(from("ml", "ranker", {{"Content-Length", "x"}})).find("no client could send"),
              std::string::npos);
    Question question = from("ml", "ranker");
    question.method = "G T";
    EXPECT_NE(world.refusal(question).find("is no method"), std::string::npos);
    question.method = "CONNECT";
    question.path = "ranker:8080";
    EXPECT_EQ(world.ask(question).status, 403);
}

TEST(Oracle, TargetAndHeadersAreTheUpstreams) {
    const World world(kRanker + virtual_service(R"(
  - match: [{uri: {prefix: /v1/}}]
    rewrite: {uri: /api/, authority: inner}
    headers: {request: {set: {x-team: ml}, remove: [x-debug]}, response: {add: {x-served-by: mesh}}}
    route:
    - destination: {host: ranker, subset: v45}
      weight: 30
    - destination: {host: ranker, subset: v47}
      weight: 70
      headers: {request: {add: {x-canary: "yes"}}, response: {set: {x-version: v47}}}
)"));
    const Answer answer = world.ask(from("ml", "ranker", {{"x-debug", "1"}, {"X-Kept", "2"}}, "/v1/rank?q=%31"));
    ASSERT_EQ(answer.upstreams.size(), 2u);
    EXPECT_EQ(answer.target, "/api/rank?q=%31");
    EXPECT_EQ(field(answer.headers, "host"), "inner");
    EXPECT_EQ(field(answer.headers, "x-team"), "ml");
    EXPECT_EQ(field(answer.headers, "x-debug"), "-");
    EXPECT_EQ(field(answer.headers, "X-Kept"), "2");
    EXPECT_EQ(field(answer.headers, "x-canary"), "yes") << "the likeliest destination's";
    EXPECT_EQ(field(answer.headers, "x-request-id"), "-");
    EXPECT_EQ(field(answer.upstreams[0].headers, "x-canary"), "-");
    EXPECT_EQ(field(answer.upstreams[0].response_headers, "x-served-by"), "mesh");
    EXPECT_EQ(field(answer.upstreams[0].response_headers, "x-version"), "-");
    EXPECT_EQ(field(answer.upstreams[1].response_headers, "x-version"), "v47");
}

const std::string kSticky =
    std::string(kRanker) + virtual_service(R"(
  - name: by-user
    route:
    - {destination: {host: ranker, subset: v45}, weight: 80}
    - {destination: {host: ranker, subset: v47}, weight: 20}
)") +
    "apiVersion: sluice.dev/v1\nkind: Experiment\nmetadata: {name: ranking-v47, namespace: ml}\n"
    "spec: {host: ranker, route: by-user, httpHeaderName: x-user-id}\n";

TEST(Oracle, AKeyOfAnExperimentHasItsArm) {
    const World world(kSticky);
    const Answer drawn = world.ask(from("ml", "ranker"));
    EXPECT_EQ(world.shares(from("ml", "ranker")), "v45 80 v47 20");
    EXPECT_EQ(drawn.experiment, "");
    EXPECT_EQ(drawn.bucket, std::nullopt);
    // python3: int(hashlib.md5(b"user-1:ranking-v47").hexdigest()[:8], 16) % 100
    const Answer one = world.ask(from("ml", "ranker", {{"x-user-id", "user-1"}}));
    EXPECT_EQ(one.experiment, "ranking-v47");
    ASSERT_TRUE(one.bucket.has_value());
    EXPECT_EQ(one.arm, *one.bucket < 80 ? "v45" : "v47");
    EXPECT_EQ(one.subsets, (std::vector<std::pair<std::string, double>>{{one.arm, 1.0}}));
    ASSERT_EQ(one.upstreams.size(), 1u);
    EXPECT_EQ(world.ask(from("ml", "ranker", {{"x-user-id", ""}})).experiment, "") << "an empty key is none";
}

TEST(Oracle, TheClientsLabelsAndNamespaceCount) {
    const World world(kRanker + virtual_service(R"(
  - {name: web, match: [{sourceLabels: {app: web}}], route: [{destination: {host: ranker, subset: v45}}]}
  - {name: ads, match: [{sourceNamespace: ads}], route: [{destination: {host: ranker, subset: v46}}]}
  - {name: rest, route: [{destination: {host: ranker, subset: v47}}]}
)"));
    Question web = from("ml", "ranker");
    web.client_labels = {{"app", "web"}, {"version", "v1"}};
    EXPECT_EQ(world.ask(web).route, "web");
    EXPECT_EQ(world.ask(from("ml", "ranker")).route, "rest");
    EXPECT_EQ(world.ask(from("ads", "ranker")).route, "ads");
}

// The shares are those that the proxy's own draw has.
TEST(Oracle, SharesAreThoseOfTheDraw) {
    const World world(kCanary);
    std::map<std::string, int> seen;
    const Answer answer = world.ask(from("ml", "ranker"));
    const proxy::Table::Numbers numbers{[](const Identity&) { return 0u; },
                                        [](const model::ServicePortKey&) { return 0u; }};
    const auto table = proxy::Table::build(nullptr, world.mesh.services(), numbers);
    const proxy::Rule& rule = (*table)->find("ml", "ranker.ml.svc.cluster.local", 8080)->rules.back();
    std::mt19937_64 random(7);
    const proxy::Asked asked;
    constexpr int kDraws = 100'000;
    for (int i = 0; i < kDraws; ++i) {
        const auto chosen = proxy::choose(rule, asked, random());
        ++seen[rule.destinations[*chosen].cluster->model().subset];
    }
    for (const auto& [name, share] : answer.subsets) {
        EXPECT_NEAR(seen[name], share * kDraws, 500) << name;
    }
}

}  // namespace
}  // namespace sluice::verify::test
