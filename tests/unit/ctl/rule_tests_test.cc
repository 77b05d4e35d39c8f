// `sluice test`, the advice of `sluice validate`, and what `sluice explain` says of requests and codes.
#include <filesystem>

#include "admin/answers.h"
#include "sluice/abi/http.h"
#include "tests/unit/ctl/stand_in.h"

namespace sluice::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kHttpService = R"(apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ranker, namespace: ml}
spec:
  hosts: [ranker.ml.svc.cluster.local]
  addresses: [127.100.0.10]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
  - {address: 127.100.45.1, labels: {version: v45}}
  - {address: 127.100.47.1, labels: {version: v47}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ranker, namespace: ml}
spec: {host: ranker, subsets: [{name: v45, labels: {version: v45}}, {name: v47, labels: {version: v47}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ranker, namespace: ml}
spec:
  hosts: [ranker]
  http:
  - name: premium
    match: [{headers: {x-segment: {exact: premium}}}, {sourceNamespace: ads}]
    route: [{destination: {host: ranker, subset: v47}}]
  - name: split
    route:
    - {destination: {host: ranker, subset: v45}, weight: 90}
    - {destination: {host: ranker, subset: v47}, weight: 10}
    timeout: 200ms
)";

class RuleTestsTest : public CtlTest {
  protected:
    void SetUp() override {
        CtlTest::SetUp();
        put("rules/rules.yaml", kHttpService);
    }
    // A file of tests beside the rules' directory.
    std::string put_tests(const std::string& tests, const std::string& name = "a.test.yaml") {
        return put(name, "rules: rules\ndefaults: {host: ranker, client: {namespace: ml}}\ntests:\n" + tests);
    }
};

TEST_F(RuleTestsTest, tells_each_test_and_where_a_failure_comes_from) {
    const std::string file = put_tests(
        "- {name: premium, request: {headers: {x-segment: premium}}, expect: {subset: v47}}\n"
        "- {name: split, request: {}, expect: {subsets: {v45: 50, v47: 50}, timeout: 200ms}}\n");
    EXPECT_EQ(sluice({"test", file}), kNo) << err_;
    EXPECT_EQ(out_, file + "\n  ok    premium\n  FAIL  split\n" +
                        "        subsets   expected v45 50%, v47 50%\n                  found    v45 90%, v47 10%\n" +
                        "        decided by " + rules_ + "/rules.yaml:27 (route split); the test is " + file +
                        ":5\n\ncoverage: 2 of 3 rules and match elements (66.7%)\n  not hit: " + rules_ +
                        "/rules.yaml:25: spec.http[0].match[1] of VirtualService ml/ranker: every request\n" +
                        "2 tests: 1 passed, 1 failed\n");
}

TEST_F(RuleTestsTest, namespaces_of_tests_have_views_of_their_own) {
    const std::string file =
        put_tests("- {name: ads, request: {client: {namespace: ads}}, expect: {route: premium, subset: v47}}\n");
    EXPECT_EQ(sluice({"test", file}), kDone) << out_ << err_;
}

TEST_F(RuleTestsTest, coverage_can_be_asked_for) {
    const std::string file = put_tests("- {name: split, request: {}, expect: {timeout: 200ms}}\n");
    EXPECT_EQ(sluice({"test", file, "--min-coverage", "33"}), kDone);
    EXPECT_EQ(sluice({"test", file, "--min-coverage", "34"}), kNo);
    EXPECT_THAT(err_, HasSubstr("the tests cover 33.3% of the rules; --min-coverage is 34%"));
    EXPECT_EQ(sluice({"test", file, "--min-coverage", "101"}), kUsage);
    put_tests("- {name: premium, request: {headers: {x-segment: premium}}, expect: {route: premium}}\n", "b.test.yaml");
    EXPECT_EQ(sluice({"test", base_, "--min-coverage", "66"}), kDone) << "files about one directory count together";
}

TEST_F(RuleTestsTest, directories_are_searched_and_config_stands_in_for_rules) {
    std::filesystem::create_directory(base_ + "/deep");
    put("deep/x.test.yaml", "tests:\n- {name: a, request: {host: ranker}, expect: {status: 404}}\n");
    put("rules/beside.test.yml", "tests:\n- {name: a, request: {host: ranker}, expect: {service: ranker}}\n");
    put("rules/no_test.txt", "x");
    EXPECT_EQ(sluice({"--config", rules_, "test", base_}), kNo) << err_;
    EXPECT_THAT(out_, HasSubstr(base_ + "/deep/x.test.yaml\n  FAIL  a\n"));
    EXPECT_THAT(out_, HasSubstr("status    expected 404\n"));
    EXPECT_THAT(out_, HasSubstr(rules_ + "/beside.test.yml\n  ok    a\n"));
    EXPECT_EQ(sluice({"test", base_}), kUsage);
    EXPECT_THAT(err_, HasSubstr("names no rules"));
    EXPECT_EQ(sluice({"validate", rules_}), kDone) << "tests beside the rules are no rules: " << out_;
    EXPECT_EQ(sluice({"test", base_ + "/deep/none.yaml"}), kUsage);
    std::filesystem::create_directory(base_ + "/empty");
    EXPECT_EQ(sluice({"test", base_ + "/empty"}), kUsage);
    EXPECT_EQ(sluice({"test"}), kUsage);
}

TEST_F(RuleTestsTest, wrong_tests_are_usage_and_wrong_rules_are_an_answer) {
    const std::string file = put_tests("- {name: a, request: {}, expect: {subsett: v45}}\n");
    EXPECT_EQ(sluice({"test", file}), kUsage);
    EXPECT_THAT(err_, HasSubstr(file + ":4:35: tests[0].expect.subsett: unknown field; did you mean \"subset\"?"));
    EXPECT_EQ(out_, "");
    const std::string sound = put_tests("- {name: a, request: {}, expect: {subset: v45}}\n");
    put("rules/broken.yaml", "kind: Service\n");
    EXPECT_EQ(sluice({"test", sound}), kNo);
    EXPECT_THAT(err_, HasSubstr(rules_ + "/broken.yaml:1:"));
    EXPECT_THAT(err_, HasSubstr("has errors; nothing was tested"));
}

TEST_F(RuleTestsTest, programs_get_the_answers_too) {
    const std::string file = put_tests("- {name: split, request: {path: /x}, expect: {subset: v45}}\n");
    EXPECT_EQ(sluice({"test", file, "-o", "json"}), kNo);
    const Json found = Json::parse(out_);
    EXPECT_EQ(found["failed"], 1);
    EXPECT_EQ(found["coverage"]["missed"].size(), 2u);
    EXPECT_EQ(found["tests"][0]["failures"][0]["found"], "v45 90%, v47 10%");
    EXPECT_EQ(found["tests"][0]["answer"]["destinations"][1]["share"], 0.1);
    EXPECT_EQ(found["tests"][0]["answer"]["target"], "/x");
    const std::string report = base_ + "/report.xml";
    EXPECT_EQ(sluice({"test", file, "--junit", report}), kNo);
    std::ostringstream xml;
    xml << std::ifstream(report).rdbuf();
    EXPECT_THAT(std::move(xml).str(), HasSubstr("<failure message=\"subset: expected v45, found v45 90%, v47 10%\""));
    EXPECT_EQ(sluice({"test", file, "--junit", base_ + "/none/report.xml"}), kUsage);
}

// ---- validate

TEST_F(RuleTestsTest, validate_gives_advice_with_codes_that_fails_only_when_it_is_strict) {
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_, "--strict"}), kDone) << out_;
    std::string rules = kHttpService;
    rules.replace(rules.find("weight: 10"), 10, "weight: 20");
    put("rules/rules.yaml", rules);
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_}), kDone);
    EXPECT_THAT(out_, HasSubstr(rules_ + "/rules.yaml:27:"));
    EXPECT_THAT(out_, HasSubstr("warning: spec.http[1].route: the weights add up to 110, not to 100 (90 + 20)"));
    EXPECT_THAT(out_, HasSubstr(" [SL105]\n"));
    EXPECT_THAT(err_, HasSubstr("sluice explain CODE"));
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_, "--strict"}), kNo);
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_, "-o", "json"}), kDone);
    EXPECT_EQ(Json::parse(out_)["diagnostics"][0]["code"], "SL105");
    put("rules/broken.yaml", "kind: Service\n");
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_}), kNo);
    EXPECT_THAT(out_, Not(HasSubstr("SL105"))) << "rules with errors get no advice";
}

TEST_F(RuleTestsTest, validate_knows_the_tail_that_an_agent_measured) {
    StandIn agent(base_);
    std::vector<std::uint64_t> duration(SL_HISTOGRAM_BUCKETS);
    duration.back() = 600;  // beyond the highest bound
    const auto top = [&](std::uint64_t requests) {
        duration.back() = requests;
        return Json{{"services",
                     {{{"host", "ranker.ml.svc.cluster.local"},
                       {"port", 8080},
                       {"scope", "*"},
                       {"destinations", {{{"requests", requests}, {"duration", duration}}}}}}}}
            .dump();
    };
    agent.answer("GET /v1/top", 200, top(600));
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_}), kDone);
    EXPECT_THAT(out_, HasSubstr("spec.http[1].timeout: 200ms is less than 1.5 times the p99 that was measured"));
    EXPECT_THAT(out_, HasSubstr("[SL102]"));
    agent.answer("GET /v1/top", 200, top(400));
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_}), kDone);
    EXPECT_THAT(out_, Not(HasSubstr("SL102"))) << "too few requests to know";
    agent.answer("GET /v1/top", 200, "[1]");
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_}), kDone);
    EXPECT_THAT(out_ + err_, Not(HasSubstr("SL102")));
}

TEST_F(RuleTestsTest, validate_knows_what_a_canary_can_find) {
    const auto canary = [](const char* requests) {
        return std::string(
                   "apiVersion: sluice.dev/v1\nkind: Canary\nmetadata: {name: c, namespace: ml}\nspec:\n"
                   "  host: ranker\n  champion: v45\n  challenger: v47\n  minimumRequests: ") +
               requests +
               "\n  stages: [{weight: 5, hold: 10m}, {weight: 100}]\n  gates: [{name: errors, errorRate: {max: 1}}]\n";
    };
    put("rules/canary.yaml", canary("500"));
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_}), kDone) << out_;
    EXPECT_THAT(out_, HasSubstr("with 500 requests gate errors finds a challenger twice as bad as it allows"));
    EXPECT_THAT(out_, HasSubstr("[SL301]"));
    put("rules/canary.yaml", canary("5000"));
    EXPECT_EQ(sluice({"--run", base_, "validate", rules_}), kDone);
    EXPECT_THAT(out_, Not(HasSubstr("SL301")));
}

// ---- explain

TEST_F(RuleTestsTest, explain_tells_what_a_code_means) {
    EXPECT_EQ(sluice({"explain", "SL106"}), kDone);
    EXPECT_THAT(out_, testing::StartsWith("SL106: users split by a regular expression\n\nA regular expression"));
    EXPECT_EQ(sluice({"explain", "sl106", "-o", "json"}), kDone);
    EXPECT_EQ(Json::parse(out_)["code"], "SL106");
    EXPECT_EQ(sluice({"explain", "SL999"}), kNo);
    EXPECT_EQ(sluice({"explain", "--codes"}), kDone);
    EXPECT_THAT(out_, HasSubstr("SL101  a retry that can never begin\n"));
}

TEST_F(RuleTestsTest, explain_tells_what_a_request_gets) {
    EXPECT_EQ(sluice({"--config", rules_, "explain", "ranker:8080", "--request", "POST /v1?x", "--header",
                      "X-Segment: premium", "--client", "ml"}),
              kDone)
        << err_;
    EXPECT_THAT(out_, HasSubstr("POST /v1?x to ranker.ml.svc.cluster.local:8080, from namespace ml\n"));
    EXPECT_THAT(out_, HasSubstr("rules.yaml:25  premium  (VirtualService ml/ranker)\n"));
    EXPECT_THAT(out_, HasSubstr("  matched     header x-segment = \"premium\"\n"));
    EXPECT_THAT(out_, HasSubstr("  goes to     v47 100%\n"));
    EXPECT_THAT(out_, HasSubstr("  sent as     /v1?x\n"));
    EXPECT_EQ(sluice({"--config", rules_, "explain", "ranker", "--header", "x-segment=gold", "-o", "json"}), kDone);
    EXPECT_EQ(Json::parse(out_)["timeout_ms"], 200);
    EXPECT_EQ(sluice({"--config", rules_, "explain", "ranker", "--request", "GET / ", "--client", "ads"}), kNo);
    EXPECT_THAT(err_, HasSubstr("is no path"));
    for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
             {"--request", "GET"}, {"--header", "novalue"}, {"--label", "app: web"}, {"--header", "=x"}}) {
        EXPECT_EQ(sluice({"--config", rules_, "explain", "ranker", wrong[0], wrong[1]}), kUsage) << wrong[1];
    }
    EXPECT_EQ(sluice({"--config", rules_, "explain", "nobody", "--request", "GET /"}), kNo);
}

TEST_F(RuleTestsTest, explain_asks_the_agent_for_a_request_of_its_rules) {
    StandIn agent(base_);
    agent.answer("GET /v1/answer", 404, R"({"error": "no service 'ranker'"})");
    EXPECT_EQ(sluice({"--run", base_, "explain", "ranker:80", "--request", "GET /a b", "--header", "x=1=2", "--label",
                      "app=web", "--client", "ml"}),
              kNo);
    EXPECT_THAT(err_, HasSubstr("no service 'ranker'"));
    const std::string asked = agent.last();
    EXPECT_THAT(asked, HasSubstr("GET /v1/answer?question=%7B"));
    const auto question = admin::read_question(R"({"host": "ranker", "port": 80, "headers": [["x", "1=2"]]})");
    ASSERT_TRUE(question.has_value());
    EXPECT_EQ(question->headers, (verify::Fields{{"x", "1=2"}}));
    EXPECT_EQ(question->path, "/");
    // Values that rules set may be secret: an agent does not tell them to whoever asks.
    verify::Answer answer;
    answer.service = std::make_shared<const model::ServicePort>();
    answer.headers = {{"host", "ranker"}, {"x", "1=2"}, {"Authorization", "secret"}, {"x", "other"}};
    const Json told = admin::answer_json(answer, {}, &*question);
    EXPECT_EQ(told["headers"].dump(), R"([["host","ranker"],["x","1=2"],["Authorization",null],["x",null]])");
    EXPECT_EQ(admin::answer_json(answer, {})["headers"][2][1], "secret");
    for (const char* wrong : {"", "[]", "{}", R"({"host": 1})", R"({"host": "r", "port": 70000})",
                              R"({"host": "r", "headers": [["x"]]})", R"({"host": "r", "headers": [1]})"}) {
        EXPECT_FALSE(admin::read_question(wrong).has_value()) << wrong;
    }
}

}  // namespace
}  // namespace sluice::ctl
