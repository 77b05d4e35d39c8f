// Which requests go elsewhere, in sentences.
#include "verify/effect.h"

#include <gmock/gmock.h>

#include <random>

#include "tests/unit/verify/meshes.h"

namespace sluice::verify {
namespace {

using test::kRanker;
using test::mesh_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kName = "ranker.ml.svc.cluster.local:8080";

// route: [...] of "v45=90 v47=10".
std::string route(const std::string& weights) {
    std::string out = "route: [";
    std::istringstream words(weights);
    for (std::string word; words >> word;) {
        const std::size_t at = word.find('=');
        out +=
            "{destination: {host: ranker, subset: " + word.substr(0, at) + "}, weight: " + word.substr(at + 1) + "}, ";
    }
    return out + "]";
}
std::string rule(const std::string& weights, const std::string& more = "") {
    return "  - {" + route(weights) + (more.empty() ? "" : ", " + more) + "}\n";
}
std::string when(const std::string& match, const std::string& weights, const std::string& more = "") {
    return rule(weights, "match: [" + match + "]" + (more.empty() ? "" : ", " + more));
}
const std::string kPremium = "{headers: {x-user-segment: {exact: premium}}}";

std::vector<ServiceChange> between(const model::Mesh& before, const model::Mesh& after) {
    std::vector<ServiceChange> out;
    for (const auto& [key, service] : before.services()) {
        const auto found = after.services().find(key);
        out.push_back({service, found == after.services().end() ? nullptr : found->second});
    }
    for (const auto& [key, service] : after.services()) {
        if (!before.services().contains(key)) {
            out.push_back({nullptr, service});
        }
    }
    return out;
}

// The sentences of the one service, from one set of documents to another.
std::vector<std::string> lines(const std::string& before, const std::string& after) {
    const model::Mesh a = mesh_of(before), b = mesh_of(after);
    const Effects found = effects(between(a, b));
    EXPECT_LE(found.services.size(), 1u);
    return found.services.empty() ? std::vector<std::string>() : found.services[0].lines;
}
std::vector<std::string> rules(const std::string& before, const std::string& after) {
    return lines(kRanker + test::virtual_service(before), kRanker + test::virtual_service(after));
}

TEST(Effect, nothing_differs_where_only_the_words_do) {
    EXPECT_THAT(rules(rule("v45=90 v47=10"), "  # a comment\n" + rule("v45=90 v47=10", "name: other")), IsEmpty());
    EXPECT_THAT(rules(rule("v45=90 v47=10"), rule("v47=1 v45=9")), IsEmpty());  // the same shares, drawn
}

TEST(Effect, weights_say_who_gives_to_whom_and_how_much_moves) {
    EXPECT_THAT(rules(rule("v45=90 v47=10"), rule("v45=75 v47=25")),
                ElementsAre("all requests: v45 90% -> 75%, v47 10% -> 25% (15% of requests move)"));
    EXPECT_THAT(rules(rule("v45=100"), rule("v45=2 v47=1")),
                ElementsAre("all requests: v45 100% -> 66.67%, v47 0% -> 33.33% (33.33% of requests move)",
                            HasSubstr("lane direct -> proxy (")));
    EXPECT_THAT(rules(rule("v45=60 v46=30 v47=10"), rule("v45=40 v46=30 v47=30")),
                ElementsAre("all requests: v45 60% -> 40%, v47 10% -> 30% (20% of requests move)"));
}

TEST(Effect, each_kind_of_request_has_a_sentence_of_its_own) {
    EXPECT_THAT(
        rules(when(kPremium, "v47=100") + rule("v45=90 v47=10"), when(kPremium, "v45=100") + rule("v45=75 v47=25")),
        ElementsAre("requests with header x-user-segment = \"premium\": v47 100% -> v45 100%",
                    "all others: v45 90% -> 75%, v47 10% -> 25% (15% of these requests move)"));
}

TEST(Effect, a_new_rule_takes_its_requests_from_the_one_that_had_them) {
    EXPECT_THAT(rules(rule("v45=100"), when(kPremium, "v47=100") + rule("v45=100")),
                testing::Contains("requests with header x-user-segment = \"premium\": v45 100% -> v47 100%"));
    EXPECT_THAT(rules(when(kPremium, "v47=100") + rule("v45=100"), rule("v45=100")),
                testing::Contains("requests with header x-user-segment = \"premium\": v47 100% -> v45 100%"));
    // Without a rule for all, there is no route.
    EXPECT_THAT(rules(when(kPremium, "v47=100"), rule("v47=100")),
                testing::Contains("all others: no route (404) -> v47 100%"));
}

TEST(Effect, elements_that_fare_alike_share_a_sentence) {
    EXPECT_THAT(
        rules(rule("v45=100"), when("{uri: {prefix: /a}}, {method: {exact: POST}}", "v47=100") + rule("v45=100")),
        testing::Contains("requests with path starts with \"/a\" or method = \"POST\": v45 100% -> v47 100%"));
}

TEST(Effect, a_rule_that_another_one_covers_now_is_never_reached) {
    const auto found = rules(when("{uri: {prefix: /v2/rank}}", "v47=100", "name: ranking") + rule("v45=100"),
                             when("{uri: {prefix: /v2}}", "v46=100") +
                                 when("{uri: {prefix: /v2/rank}}", "v47=100", "name: ranking") + rule("v45=100"));
    EXPECT_THAT(found, testing::Contains("requests with path starts with \"/v2/rank\": v47 100% -> v46 100%"));
    EXPECT_THAT(found,
                testing::Contains("rule ranking (path starts with \"/v2/rank\") is never reached: rules before it "
                                  "take all its requests"));
    // Also behind a rule for every request.
    EXPECT_THAT(rules(when(kPremium, "v47=100", "name: paid") + rule("v45=100"),
                      rule("v45=100") + when(kPremium, "v47=100", "name: paid")),
                testing::IsSupersetOf({HasSubstr("\"premium\": v47 100% -> v45 100%"),
                                       HasSubstr("rule paid (header x-user-segment = \"premium\") is never reached")}));
}

TEST(Effect, rules_that_change_places_are_told_by_the_requests_that_both_match) {
    const std::string path = when("{uri: {prefix: /v2}}", "v46=100"), premium = when(kPremium, "v47=100");
    EXPECT_THAT(rules(path + premium + rule("v45=100"), premium + path + rule("v45=100")),
                ElementsAre("requests with both header x-user-segment = \"premium\" and path starts with \"/v2\": "
                            "v46 100% -> v47 100%"));
    // No request is for two versions of a header at once.
    const std::string basic = when("{headers: {x-user-segment: {exact: basic}}}", "v46=100");
    EXPECT_THAT(rules(basic + premium + rule("v45=100"), premium + basic + rule("v45=100")), IsEmpty());
}

TEST(Effect, says_what_else_a_rule_does_differently) {
    const auto found =
        rules(rule("v45=100", "timeout: 200ms, retries: {attempts: 2, perTryTimeout: 80ms, retryOn: 5xx}"),
              rule("v45=100",
                   "timeout: 300ms, mirrors: [{destination: {host: ranker, subset: v47}, percentage: {value: 10}}], "
                   "headers: {request: {set: {x-model: v47}}}"));
    ASSERT_EQ(found.size(), 1u);
    EXPECT_THAT(found[0], HasSubstr("all requests: time-out 200ms -> time-out 300ms; "));
    EXPECT_THAT(found[0], HasSubstr("2 retries on 5xx, each try 80ms -> no retries of its own"));
    EXPECT_THAT(found[0], HasSubstr("no mirrors -> mirrors 10% to ranker/v47"));
    EXPECT_THAT(found[0], HasSubstr("no request headers -> changes request headers: set x-model = v47"));
    EXPECT_THAT(rules(rule("v45=100"), "  - {redirect: {uri: /elsewhere}}\n"),
                testing::Contains(HasSubstr("v45 100% -> redirects with 301 to /elsewhere")));
}

TEST(Effect, a_sticky_split_says_which_buckets_move) {
    const std::string experiment =
        "apiVersion: sluice.dev/v1\nkind: Experiment\nmetadata: {name: ab, namespace: ml}\nspec: {host: ranker, "
        "httpHeaderName: x-user-id}\n---\n";
    const auto with = [&](const std::string& weights) {
        return kRanker + test::virtual_service(rule(weights)) + experiment;
    };
    EXPECT_THAT(lines(with("v45=90 v47=10"), with("v45=75 v47=25")),
                ElementsAre("all requests: v45 90% -> 75%, v47 10% -> 25%; 15% of the users move: v45 -> v47 (buckets "
                            "75-89)"));
    EXPECT_THAT(lines(kRanker + test::virtual_service(rule("v45=90 v47=10")), with("v45=90 v47=10")),
                testing::Contains(HasSubstr("becomes sticky (experiment ab by header x-user-id)")));
    EXPECT_THAT(lines(with("v45=90 v47=10"), kRanker + test::virtual_service(rule("v45=90 v47=10"))),
                testing::Contains(HasSubstr("is no longer sticky")));
}

TEST(Effect, policies_and_endpoints_of_versions_are_compared) {
    const std::string service = kRanker;
    std::string other = service;
    const auto replace = [&](const std::string& what, const std::string& with) {
        other.replace(other.find(what), what.size(), with);
    };
    replace("  - {address: 127.1.47.2, labels: {version: v47}}\n",
            "  - {address: 127.1.47.9, labels: {version: v47}}\n"
            "  - {address: 127.1.47.8, labels: {version: v47}}\n");
    replace("{name: v47, labels: {version: v47}}",
            "{name: v47, labels: {version: v47}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, "
            "outlierDetection: {consecutive5xxErrors: 3}}}");
    const std::string split = test::virtual_service(rule("v45=90 v47=10"));
    const auto found = lines(service + split, other + split);
    EXPECT_THAT(found, testing::Contains("v47: balancing least request -> round robin"));
    EXPECT_THAT(found, testing::Contains(HasSubstr("v47: ejection off -> after 3 5xx for 30s")));
    EXPECT_THAT(found, testing::Contains(
                           "v47: endpoints 2 -> 3 (new: 127.1.47.8:8080, 127.1.47.9:8080; gone: 127.1.47.2:8080)"));
    EXPECT_THAT(found, Not(testing::Contains(HasSubstr("v45"))));
}

TEST(Effect, a_service_that_comes_or_goes_is_said_with_what_it_serves) {
    const std::string with = kRanker + test::virtual_service(when(kPremium, "v47=100") + rule("v45=100"));
    const auto found = lines("", with);
    EXPECT_EQ(found.at(0), "is new");
    EXPECT_THAT(found, testing::Contains("requests with header x-user-segment = \"premium\": v47 100%"));
    EXPECT_THAT(found, testing::Contains("all others: v45 100%"));
    EXPECT_THAT(lines(with, "").at(0), HasSubstr("is gone"));
}

TEST(Effect, many_services_and_many_rules_are_bounded) {
    std::string before, after;
    for (int i = 0; i < 8; ++i) {
        std::string one = kRanker + test::virtual_service(rule("v45=90 v47=10"));
        for (std::size_t at = 0; (at = one.find("ranker", at)) != std::string::npos; at += 7) {
            one.replace(at, 6, "rank-" + std::to_string(i));
        }
        one.replace(one.find("127.1.0.10"), 10, "127.1.0.2" + std::to_string(i));
        before += one;
        one.replace(one.find("weight: 90"), 10, "weight: 80");
        after += one;
    }
    const model::Mesh a = mesh_of(before), b = mesh_of(after);
    const Effects found = effects(between(a, b), 3);
    EXPECT_EQ(found.services.size(), 3u);
    EXPECT_EQ(found.left_out, 5u);
    EXPECT_EQ(found.text().back(), "5 more services are touched");
    EXPECT_THAT(found.text()[0], testing::StartsWith("rank-0.ml.svc.cluster.local:8080: all requests: "));

    std::string few, many;
    for (int i = 0; i < 120; ++i) {
        const std::string match = "{headers: {x-user: {exact: u" + std::to_string(i) + "}}}";
        few += when(match, "v45=100");
        many += when(match, "v47=100");
    }
    EXPECT_EQ(rules(few, many).size(), kEffectLines + 1);
    EXPECT_THAT(rules(few, many).back(), "and 80 more");
    for (int i = 0; i < 120; ++i) {
        few += when("{headers: {x-other: {exact: u" + std::to_string(i) + "}}}", "v45=100");
    }
    EXPECT_THAT(rules(many, few), testing::Contains(HasSubstr("240 conditions, too many to follow")));
}

TEST(Effect, a_delta_knows_its_changes) {
    model::Mesh mesh = mesh_of(kRanker + test::virtual_service(rule("v45=90 v47=10")));
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(test::virtual_service(rule("v45=10 v47=90")), "x", {}, objects, diagnostics);
    const std::vector<model::Change> changes{{objects[0]->key, objects[0]}};
    auto delta = mesh.preview(changes);
    ASSERT_TRUE(delta);
    EXPECT_THAT(
        effects(changes_of(mesh.services(), *delta)).text(),
        ElementsAre(std::string(kName) + ": all requests: v45 90% -> 10%, v47 10% -> 90% (80% of requests move)"));
}

// No request goes elsewhere without a sentence: rules drawn at random, and every request of a small world asked of both
// states by the proxy lane's own code.
TEST(Effect, no_request_goes_elsewhere_without_a_sentence) {
    std::mt19937 random(60);
    const std::vector<std::string> conditions{"{uri: {prefix: /a}}",
                                              "{uri: {exact: /a/b}}",
                                              "{uri: {prefix: /c}}",
                                              "{headers: {x: {exact: \"1\"}}}",
                                              "{headers: {x: {exact: \"2\"}}}",
                                              "{headers: {y: {}}}",
                                              "{uri: {prefix: /a}, headers: {x: {exact: \"1\"}}}",
                                              "{withoutHeaders: {x: {}}}",
                                              "{method: {exact: POST}}"};
    const std::vector<std::string> weights{"v45=100", "v46=100", "v47=100", "v45=90 v47=10"};
    const auto draw = [&] {
        std::string out;
        for (std::size_t i = 0, n = random() % 4; i < n; ++i) {
            std::string match = conditions[random() % conditions.size()];
            match += random() % 3 == 0 ? ", " + conditions[random() % conditions.size()] : "";
            out += when(match, weights[random() % weights.size()]);
        }
        return out + (random() % 4 == 0 && !out.empty() ? "" : rule(weights[random() % weights.size()]));
    };
    int moved = 0;
    for (int turn = 0; turn < 150; ++turn) {
        const std::string before = draw(), after = draw();
        const test::World a(kRanker + test::virtual_service(before)), b(kRanker + test::virtual_service(after));
        const std::vector<std::string> said = effects(between(a.mesh, b.mesh)).text();
        bool differs = false;
        for (const std::string path : {"/a", "/a/b", "/c", "/d"}) {
            for (const char* x : {"", "1", "2", "3"}) {
                for (const bool y : {false, true}) {
                    for (const char* method : {"GET", "POST"}) {
                        Fields fields;
                        if (*x != '\0') {
                            fields.emplace_back("x", x);
                        }
                        if (y) {
                            fields.emplace_back("y", "there");
                        }
                        Question question = test::from("default", "ranker.ml.svc.cluster.local", fields, path);
                        question.method = method;
                        differs |= a.shares(question) != b.shares(question);
                    }
                }
            }
        }
        moved += differs ? 1 : 0;
        const bool told = std::ranges::any_of(said, [](const std::string& line) {
            return line.find(": requests with ") != std::string::npos || line.find(": all ") != std::string::npos;
        });
        EXPECT_TRUE(told || !differs) << before << "-- became --\n" << after << testing::PrintToString(said);
    }
    EXPECT_GT(moved, 50);
}

}  // namespace
}  // namespace sluice::verify
