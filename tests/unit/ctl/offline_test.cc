// Verbs that need no agent, and the command line itself.
#include <algorithm>

#include "tests/unit/ctl/fixture.h"

namespace sluice::ctl {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

TEST_F(CtlTest, wrong_usage_is_exit_code_2_and_help_is_0_with_examples) {
    EXPECT_EQ(sluice({}), kUsage);
    EXPECT_EQ(sluice({"no-such-verb"}), kUsage);
    EXPECT_EQ(sluice({"get", "nonsense"}), kUsage);
    EXPECT_EQ(sluice({"status", "-o", "xml"}), kUsage);
    EXPECT_EQ(sluice({"explain"}), kUsage);
    EXPECT_EQ(sluice({"--help"}), kDone);
    EXPECT_THAT(out_, HasSubstr("Examples:"));
    EXPECT_EQ(sluice({"explain", "--help"}), kDone);
    EXPECT_THAT(out_, HasSubstr("--client"));
    EXPECT_EQ(sluice({"--version"}), kDone);
    EXPECT_THAT(out_, MatchesRegex("sluice [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST_F(CtlTest, verbs_that_need_an_agent_say_so) {
    for (const std::vector<std::string>& verb :
         std::vector<std::vector<std::string>>{{"status"}, {"map", "list"}, {"history"}, {"apply", "x.yaml"}}) {
        auto arguments = verb;
        arguments.insert(arguments.begin(), {"--config", rules_});
        EXPECT_EQ(sluice(arguments), kUsage) << verb[0];
        EXPECT_THAT(err_, HasSubstr("asks a running agent")) << verb[0];
    }
}

TEST_F(CtlTest, an_agent_that_is_not_there_is_exit_code_3_with_the_remedy) {
    EXPECT_EQ(sluice({"--run", base_, "status"}), kUnreachable);
    EXPECT_THAT(err_, HasSubstr(base_ + "/sluiced.sock"));
    EXPECT_THAT(err_, HasSubstr("is sluiced running?"));
    EXPECT_EQ(out_, "");
}

TEST_F(CtlTest, validate_accepts_sound_rules) {
    put_sound_rules();
    EXPECT_EQ(sluice({"validate", rules_}), kDone) << out_ << err_;
    EXPECT_EQ(out_, rules_ + ": valid: 2 files, 3 objects, 1 service ports\n");
}

TEST_F(CtlTest, validate_reports_every_error_of_every_file_with_its_place) {
    put_sound_rules();
    put("rules/one.yaml",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w}\nspec: {address: nonsense}\n");
    put("rules/two.yaml",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: v}\nspec:\n  adress: 10.0.0.1\n");
    EXPECT_EQ(sluice({"validate", rules_}), kNo);
    EXPECT_THAT(out_, HasSubstr(rules_ + "/one.yaml:4:"));
    EXPECT_THAT(out_, HasSubstr(rules_ + "/two.yaml:5:3: "));
    EXPECT_THAT(out_, Not(HasSubstr("valid:")));
}

TEST_F(CtlTest, an_object_that_stands_in_two_files_is_reported_once) {
    put_sound_rules();
    put("rules/twice.yaml", kDestinationRule);
    EXPECT_EQ(sluice({"validate", rules_}), kNo);
    EXPECT_EQ(std::ranges::count(out_, '\n'), 1) << out_;
    EXPECT_THAT(out_,
                HasSubstr(rules_ + "/twice.yaml:1:1: metadata.name: DestinationRule ml/ranker is already defined in"));
}

TEST_F(CtlTest, a_broken_document_is_not_blamed_on_the_rules_that_name_it) {
    put_sound_rules();
    put("rules/service.yaml", "kind: ServiceEntry\n");
    EXPECT_EQ(sluice({"validate", rules_}), kNo);
    EXPECT_THAT(out_, Not(HasSubstr("route.yaml")));
    EXPECT_THAT(err_, HasSubstr("references between rules were not checked"));
}

TEST_F(CtlTest, a_dangling_reference_is_an_error_or_a_warning_as_asked) {
    put_sound_rules();
    std::string rule = virtual_service(90, 10);
    rule.replace(rule.find("subset: v47"), 11, "subset: v99");
    put("rules/route.yaml", rule);
    EXPECT_EQ(sluice({"validate", rules_}), kNo);
    EXPECT_THAT(out_, HasSubstr(rules_ + "/route.yaml:10:"));
    EXPECT_THAT(out_, HasSubstr("v99"));
    EXPECT_EQ(sluice({"validate", rules_, "--references", "warn"}), kDone);
    EXPECT_THAT(out_, HasSubstr("warning: "));
    EXPECT_EQ(sluice({"--config", rules_, "explain", "ranker"}), kNo);
    EXPECT_EQ(out_, "");
    EXPECT_EQ(sluice({"--config", rules_, "explain", "ranker", "--references", "warn"}), kDone);
    EXPECT_THAT(out_, HasSubstr("NC"));
}

TEST_F(CtlTest, validate_as_json_is_for_programs) {
    put_sound_rules();
    put("rules/one.yaml", "kind: [\n");
    EXPECT_EQ(sluice({"validate", rules_, "-o", "json"}), kNo);
    const Json found = Json::parse(out_);
    EXPECT_FALSE(found["valid"].get<bool>());
    EXPECT_EQ(found["diagnostics"][0]["file"], rules_ + "/one.yaml");
    EXPECT_EQ(found["diagnostics"][0]["severity"], "error");
    EXPECT_EQ(sluice({"validate", base_ + "/none"}), kUsage);
    EXPECT_EQ(sluice({"validate"}), kUsage);
}

TEST_F(CtlTest, explain_tells_rule_weights_lane_policies_and_endpoints) {
    put_sound_rules();
    for (const char* name :
         {"ranker", "ranker:8080", "ranker.ml", "ranker.ml.svc.cluster.local:8080", "127.100.0.10:8080"}) {
        ASSERT_EQ(sluice({"--config", rules_, "explain", name}), kDone) << name << err_;
        EXPECT_THAT(out_, HasSubstr("ranker.ml.svc.cluster.local:8080  tcp  at 127.100.0.10\n"));
        EXPECT_THAT(out_, HasSubstr("VirtualService ml/ranker (" + rules_ + "/route.yaml:1)"));
        EXPECT_THAT(out_, HasSubstr("lane        direct\n"));
        EXPECT_THAT(out_, HasSubstr("because "));
        EXPECT_THAT(out_, HasSubstr("90.00%"));
        EXPECT_THAT(out_, HasSubstr("ROUND_ROBIN"));
        EXPECT_THAT(out_, HasSubstr("127.100.47.1:8080"));
    }
    ASSERT_EQ(sluice({"--config", rules_, "explain", "ranker", "-o", "json"}), kDone);
    const Json found = Json::parse(out_);
    EXPECT_EQ(found["destinations"].size(), 2u);
    EXPECT_EQ(found["destinations"][1]["weight"], 10);
    EXPECT_EQ(found["subsets"].size(), 2u);
    EXPECT_EQ(found["endpoints"].size(), 3u);
}

TEST_F(CtlTest, offline_http_rules_are_those_of_the_proxy_lane) {
    std::string service = std::string(kService);
    service.replace(service.find("name: tcp, protocol: TCP"), 24, "name: http, protocol: HTTP");
    put("rules/service.yaml", service + "---\n" + kDestinationRule);
    put("rules/route.yaml", R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ranker, namespace: ml}
spec:
  hosts: [ranker]
  http:
  - name: beta
    match: [{headers: {x-beta: {exact: "1"}}}]
    route: [{destination: {host: ranker, subset: v47}}]
    timeout: 200ms
  - route:
    - destination: {host: ranker, subset: v45}
      weight: 90
    - destination: {host: ranker, subset: v47}
      weight: 10
)");
    EXPECT_EQ(sluice({"validate", rules_}), kDone) << out_ << err_;
    ASSERT_EQ(sluice({"--config", rules_, "explain", "ranker"}), kDone) << err_;
    EXPECT_THAT(out_, HasSubstr("lane        proxy\n"));
    EXPECT_THAT(out_, HasSubstr("cannot take the direct lane: spec.http[0].match"));
    EXPECT_THAT(out_, HasSubstr("  1   beta  " + rules_ +
                                "/route.yaml:7\n      when  header x-beta = \"1\"\n"
                                "      to    ranker/v47  100.00%\n            time-out 200ms\n"));
    EXPECT_THAT(out_, HasSubstr("      to    ranker/v45  90.00%\n      to    ranker/v47  10.00%\n"));
    EXPECT_THAT(out_, HasSubstr("a client whose namespace has none gets `destinations`, by connection"));
    ASSERT_EQ(sluice({"--config", rules_, "get", "routes"}), kDone) << err_;
    EXPECT_THAT(out_, HasSubstr("header x-beta"));
}

TEST_F(CtlTest, explain_of_an_unknown_service_is_no_and_of_a_bad_port_wrong_usage) {
    put_sound_rules();
    EXPECT_EQ(sluice({"--config", rules_, "explain", "other"}), kNo);
    EXPECT_THAT(err_, HasSubstr("no service 'other'"));
    EXPECT_EQ(sluice({"--config", rules_, "explain", "ranker:9"}), kNo);
    for (const char* name : {"ranker:", "ranker:0", "ranker:70000", "ranker:x", "[::1"}) {
        EXPECT_EQ(sluice({"--config", rules_, "explain", name}), kUsage) << name;
    }
}

TEST_F(CtlTest, get_lists_offline_and_filters_by_host) {
    put_sound_rules();
    ASSERT_EQ(sluice({"--config", rules_, "get", "routes"}), kDone) << err_;
    EXPECT_THAT(out_, HasSubstr("HOST"));
    EXPECT_EQ(std::ranges::count(out_, '\n'), 3);
    ASSERT_EQ(sluice({"--config", rules_, "get", "endpoints", "ranker", "-o", "json"}), kDone);
    EXPECT_EQ(Json::parse(out_).size(), 3u);
    ASSERT_EQ(sluice({"--config", rules_, "get", "services", "other"}), kDone);
    EXPECT_EQ(out_, "");
    EXPECT_THAT(err_, HasSubstr("no services of other"));
}

TEST_F(CtlTest, hosts_prints_lines_with_short_names_that_are_unique) {
    put_sound_rules();
    std::string other = kService;
    other.replace(other.find("namespace: ml"), 13, "namespace: qa");
    other.replace(other.find("ranker.ml.svc"), 13, "ranker.qa.svc");
    other.replace(other.find("127.100.0.10"), 12, "127.100.0.11");
    ASSERT_EQ(sluice({"--config", rules_, "hosts"}), kDone) << err_;
    EXPECT_EQ(out_, "127.100.0.10    ranker.ml.svc.cluster.local ranker.ml.svc ranker.ml ranker\n");
    put("rules/other.yaml", other);
    ASSERT_EQ(sluice({"--config", rules_, "hosts"}), kDone) << err_;
    EXPECT_EQ(out_,
              "127.100.0.10    ranker.ml.svc.cluster.local ranker.ml.svc ranker.ml\n"
              "127.100.0.11    ranker.qa.svc.cluster.local ranker.qa.svc ranker.qa\n");
    ASSERT_EQ(sluice({"--config", rules_, "hosts", "--client", "qa"}), kDone);
    EXPECT_THAT(out_, HasSubstr("ranker.qa ranker\n"));
    EXPECT_THAT(out_, HasSubstr("ranker.ml\n"));
}

TEST_F(CtlTest, diff_shows_texts_and_the_effect_on_weights_and_is_0_when_it_worked) {
    put_sound_rules();
    const std::string canary = put("canary.yaml", "# move it\n" + virtual_service(75, 25));
    ASSERT_EQ(sluice({"--config", rules_, "diff", canary}), kDone) << err_;
    EXPECT_THAT(out_, HasSubstr("replaced"));
    EXPECT_THAT(out_, HasSubstr("-       weight: 10\n+       weight: 25\n"));
    EXPECT_THAT(out_,
                HasSubstr("Effect:\n  ranker.ml.svc.cluster.local:8080: all connections: v45 90% -> 75%, v47 10% -> "
                          "25% (15% of connections move)\n"));
    ASSERT_EQ(sluice({"--config", rules_, "diff", put("same.yaml", virtual_service(90, 10))}), kDone);
    EXPECT_THAT(out_, HasSubstr("unchanged"));
    EXPECT_THAT(out_, Not(HasSubstr("Effect")));
    EXPECT_EQ(sluice({"--config", rules_, "diff", canary, put("bad.yaml", "# one\nkind: [\n")}), kNo);
    EXPECT_THAT(err_, HasSubstr(base_ + "/bad.yaml:"));
    EXPECT_EQ(sluice({"--config", rules_, "diff", base_ + "/none.yaml"}), kUsage);
    EXPECT_EQ(sluice({"--config", rules_, "diff", base_}), kUsage);
}

}  // namespace
}  // namespace sluice::ctl
