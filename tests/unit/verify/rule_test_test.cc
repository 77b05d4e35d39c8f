// Rule tests as they are written: what is read, what is refused with its place, and what differs.
#include <gmock/gmock.h>

#include "tests/unit/verify/meshes.h"
#include "verify/coverage.h"
#include "verify/rule_test.h"

namespace sluice::verify::test {
namespace {

using testing::HasSubstr;

const std::string kRules = std::string(kRanker) + virtual_service(R"(
  - name: premium
    match:
    - headers: {x-segment: {exact: premium}}
    - uri: {prefix: /premium}
    route: [{destination: {host: ranker, subset: v47}}]
  - {name: old, match: [{uri: {prefix: /old}}], redirect: {uri: /new}}
  - name: split
    route:
    - {destination: {host: ranker, subset: v45}, weight: 90}
    - {destination: {host: ranker, subset: v47}, weight: 10}
    timeout: 200ms
    retries: {attempts: 2, perTryTimeout: 80ms, retryOn: "5xx,503"}
    headers: {request: {set: {x-team: ml}, remove: [x-debug]}, response: {set: {x-mesh: "yes"}}}
    fault: {delay: {fixedDelay: 5ms, percentage: {value: 10}}}
    mirror: {host: ranker, subset: v46}
    mirrorPercentage: {value: 12.5}
)");

RuleTests read(const std::string& text) {
    Diagnostics diagnostics;
    auto tests = read_rule_tests(text, "x.test.yaml", diagnostics);
    EXPECT_TRUE(tests.has_value()) << (diagnostics.items.empty() ? "" : diagnostics.items.front().text());
    return tests.value_or(RuleTests{});
}

std::string errors(const std::string& text) {
    Diagnostics diagnostics;
    EXPECT_FALSE(read_rule_tests(text, "x.test.yaml", diagnostics).has_value()) << text;
    std::string all;
    for (const Diagnostic& one : diagnostics.items) {
        all += one.text() + "\n";
    }
    return all;
}

// "FIELD|EXPECTED|FOUND;" of each difference of the only test with these expectations.
std::string differences(const std::string& request, const std::string& expect) {
    static const World world(kRules);
    const RuleTests tests = read("tests:\n- name: x\n  request: " + request + "\n  expect: " + expect + "\n");
    if (tests.tests.empty()) {
        return "unread";
    }
    std::string all;
    for (const Mismatch& one : run_rule_test(*world.oracle, tests.tests.front()).mismatches) {
        all += one.field + "|" + one.expected + "|" + one.found + ";";
    }
    return all;
}

constexpr const char* kPlain = "{host: ranker, client: {namespace: ml}}";
constexpr const char* kPremium = "{host: ranker, headers: {x-segment: premium}, client: {namespace: ml}}";

TEST(RuleTest, WhatHoldsPasses) {
    EXPECT_EQ(differences(kPlain, R"({service: ranker.ml, route: split, subsets: {v45: 90, v47: 10}, lane: proxy,
      timeout: 200ms, retries: {attempts: 2, perTryTimeout: 80ms, retryOn: "503,5xx"},
      mirrors: [{subset: v46, percentage: 12.5}], target: /, fault: {delay: {fixedDelay: 5ms, percentage: 10}},
      headers: {request: {set: {x-team: ml}, remove: [x-debug]}, response: {add: {x-mesh: "yes"}}}, experiment: {}})"),
              "");
    EXPECT_EQ(differences(kPremium, "{route: premium, subset: v47, timeout: 0s, mirrors: [], fault: {}}"), "");
    EXPECT_EQ(differences("{host: ranker, path: /old?x, headers: {host: ranker}, client: {namespace: ml}}",
                          "{status: 301, location: \"http://ranker/new?x\"}"),
              "");
    EXPECT_EQ(differences("{host: nobody}", "{error: no service 'nobody'}"), "");
}

TEST(RuleTest, WhatDoesNotHoldIsToldWithWhatWasFound) {
    EXPECT_EQ(differences(kPremium, "{subset: v45}"), "subset|v45|v47 100%;");
    EXPECT_EQ(differences(kPlain, "{subset: v45}"), "subset|v45|v45 90%, v47 10%;");
    EXPECT_EQ(differences(kPlain, "{subsets: {v45: 85, v47: 15}}"), "subsets|v45 85%, v47 15%|v45 90%, v47 10%;");
    EXPECT_EQ(differences(kPlain, "{subsets: {v45: 90, v46: 10}}"), "subsets|v45 90%, v46 10%|v45 90%, v47 10%;");
    EXPECT_EQ(differences(kPlain, "{route: premium}"), "route|premium|split;");
    EXPECT_EQ(differences(kPlain, "{route: \"\"}"), "route|none|split;");
    EXPECT_THAT(differences(kPlain, "{lane: direct}"), HasSubstr("lane|direct|proxy, because HTTP port 8080"));
    EXPECT_EQ(differences(kPlain, "{timeout: 0s}"), "timeout|none|200ms;");
    EXPECT_EQ(differences(kPremium, "{timeout: 1500ms}"), "timeout|1.5s|none;");
    EXPECT_EQ(
        differences(kPlain, "{retries: {attempts: 1, perTryTimeout: 90ms, retryOn: 5xx}}"),
        "retries.attempts|1|2;retries.perTryTimeout|90ms|80ms;retries.retryOn|5xx|5xx,retriable-status-codes,503;");
    EXPECT_EQ(differences(kPlain, "{mirrors: []}"), "mirrors|none|v46 12.5%;");
    EXPECT_EQ(differences(kPremium, "{mirrors: [{subset: v46}]}"), "mirrors|v46 100%|none;");
    EXPECT_EQ(differences(kPlain, "{fault: {}}"), "fault|none|delay 5ms of 10%;");
    EXPECT_EQ(differences(kPlain, "{status: 404}"), "status|404|it is forwarded;");
    EXPECT_EQ(
        differences("{host: ranker, path: /old, headers: {host: ranker}, client: {namespace: ml}}", "{subset: v45}"),
        "subset|v45|redirected with 301 to http://ranker/new;");
    EXPECT_EQ(differences(kPlain, "{headers: {request: {set: {x-team: [ml, web]}, remove: [X-TEAM]}}}"),
              "headers.request.set.x-team (v45)|\"ml | web\"|\"ml\";"
              "headers.request.remove.X-TEAM (v45)|absent|\"ml\";"
              "headers.request.set.x-team (v47)|\"ml | web\"|\"ml\";"
              "headers.request.remove.X-TEAM (v47)|absent|\"ml\";");
    EXPECT_EQ(differences(kPremium, "{headers: {response: {add: {x-mesh: \"yes\"}}}}"),
              "headers.response.add.x-mesh|among others \"yes\"|absent;");
    EXPECT_THAT(differences("{host: nobody}", "{subset: v45}"), HasSubstr("|an answer|no service 'nobody'"));
    EXPECT_EQ(differences(kPlain, "{error: no service}"), "error|no service|it is answered;");
    EXPECT_EQ(differences(kPlain, "{experiment: {name: x}}"), "experiment.name|x|none;");
}

TEST(RuleTest, SharesMayBeRoundedAndHostsShortened) {
    const World world(std::string(kRanker) + virtual_service(R"(
  - route:
    - {destination: {host: ranker, subset: v45}, weight: 1}
    - {destination: {host: ranker, subset: v46}, weight: 1}
    - {destination: {host: ranker}, weight: 1}
)"));
    const RuleTests tests = read(
        "tests:\n- {name: a, request: {host: ranker}, expect: {subsets: {v45: 33.33, v46: 33.33, ranker: 33.34}}}\n"
        "- {name: b, request: {host: ranker}, expect: {subsets: {v45: 33.4, v46: 33.4, ranker.ml: 33.2}}}\n");
    EXPECT_TRUE(run_rule_test(*world.oracle, tests.tests[0]).passed());
    EXPECT_FALSE(run_rule_test(*world.oracle, tests.tests[1]).passed());
}

TEST(RuleTest, DefaultsAreOfAllRequestsWhereverTheyStand) {
    const RuleTests tests = read(R"(rules: ../rules
tests:
- name: one
  request: {path: /a, headers: {X-User: "2"}}
  expect: {subset: v45}
- name: two
  request: {client: {labels: {app: web}}}
  expect: {subset: v45}
defaults:
  host: ranker
  port: 8080
  method: POST
  headers: {x-user: "1", x-team: [a, b]}
  client: {namespace: ml, labels: {app: batch, tier: "1"}}
)");
    ASSERT_EQ(tests.tests.size(), 2u);
    EXPECT_EQ(tests.rules, "../rules");
    const Question& one = tests.tests[0].request;
    EXPECT_EQ(one.host, "ranker");
    EXPECT_EQ(one.port, 8080);
    EXPECT_EQ(one.method, "POST");
    EXPECT_EQ(one.path, "/a");
    EXPECT_EQ(one.headers, (Fields{{"x-team", "a"}, {"x-team", "b"}, {"X-User", "2"}}));
    EXPECT_EQ(one.client_namespace, "ml");
    EXPECT_EQ(tests.tests[1].request.client_labels, (config::Labels{{"app", "web"}, {"tier", "1"}}));
    EXPECT_EQ(tests.tests[1].line, 6);
}

TEST(RuleTest, WhatIsWrongIsReportedWithItsPlace) {
    EXPECT_EQ(errors(""), "x.test.yaml:1:1: found no tests; a file of rule tests has at least one\n");
    EXPECT_THAT(errors("rules: .\n"), HasSubstr("tests: is required and missing"));
    EXPECT_THAT(errors("tests: []\n"), HasSubstr("tests: is required and missing"));
    EXPECT_THAT(errors("tests:\n- name: a\n  request: {host: r}\n  expect: {subsett: v45}\n"),
                HasSubstr("x.test.yaml:4:12: tests[0].expect.subsett: unknown field; did you mean \"subset\"?"));
    EXPECT_THAT(errors("tests:\n- name: a\n  reqest: {host: r}\n  expect: {subset: v45}\n"),
                HasSubstr("x.test.yaml:3:3: tests[0].reqest: unknown field"));
    EXPECT_THAT(errors("tests:\n- request: {host: r}\n  expect: {subset: v45}\n"),
                HasSubstr("tests[0].name: is required"));
    EXPECT_THAT(errors("tests:\n- name: a\n  expect: {subset: v45}\n"), HasSubstr("tests[0]: the request has no host"));
    EXPECT_THAT(errors("tests:\n- name: a\n  request: {host: r}\n"), HasSubstr("tests[0].expect: is required"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r}, expect: {}}\n"), HasSubstr("the test says nothing"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r}, expect: {subsets: {v45: 90}}}\n"),
                HasSubstr("add up to 90; 100 is needed"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r}, expect: {subset: a, subsets: {a: 100}}}\n"),
                HasSubstr("found subset and subsets"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r}, expect: {error: x, status: 404}}\n"),
                HasSubstr("found error beside others"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r}, expect: {status: 200}}\n"
                       "- {name: a, request: {host: r}, expect: {status: 200}}\n"),
                HasSubstr("x.test.yaml:3:3: tests[1]: found a second test with the name \"a\""));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r, headers: {x-user: 42}}, expect: {status: 200}}\n"),
                HasSubstr("put it in quotes"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r, headers: {\"x y\": \"1\"}}, expect: {status: 200}}\n"),
                HasSubstr("no name of a header field"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r, headers: {x: \"1\\r\\n2\"}}, expect: {status: 200}}\n"),
                HasSubstr("without control characters"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r, port: 0}, expect: {status: 200}}\n"),
                HasSubstr("an integer from 1 to 65535"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r}, expect: {retries: {attempts: 1, backoff: 1s}}}\n"),
                HasSubstr("backoff: unknown field"));
    EXPECT_THAT(errors("tests:\n- {name: a, request: {host: r}, expect: {lane: fast}}\n"),
                HasSubstr("allowed: direct, kernel, proxy"));
    EXPECT_THAT(errors("tests: []\n---\ntests: []\n"), HasSubstr("x.test.yaml:3:1: found a second document"));
    EXPECT_THAT(errors("tests: &a []\n"), HasSubstr("anchor"));
    EXPECT_THAT(errors("tests: [\n"), HasSubstr("not valid YAML"));
    EXPECT_THAT(errors("- a\n"), HasSubstr("a mapping is needed"));
    EXPECT_THAT(errors("tests: \"\xff\"\n"), HasSubstr("x.test.yaml:1:"));
    EXPECT_THAT(errors("items: []\ntests:\n- {name: a, request: {host: r}, expect: {status: 200}}\n"),
                HasSubstr("items: unknown field"));
}

TEST(RuleTest, TheRuleThatDecidedHasAPlace) {
    const World world(kRules);
    const RuleTests tests = read(
        "tests:\n- name: a\n  request: {host: ranker, path: /premium}\n  expect: {subset: v45}\n"
        "- name: b\n  request: {host: ranker}\n  expect: {subset: v45}\n");
    const Verdict element = run_rule_test(*world.oracle, tests.tests[0]);
    const Verdict rule = run_rule_test(*world.oracle, tests.tests[1]);
    const std::string premium = "rules.yaml:" + std::to_string(element.answer->rule->rule->place.line + 3);
    EXPECT_EQ(element.decided, premium) << "the second element of its match";
    EXPECT_EQ(rule.decided, "rules.yaml:" + std::to_string(rule.answer->rule->rule->place.line));
}

TEST(Coverage, CountsRulesAndElementsOfTheirMatches) {
    const World world(kRules);
    Coverage coverage(world.mesh);
    ASSERT_EQ(coverage.elements().size(), 4u);
    EXPECT_EQ(coverage.elements()[1].field(), "spec.http[0].match[1]");
    EXPECT_EQ(coverage.elements()[3].field(), "spec.http[2]");
    EXPECT_EQ(coverage.covered(), 0u);
    coverage.hit(world.ask(from("ml", "ranker")));
    coverage.hit(world.ask(from("ml", "ranker", {}, "/premium")));
    coverage.hit(world.ask(from("ml", "ranker", {}, "/premium")));
    EXPECT_EQ(coverage.covered(), 2u);
    EXPECT_DOUBLE_EQ(coverage.percent(), 50);
    EXPECT_EQ(coverage.elements()[0].hits, 0u);
    EXPECT_EQ(coverage.elements()[1].hits, 2u);
    EXPECT_EQ(coverage.elements()[3].hits, 1u);
}

TEST(Coverage, TcpRulesAreHitByTheirPorts) {
    std::string tcp = kRanker;
    tcp.replace(tcp.find("protocol: HTTP"), 14, "protocol: TCP");
    const World world(tcp +
                      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: ml}\n"
                      "spec:\n  hosts: [ranker]\n  tcp:\n  - route: [{destination: {host: ranker, subset: v45}}]\n");
    Coverage coverage(world.mesh);
    EXPECT_EQ(coverage.elements().front().field(), "spec.tcp[0]");
    coverage.hit(world.ask(from("ml", "ranker")));
    EXPECT_DOUBLE_EQ(coverage.percent(), 100);
}

}  // namespace
}  // namespace sluice::verify::test
