// VirtualService and the annotations on what routes: values, defaults, facts for the lane choice.
#include <gtest/gtest.h>

#include "config/http_rule.h"
#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

VirtualService virtual_service(const std::string& spec) {
    return one<VirtualService>(document("VirtualService", "spec:\n" + spec));
}

TEST(VirtualServiceTest, WeightsSubsetsAndPorts) {
    const auto rule = virtual_service(
        "  hosts: [a, b.example.com]\n  http:\n  - name: main\n    route:\n"
        "    - {destination: {host: a, subset: v45, port: {number: 8080}}, weight: 85}\n"
        "    - {destination: {host: a, subset: v47}, weight: 10}\n    - {destination: {host: other}}\n");
    EXPECT_EQ(rule.hosts, (std::vector<std::string>{"a", "b.example.com"}));
    ASSERT_EQ(rule.http.size(), 1u);
    EXPECT_EQ(rule.http[0].name, "main");
    EXPECT_EQ(rule.http[0].needs_request_lane, "");
    const auto& destinations = rule.http[0].destinations;
    ASSERT_EQ(destinations.size(), 3u);
    EXPECT_EQ(destinations[0].subset, "v45");
    EXPECT_EQ(destinations[0].port, 8080);
    EXPECT_EQ(destinations[0].weight, 85u);
    EXPECT_EQ(destinations[1].port, 0);
    EXPECT_FALSE(destinations[2].weight);
    EXPECT_EQ(destinations[2].subset, "");
    EXPECT_TRUE(rule.export_to.all);
}

TEST(VirtualServiceTest, ASingleDestinationOfWeightZeroIsFine) {
    const auto rule = virtual_service("  hosts: [a]\n  tcp: [{route: [{destination: {host: a}, weight: 0}]}]\n");
    EXPECT_EQ(rule.tcp[0].destinations[0].weight, 0u);
}

TEST(VirtualServiceTest, TheLargestSumOfWeightsIsTwoToThe32MinusOne) {
    const std::string two =
        "{destination: {host: a}, weight: 2147483647}, {destination: {host: b}, weight: 2147483647}";
    virtual_service("  hosts: [a]\n  tcp: [{route: [" + two + ", {destination: {host: c}, weight: 1}]}]\n");
    const Parsed over = parse_text(document("VirtualService", "spec:\n  hosts: [a]\n  tcp: [{route: [" + two +
                                                                  ", {destination: {host: c}, weight: 2}]}]\n"));
    EXPECT_NE(over.lines().find("add up to 4294967296"), std::string::npos) << over.lines();
}

TEST(VirtualServiceTest, WhatNeedsARequestLaneIsAFactWithItsPlace) {
    const std::pair<const char*, const char*> fields[] = {
        {"match: [{uri: {prefix: /}}]", "match"},
        {"timeout: 1s", "timeout"},
        {"retries: {attempts: 0}", "retries"},
        {"fault: {abort: {httpStatus: 503, percentage: {value: 0.0001}}}", "fault"},
        {"mirror: {host: b}", "mirror"},
        {"mirrors: [{destination: {host: b}}]", "mirrors"},
        {"headers: {request: {add: {x: v}}}", "headers"},
        {"rewrite: {uri: /}", "rewrite"},
    };
    for (const auto& [text, name] : fields) {
        const auto rule = virtual_service(
            std::string("  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    ") + text + "\n");
        ASSERT_EQ(rule.http.size(), 1u);
        EXPECT_TRUE(rule.http[0].needs_request_lane.starts_with(std::string("spec.http[0].") + name + ": "))
            << rule.http[0].needs_request_lane;
        EXPECT_EQ(rule.http[0].needs_place.line, 8);
        EXPECT_EQ(rule.http[0].needs_place.column, 5);
    }
}

TEST(VirtualServiceTest, TheFirstReasonIsKept) {
    const auto rule = virtual_service(
        "  hosts: [a]\n  http:\n  - timeout: 1s\n    route:\n    - {destination: {host: a}, headers: {}}\n"
        "    match: [{port: 80}]\n  - route: [{destination: {host: a}, headers: {request: {}}}]\n"
        "    match: [{port: 81}]\n"
        "  - redirect: {uri: /x}\n  tcp:\n  - match: [{port: 80}]\n    route: [{destination: {host: a}}]\n");
    EXPECT_TRUE(rule.http[0].needs_request_lane.starts_with("spec.http[0].timeout: "));
    EXPECT_TRUE(rule.http[1].needs_request_lane.starts_with("spec.http[1].route[0].headers: "));
    EXPECT_TRUE(rule.http[2].needs_request_lane.starts_with("spec.http[2].redirect: "));
    EXPECT_TRUE(rule.http[2].destinations.empty());
    EXPECT_TRUE(rule.tcp[0].needs_request_lane.starts_with("spec.tcp[0].match: "));
}

TEST(VirtualServiceTest, WhatIstioAcceptsThoughItLooksWrong) {
    virtual_service(
        "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    match:\n"
        "    - uri: {exact: \"\"}\n    - uri: {prefix: \"\"}\n    - headers: {X-User: {exact: \"\"}, \":authority\": "
        "{prefix: a}, x-any: , y-any: {}}\n    - withoutHeaders: {x: {regex: \"*\"}}\n");
}

TEST(VirtualServiceTest, AMatchWithoutElementsIsNone) {
    const auto rule = virtual_service("  hosts: [a]\n  http: [{match: [], route: [{destination: {host: a}}]}]\n");
    EXPECT_EQ(rule.http[0].needs_request_lane, "");
    EXPECT_FALSE(rule.http[0].http);
}

// Whether the rule behind one with this match is said to be never reached.
bool ends_the_list(const std::string& match) {
    const Parsed parsed = parse_text(document(
        "VirtualService", "spec:\n  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    match: " + match +
                              "\n  - route: [{destination: {host: b}}]\n  - route: [{destination: {host: c}}]\n"));
    EXPECT_EQ(parsed.objects.size(), 1u) << parsed.lines();
    if (parsed.lines() ==
        "t.yaml:9:5: warning: spec.http[1]: is never reached, nor is what follows: the rule at line 7 "
        "takes all that comes\n") {
        return true;
    }
    EXPECT_EQ(parsed.lines(),
              "t.yaml:10:5: warning: spec.http[2]: is never reached, nor is what follows: the rule at line 9 takes all "
              "that comes\n");
    return false;
}

TEST(VirtualServiceTest, WhatStandsBehindARuleThatTakesEverythingIsAcceptedWithAWarning) {
    for (const char* all :
         {"[]", "[{uri: {prefix: /}}]", "[{uri: {prefix: ''}}]", "[{uri: {regex: .*}}]", "[{name: x}]",
          "[{uri: {exact: /a}}, {uri: {prefix: /}}]", "[{gateways: [mesh], sourceLabels: {a: b}}]"}) {
        EXPECT_TRUE(ends_the_list(all)) << all;
    }
    for (const char* some :
         {"[{uri: {prefix: /a}}]", "[{uri: {exact: /}}]", "[{uri: {prefix: /}, method: {exact: GET}}]", "[{port: 80}]",
          "[{uri: {prefix: /}, headers: {x: {}}}]", "[{withoutHeaders: {x: {}}}]", "[{queryParams: {x: {}}}]",
          "[{sourceLabels: {a: b}}]", "[{sourceNamespace: b}]", "[{gateways: [other]}]", "[{scheme: {exact: http}}]",
          "[{authority: {exact: a}}]", "[{uri: {regex: a.*}}]"}) {
        EXPECT_FALSE(ends_the_list(some)) << some;
    }
}

TEST(VirtualServiceTest, ExportTo) {
    const auto with = [](const std::string& list, const std::string& metadata) {
        return one<VirtualService>(document(
            "VirtualService",
            "spec:\n  hosts: [a]\n  exportTo: " + list + "\n  tcp: [{route: [{destination: {host: a}}]}]\n", metadata));
    };
    EXPECT_TRUE(with("[]", "name: a").export_to.all);
    EXPECT_TRUE(with("['*']", "name: a").export_to.all);
    const ExportTo own = with("['.', other]", "name: a, namespace: ml").export_to;
    EXPECT_FALSE(own.all);
    EXPECT_EQ(own.namespaces, (std::vector<std::string>{"ml", "other"}));
    EXPECT_EQ(with("['.']", "name: a").export_to.namespaces, (std::vector<std::string>{"default"}));
    const ExportTo none = with("['~']", "name: a").export_to;
    EXPECT_FALSE(none.all);
    EXPECT_TRUE(none.namespaces.empty());
}

TEST(AnnotationsTest, AreReadAndUnsetByDefault) {
    const std::string spec = "spec: {hosts: [a], tcp: [{route: [{destination: {host: a}}]}]}\n";
    const Parsed parsed = parse_text(document("VirtualService", spec));
    ASSERT_EQ(parsed.objects.size(), 1u);
    const Annotations unset = parsed.objects[0]->meta.annotations;
    EXPECT_EQ(unset.split, Split::kUnset);
    EXPECT_EQ(unset.lane, LaneChoice::kAuto);
    EXPECT_FALSE(unset.lane_set);
    EXPECT_EQ(unset.on_subset_down, OnSubsetDown::kUnset);
    EXPECT_EQ(unset.drain, Drain::kUnset);
    const Parsed set = parse_text(document(
        "VirtualService", spec,
        "name: a, annotations: {sluice.dev/split: connection, sluice.dev/lane: direct, sluice.dev/on-subset-down: "
        "spill, sluice.dev/drain: none, other.dev/any: 'x'}"));
    ASSERT_EQ(set.objects.size(), 1u) << set.lines();
    const Annotations& annotations = set.objects[0]->meta.annotations;
    EXPECT_EQ(annotations.split, Split::kConnection);
    EXPECT_EQ(annotations.lane, LaneChoice::kDirect);
    EXPECT_TRUE(annotations.lane_set);
    EXPECT_EQ(annotations.on_subset_down, OnSubsetDown::kSpill);
    EXPECT_EQ(annotations.drain, Drain::kNone);
}

TEST(MetadataTest, DrainIsNoneIdleOrNowOnAllThatRoutes) {
    struct Case {
        const char* text;
        Drain drain;
    };
    for (const Case& c : {Case{"none", Drain::kNone}, Case{"idle", Drain::kIdle}, Case{"now", Drain::kNow}}) {
        const std::string metadata = std::string("name: a, annotations: {sluice.dev/drain: ") + c.text + "}";
        const Parsed parsed = parse_text(document("DestinationRule", "spec: {host: a}\n", metadata));
        ASSERT_EQ(parsed.objects.size(), 1u) << parsed.lines();
        EXPECT_EQ(parsed.objects[0]->meta.annotations.drain, c.drain);
        EXPECT_STREQ(drain_name(c.drain), c.text);
    }
    EXPECT_STREQ(drain_name(Drain::kUnset), "none");
}

TEST(MetadataTest, NamespaceLabelsAndAge) {
    const Parsed parsed = parse_text(
        document("DestinationRule", "spec: {host: a}\nstatus: {any: [thing]}\n",
                 "name: a.b, labels: {x: '1'}, creationTimestamp: 2024-01-31T12:00:00.5Z, uid: 5, generation: 1"));
    ASSERT_EQ(parsed.objects.size(), 1u) << parsed.lines();
    const Object& object = *parsed.objects[0];
    EXPECT_EQ(object.key, (ObjectKey{Kind::kDestinationRule, "default", "a.b"}));
    EXPECT_EQ(object.meta.labels, (Labels{{"x", "1"}}));
    EXPECT_EQ(object.meta.creation_timestamp, "2024-01-31T12:00:00.5Z");
    EXPECT_EQ(object.file, "t.yaml");
}

TEST(MetadataTest, EveryApiVersionOfAKindIsTheSameKind) {
    for (const char* version : {"v1", "v1beta1", "v1alpha3"}) {
        const Parsed parsed = parse_text(std::string("apiVersion: networking.istio.io/") + version +
                                         "\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: a}\n");
        EXPECT_EQ(parsed.output(), "+ DestinationRule default/a\n");
    }
}

}  // namespace
}  // namespace sluice::config::test
