// The proxy lane's rules in words: what `sluice explain` and `sluice get routes` say of them.
#include "admin/explain_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/parse.h"

namespace sluice::admin {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kYaml = R"(apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: rank, namespace: ml}
spec:
  hosts: [rank.ml.svc.cluster.local]
  addresses: [127.10.0.1]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
    - {address: 127.0.1.1, labels: {version: v1}}
    - {address: 127.0.1.2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rank, namespace: ml}
spec:
  host: rank
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rank, namespace: ml}
spec:
  hosts: [rank]
  http:
    - name: premium
      match:
        - headers: {x-tier: {exact: premium}}
          uri: {prefix: /v2}
        - queryParams: {debug: {}}
          withoutHeaders: {x-bot: {regex: "y.*"}}
      route: [{destination: {host: rank, subset: v2}}]
      timeout: 0.2s
      retries: {attempts: 2, perTryTimeout: 80ms, retryOn: "5xx,reset,418"}
      fault: {delay: {fixedDelay: 2s, percentage: {value: 0.5}}}
    - match: [{uri: {exact: /old}}]
      redirect: {uri: /new, redirectCode: 308}
    - name: canary
      route:
        - {destination: {host: rank, subset: v1}, weight: 90}
        - {destination: {host: rank, subset: v2}, weight: 10}
      mirror: {host: rank, subset: v2}
      mirrorPercentage: {value: 10}
)";

model::ServicePortPtr service(const std::string& yaml) {
    Diagnostics diagnostics;
    std::vector<config::ObjectPtr> objects;
    config::parse(yaml, "rank.yaml", {}, objects, diagnostics);
    std::vector<model::Change> changes;
    for (const config::ObjectPtr& object : objects) {
        changes.push_back({object->key, object});
    }
    model::Mesh mesh({.references_warn = true, .lanes = {model::Lane::kDirect, model::Lane::kProxy}});
    const auto applied = mesh.apply(changes);
    EXPECT_FALSE(diagnostics.has_errors()) << diagnostics.items.front().text();
    EXPECT_TRUE(applied.has_value());
    EXPECT_FALSE(mesh.services().empty());
    return mesh.services().begin()->second;
}

TEST(ExplainRules, tell_each_rule_in_order_with_all_that_it_does) {
    const Json rules = rules_json(*service(kYaml), {});
    ASSERT_EQ(rules.size(), 3u);
    EXPECT_EQ(rules[0]["name"], "premium");
    EXPECT_EQ(rules[0]["at"], "rank.yaml:28");
    EXPECT_THAT(rules[0]["when"].get<std::vector<std::string>>(),
                ElementsAre("path starts with \"/v2\" and header x-tier = \"premium\"",
                            "not header x-bot ~ \"y.*\" and query debug is there"));
    EXPECT_THAT(rules[0]["does"].get<std::vector<std::string>>(),
                ElementsAre("time-out 200ms", "2 retries on 5xx,reset,retriable-status-codes,418, each try 80ms",
                            "delays 0.5% by 2s"));
    EXPECT_THAT(rules[1]["does"].get<std::vector<std::string>>(), ElementsAre("redirects with 308 to /new"));
    EXPECT_TRUE(rules[1]["destinations"].empty());
    EXPECT_THAT(rules[2]["when"].get<std::vector<std::string>>(), ElementsAre("every request"));
    EXPECT_EQ(rules[2]["destinations"][1].dump(), R"({"destination":"rank/v2","subset":"v2","weight":10,"share":0.1})");
    EXPECT_THAT(rules[2]["does"].get<std::vector<std::string>>(), ElementsAre("mirrors 10% to rank/v2"));
    EXPECT_TRUE(rules[2]["experiment"].is_null());
}

TEST(ExplainRules, stand_in_the_explanation_with_the_lane_and_its_reasons) {
    const model::ServicePortPtr port = service(kYaml);
    const Json out = explain(*port, {.host = "rank"}, {});
    EXPECT_EQ(out["lane"], "proxy");
    EXPECT_THAT(out["reasons"][0].get<std::string>(), HasSubstr("spec.http[0].match"));
    EXPECT_EQ(out["rules"].size(), 3u);
    EXPECT_EQ(out["watched"], "answers: each request, by the proxy");
    EXPECT_EQ(out["without_proxy"], "is refused: fault of spec.http[0] would be bypassed");
    EXPECT_EQ(out["shaped_by"].size(), 1u);
}

TEST(ExplainRules, are_rows_of_the_routes_list) {
    const auto made = rows(List::kRoutes, *service(kYaml), {});
    ASSERT_EQ(made.size(), 4u);
    EXPECT_EQ(made[0].dump(),
              R"({"host":"rank.ml.svc.cluster.local","port":8080,"scope":"*","when":"path starts with \"/v2\" and )"
              R"(header x-tier = \"premium\" or not header x-bot ~ \"y.*\" and query debug is there",)"
              R"("destination":"rank/v2","weight":100,"share":1.0,"rule":"rank.yaml:28"})");
    EXPECT_EQ(made[1]["destination"], "redirects with 308 to /new");
    EXPECT_TRUE(made[1]["weight"].is_null());
    EXPECT_EQ(made[3]["share"], 0.1);
    EXPECT_EQ(rows(List::kServices, *service(kYaml), {})[0]["split"], "3 rules");
    EXPECT_EQ(rows(List::kSubsets, *service(kYaml), {}).size(), 2u) << "each cluster once";
}

TEST(ExplainRules, places_follow_the_document_when_it_moves_in_its_file) {
    ViewContext context;
    context.where = [](const config::Object& object) { return Where{"moved.yaml", object.place.line + 10}; };
    EXPECT_EQ(rules_json(*service(kYaml), context)[0]["at"], "moved.yaml:38");
}

TEST(ExplainRules, say_for_whom_the_plain_service_is) {
    std::string yaml = kYaml;
    yaml = yaml.substr(0, yaml.find("    - name: premium"));
    yaml += "    - match: [{sourceLabels: {app: shop}}]\n      route: [{destination: {host: rank, subset: v2}}]\n";
    const Json rules = rules_json(*service(yaml), {});
    ASSERT_EQ(rules.size(), 2u);
    EXPECT_EQ(rules[0]["when"][0], "client label app = \"shop\"");
    EXPECT_EQ(rules[1]["name"], "default");
    EXPECT_EQ(rules[1]["only_for"], "clients whose labels no rule before asks for");
}

}  // namespace
}  // namespace sluice::admin
