// Canary: defaults, units, what is kept of internal.
#include <gtest/gtest.h>

#include "config/http_rule.h"
#include "config/names.h"
#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const std::string kHead = "apiVersion: sluice.dev/v1\nkind: Canary\nmetadata: {name: v47}\nspec:\n";
const std::string kLeast =
    "  host: ranker\n  champion: v45\n  challenger: v47\n  stages: [{weight: 10, hold: 1m}]\n"
    "  gates: [{errorRate: {max: 1}}]\n";

Canary canary(const std::string& more) {
    return one<Canary>(kHead + kLeast + more);
}
Gate gate(const std::string& text) {
    const Canary made = one<Canary>(kHead + kLeast.substr(0, kLeast.find("  gates")) +
                                    "  prometheus: http://p:9090\n  gates: [" + text + "]\n");
    return made.gates.empty() ? Gate{} : made.gates.front();
}

TEST(CanaryTest, Defaults) {
    const Canary made = canary("");
    EXPECT_EQ(made.host, "ranker");
    EXPECT_EQ(made.host_place.line, 5);
    EXPECT_EQ(made.host_place.column, 9);
    EXPECT_EQ(made.route, "");
    EXPECT_EQ(made.champion, "v45");
    EXPECT_EQ(made.challenger, "v47");
    EXPECT_FALSE(made.mirror);
    EXPECT_EQ(made.internal, "");
    EXPECT_EQ(made.interval, seconds(10));
    EXPECT_EQ(made.minimum_requests, 100u);
    EXPECT_EQ(made.data_timeout, minutes(10));
    EXPECT_DOUBLE_EQ(made.confidence, 0.95);
    EXPECT_EQ(made.prometheus, "");
    EXPECT_FALSE(made.metrics_from_prometheus);
}

TEST(CanaryTest, StagesAndTheMirror) {
    const Canary made =
        one<Canary>(kHead +
                    "  host: ranker\n  champion: v45\n  challenger: v47\n  gates: [{errorRate: {max: 1}}]\n"
                    "  mirror: {percentage: 12.5, hold: 5m}\n"
                    "  stages: [{weight: 5, hold: 1m}, {weight: 25, hold: 1h30m}, {weight: 100}]\n");
    ASSERT_EQ(made.stages.size(), 3u);
    EXPECT_EQ(made.stages[1].weight, 25u);
    EXPECT_EQ(made.stages[1].hold, minutes(90));
    EXPECT_EQ(made.stages[2].weight, 100u);
    EXPECT_EQ(made.stages[2].hold, seconds(0));
    ASSERT_TRUE(made.mirror);
    EXPECT_EQ(made.mirror->share, 125'000u);
    EXPECT_EQ(made.mirror->hold, minutes(5));
    EXPECT_EQ(canary("  mirror: {hold: 5m}\n").mirror->share, 1'000'000u);
    EXPECT_EQ(canary("  mirror: {percentage: 0.0003, hold: 5m}\n").mirror->share, 3u);
}

TEST(CanaryTest, NumbersInTheirUnits) {
    const Canary made = canary(
        "  confidence: 99.9\n  minimumRequests: 500\n  dataTimeout: 0s\n  interval: 250ms\n"
        "  metrics: prometheus\n  prometheus: https://prometheus.monitoring.svc.cluster.local:9090/base\n");
    EXPECT_DOUBLE_EQ(made.confidence, 0.999);
    EXPECT_EQ(made.minimum_requests, 500u);
    EXPECT_EQ(made.data_timeout, seconds(0));
    EXPECT_EQ(made.interval, milliseconds(250));
    EXPECT_TRUE(made.metrics_from_prometheus);
    EXPECT_EQ(made.prometheus, "https://prometheus.monitoring.svc.cluster.local:9090/base");
}

TEST(CanaryTest, GatesOfRequests) {
    const Gate errors = gate("{errorRate: {max: 1, regression: 0.5}}");
    EXPECT_EQ(errors.kind, Gate::Kind::kErrorRate);
    EXPECT_EQ(errors.name, "errorRate");
    EXPECT_DOUBLE_EQ(*errors.max, 0.01);
    EXPECT_DOUBLE_EQ(*errors.regression, 0.005);
    EXPECT_EQ(errors.place.line, 10);
    const Gate tail = gate("{name: tail, latency: {quantile: 99.9, max: 150ms, regression: 10}}");
    EXPECT_EQ(tail.kind, Gate::Kind::kLatency);
    EXPECT_EQ(tail.name, "tail");
    EXPECT_DOUBLE_EQ(tail.quantile, 0.999);
    EXPECT_DOUBLE_EQ(*tail.max, 0.15);
    EXPECT_DOUBLE_EQ(*tail.regression, 0.1);
    EXPECT_DOUBLE_EQ(gate("{latency: {max: 1s}}").quantile, 0.99);
    EXPECT_FALSE(gate("{latency: {max: 1s}}").regression);
    EXPECT_EQ(gate("{latency: {regression: 10}}").tolerance, 0);
    EXPECT_DOUBLE_EQ(gate("{latency: {regression: 10, tolerance: 2ms}}").tolerance, 0.002);
}

TEST(CanaryTest, GatesThatAsk) {
    const Gate query =
        gate("{query: {promql: \"q{v='{{version}}'}\", max: 1, min: -0.5, regression: 10, failures: 2, timeout: 2s}}");
    EXPECT_EQ(query.kind, Gate::Kind::kQuery);
    EXPECT_EQ(query.query, "q{v='{{version}}'}");
    EXPECT_EQ(query.champion_query, "");
    EXPECT_EQ(query.version_label, "destination_version");
    EXPECT_DOUBLE_EQ(*query.max, 1);
    EXPECT_DOUBLE_EQ(*query.min, -0.5);
    EXPECT_DOUBLE_EQ(*query.regression, 0.1);
    EXPECT_EQ(query.failures, 2u);
    EXPECT_EQ(query.timeout, seconds(2));
    EXPECT_EQ(gate("{query: {promql: q, versionLabel: v, max: 1}}").version_label, "v");
    EXPECT_EQ(gate("{query: {promql: q, championPromql: c, regression: 0}}").champion_query, "c");
    const Gate hook = gate("{webhook: {url: 'http://[::1]:9000/gate?a=b', failures: 3}}");
    EXPECT_EQ(hook.kind, Gate::Kind::kWebhook);
    EXPECT_EQ(hook.url, "http://[::1]:9000/gate?a=b");
    EXPECT_EQ(hook.failures, 3u);
    EXPECT_EQ(hook.timeout, seconds(5));
}

// What is pasted into a VirtualService must be what the canary said.
TEST(CanaryTest, InternalIsKeptAsJson) {
    const Canary made = canary(
        "  internal:\n  - headers: {x-user-segment: {exact: internal}, x-any: null}\n    port: 8080\n"
        "    ignoreUriCase: true\n    uri: {prefix: '/a\"b'}\n  - {queryParams: {debug: {exact: \"1\"}}}\n");
    EXPECT_EQ(made.internal,
              R"([{"headers":{"x-user-segment":{"exact":"internal"},"x-any":null},"port":8080,"ignoreUriCase":true,)"
              R"("uri":{"prefix":"/a\"b"}},{"queryParams":{"debug":{"exact":"1"}}}])");
    EXPECT_EQ(made.internal_place.line, 10);
    const auto pasted =
        one<VirtualService>(document("VirtualService", "spec:\n  hosts: [a]\n  http:\n  - match: " + made.internal +
                                                           "\n    route: [{destination: {host: a}}]\n"));
    ASSERT_EQ(pasted.http.size(), 1u);
    const auto& matches = pasted.http[0].http->matches;
    ASSERT_EQ(matches.size(), 2u);
    EXPECT_EQ(matches[0].headers.size(), 2u);
    EXPECT_EQ(matches[0].port, 8080);
    EXPECT_TRUE(matches[0].ignore_uri_case);
    EXPECT_EQ(matches[0].uri->text, "/a\"b");
}

TEST(CanaryTest, UrlsOfServers) {
    for (const char* good :
         {"http://a", "https://a.b.c/x/y?z=1", "http://127.0.0.1:9090", "http://[fd00::1]/", "http://a:1"}) {
        EXPECT_EQ(check_http_url(good), "") << good;
    }
    for (const char* bad :
         {"", "a", "http:/a", "file:///etc/passwd", "http:///x", "http://a:0", "http://a:65536", "http://a:1x",
          "http://a\n", "http://a b", "http://a/{x}", "http://u@a", "http://-a", "http://[a]", "HTTP://a"}) {
        EXPECT_NE(check_http_url(bad), "") << bad;
    }
}

}  // namespace
}  // namespace sluice::config::test
