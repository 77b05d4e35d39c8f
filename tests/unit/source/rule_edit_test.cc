#include "source/rule_edit.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::source {
namespace {

// As people write it: comments, a list at its key's column, quotes.
const std::string kBlock = R"(# Ranking, owned by search.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ranking, namespace: ml}
spec:
  hosts: [ranking]
  http:
  # Internal users first.
  - name: internal
    match: [{headers: {x-user-segment: {exact: internal}}}]
    route:
    - destination: {host: ranking, subset: v47}
  - name: default-split  # the canary's
    retries: {attempts: 2}
    route:
      - destination:
          host: ranking
          subset: v45
          port:
            number: 8080
        weight: 90  # was 100
      - destination:
          host: ranking
          subset: "v46"
          port:
            number: 8080
        headers: {response: {set: {x-arm: new}}}
        # weight: 10
      - weight: 0x0
        destination: {host: other}

    timeout: 1s
# The end.
)";

std::string ok(const Result<std::string>& result) {
    EXPECT_TRUE(result.has_value()) << result.error().text();
    return result.value_or("");
}

// Whether the only difference is that, at one place, `come` stands where `gone` stood.
testing::AssertionResult swaps(const std::string& before, const std::string& after, const std::string& gone,
                               const std::string& come) {
    for (std::size_t at = before.find(gone); at != std::string::npos; at = before.find(gone, at + 1)) {
        if (std::string(before).replace(at, gone.size(), come) == after) {
            return testing::AssertionSuccess();
        }
    }
    return testing::AssertionFailure() << "it became\n" << after;
}

TEST(SetWeights, ReplacesANumberAndNothingElse) {
    EXPECT_TRUE(swaps(kBlock, ok(set_weights(kBlock, 1, {{0, 75}})), "90", "75"));
    EXPECT_TRUE(swaps(kBlock, ok(set_weights(kBlock, 1, {{2, 5}})), "0x0", "5"));
    EXPECT_EQ(ok(set_weights(kBlock, 1, {{0, 90}})), kBlock);
}

TEST(SetWeights, WritesOneInWhereNoneStands) {
    EXPECT_TRUE(swaps(kBlock, ok(set_weights(kBlock, 1, {{1, 25}})), "", "        weight: 25\n"));
    EXPECT_TRUE(swaps(kBlock, ok(set_weights(kBlock, 0, {{0, 100}})), "", "      weight: 100\n"));
}

TEST(SetWeights, SetsSeveralAtOnce) {
    const std::string once = ok(set_weights(kBlock, 1, {{1, 25}, {0, 75}}));
    EXPECT_EQ(once, ok(set_weights(ok(set_weights(kBlock, 1, {{0, 75}})), 1, {{1, 25}})));
    EXPECT_NE(once.find("weight: 75  # was 100"), std::string::npos);
}

TEST(SetWeights, KeepsWindowsLinesAndALastLineWithoutEnd) {
    std::string windows;
    for (const char c : kBlock) {
        windows += c == '\n' ? "\r\n" : std::string(1, c);
    }
    EXPECT_TRUE(swaps(windows, ok(set_weights(windows, 1, {{1, 25}})), "", "        weight: 25\r\n"));
    EXPECT_TRUE(swaps(windows, ok(set_weights(windows, 1, {{0, 5}})), "90", "5"));
    const std::string cut = "spec:\n  http:\n  - route:\n    - destination: {host: a}";
    EXPECT_EQ(ok(set_weights(cut, 0, {{0, 3}})), cut + "\n      weight: 3");
}

TEST(SetWeights, CountsBytesBehindOtherScripts) {
    const std::string text =
        "\xef\xbb\xbf# größer – 大\nspec: {http: [{name: \"ü\", route: [{destination: {host: a}, weight: 1}]}]}\n";
    EXPECT_TRUE(swaps(text, ok(set_weights(text, 0, {{0, 42}})), "1", "42"));
}

TEST(SetWeights, TakesFlowStyleAndJson) {
    const std::string json = R"({"spec": {"http": [{"route": [
  {"destination": {"host": "a", "subset": "v1"},
   "weight": 90},
  {
    "destination": {"host": "a", "subset": "v2"}
  },
  {"destination": {"host": "a"}, "weight": null}
]}]}})";
    EXPECT_TRUE(swaps(json, ok(set_weights(json, 0, {{0, 80}})), "9", "8"));
    EXPECT_TRUE(swaps(json, ok(set_weights(json, 0, {{1, 10}})), "", ",\n    \"weight\": 10"));
    EXPECT_TRUE(swaps(json, ok(set_weights(json, 0, {{2, 10}})), "null", "10"));
    const std::string blank = "spec: {http: [{route: [{destination: {host: a}, weight: }]}]}\n";
    EXPECT_EQ(ok(set_weights(blank, 0, {{0, 7}})), "spec: {http: [{route: [{destination: {host: a}, weight:  7}]}]}\n");
    const std::string empty = "spec:\n  http:\n  - route:\n    - weight:   # later\n      destination: {host: a}\n";
    EXPECT_TRUE(swaps(empty, ok(set_weights(empty, 0, {{0, 7}})), "", " 7"));
}

TEST(SetWeights, OfTcpRulesWhereThereIsNoHttpRule) {
    const std::string tcp = "spec:\n  http: []\n  tcp:\n  - route:\n    - {destination: {host: a}, weight: 1}\n";
    EXPECT_TRUE(swaps(tcp, ok(set_weights(tcp, 0, {{0, 2}})), "1", "2"));
}

TEST(SetWeights, SaysWhatIsNotThere) {
    EXPECT_NE(set_weights(kBlock, 2, {{0, 1}}).error().message.find("there is no spec.http[2]"), std::string::npos);
    EXPECT_NE(set_weights(kBlock, 1, {{3, 1}}).error().message.find("there is no spec.http[1].route[3]"),
              std::string::npos);
    EXPECT_FALSE(set_weights("", 0, {{0, 1}}));
    EXPECT_FALSE(set_weights("[]", 0, {{0, 1}}));
    EXPECT_FALSE(set_weights("spec: {http: {route: 1}}", 0, {{0, 1}}));
    EXPECT_FALSE(set_weights(kBlock + "---\n" + kBlock, 0, {{0, 1}}));
    EXPECT_FALSE(set_weights(kBlock, 1, {{0, 1}, {0, 2}}));
}

TEST(SetWeights, RefusesAliasesWithTheirLine) {
    const std::string alias = "spec:\n  http:\n  - route: &r\n    - destination: {host: a}\n  - route: *r\n";
    EXPECT_NE(set_weights(alias, 1, {{0, 1}}).error().message.find("line 3: found an anchor"), std::string::npos);
    EXPECT_FALSE(set_weights("spec: !!map {http: [{route: [{weight: 1}]}]}", 0, {{0, 1}}));
}

TEST(AddDestination, CopiesOneInItsStyle) {
    EXPECT_TRUE(swaps(kBlock, ok(add_destination(kBlock, 1, 0, "v47", 0)), "",
                      "      - destination:\n          host: ranking\n          subset: v47\n"
                      "          port:\n            number: 8080\n        weight: 0\n"));
    EXPECT_TRUE(swaps(kBlock, ok(add_destination(kBlock, 1, 2, "v47", 3)), "",
                      "      - weight: 3\n        destination: {host: other, subset: v47}\n"));
    EXPECT_TRUE(swaps(kBlock, ok(add_destination(kBlock, 0, 0, "47", 5)), "",
                      "    - destination: {host: ranking, subset: \"47\"}\n      weight: 5\n"));
}

TEST(AddDestination, KeepsWhatElseADestinationSays) {
    EXPECT_TRUE(swaps(kBlock, ok(add_destination(kBlock, 1, 1, "v47", 3)), "",
                      "      - destination:\n          host: ranking\n          subset: v47\n"
                      "          port:\n            number: 8080\n        weight: 3\n"
                      "        headers: {response: {set: {x-arm: new}}}\n"));
}

TEST(AddDestination, IsTakenOutAgain) {
    for (const std::size_t like : {0, 1, 2}) {
        EXPECT_EQ(ok(remove_destination(ok(add_destination(kBlock, 1, like, "v47", 0)), 1, 3)), kBlock);
    }
    EXPECT_TRUE(swaps(kBlock, ok(remove_destination(kBlock, 1, 2)),
                      "      - weight: 0x0\n        destination: {host: other}\n", ""));
    EXPECT_NE(remove_destination(kBlock, 0, 0).error().message.find("only destination"), std::string::npos);
    EXPECT_FALSE(remove_destination(kBlock, 1, 3));
}

TEST(AddDestination, InJson) {
    const std::string json = R"({"spec": {"http": [{"route": [{"destination": {"host": "a", "subset": "v1"}}]}]}})";
    EXPECT_TRUE(swaps(json, ok(add_destination(json, 0, 0, "v2", 5)), "",
                      R"(, {"destination": {"host": "a", "subset": "v2"}, "weight": 5})"));
}

TEST(Mirrors, AreAddedAndTakenOutAgain) {
    const std::string with = ok(add_mirror(kBlock, 1, "ranking", "v47", 8080, 12.5));
    EXPECT_TRUE(swaps(kBlock, with, "",
                      "    mirrors: [{destination: {host: ranking, subset: v47, port: {number: 8080}}, "
                      "percentage: {value: 12.5}}]\n"));
    const std::string two = ok(add_mirror(with, 1, "ranking", "v48", 0, 10));
    EXPECT_TRUE(swaps(with, two, "", ", {destination: {host: ranking, subset: v48}, percentage: {value: 10}}"));
    EXPECT_EQ(ok(remove_mirror(two, 1, 1)), with);
    EXPECT_EQ(ok(remove_mirror(with, 1, 0)), kBlock);
    EXPECT_FALSE(remove_mirror(kBlock, 1, 0));
}

TEST(Mirrors, StandBesideOthersInTheirStyle) {
    const std::string block =
        "spec:\n  http:\n  - route:\n    - destination: {host: a}\n    mirrors:\n"
        "    - destination: {host: b}\n      percentage: {value: 1}\n    # done\n";
    const std::string two = ok(add_mirror(block, 0, "a", "v2", 0, 100));
    EXPECT_TRUE(swaps(block, two, "", "    - {destination: {host: a, subset: v2}, percentage: {value: 100}}\n"));
    EXPECT_EQ(ok(remove_mirror(two, 0, 1)), block);
    const std::string json = R"({"spec": {"http": [{"mirrors": null, "route": []}]}})";
    EXPECT_EQ(ok(add_mirror(json, 0, "a", "v2", 0, 100)),
              R"({"spec": {"http": [{"mirrors": [{"destination": {"host": "a", "subset": "v2"}, )"
              R"("percentage": {"value": 100}}], "route": []}]}})");
}

TEST(Mirrors, AreRefusedBesideAMirror) {
    const std::string old = "spec: {http: [{mirror: {host: a}, route: []}]}";
    EXPECT_NE(add_mirror(old, 0, "a", "v2", 0, 100).error().message.find("has a mirror already"), std::string::npos);
}

const std::string kRule = R"({"name": "canary-x-internal", "match": [{"headers": {"x-team": {"exact": "a b"}}}],)"
                          R"("route": [{"destination": {"host": "ranking", "subset": "v47"}, "weight": 1}]})";

TEST(Rules, AreInsertedAboveAnothersComments) {
    const std::string line =
        "  - {name: canary-x-internal, match: [{headers: {x-team: {exact: \"a b\"}}}], "
        "route: [{destination: {host: ranking, subset: v47}, weight: 1}]}\n";
    for (const std::size_t before : {0, 1}) {
        const std::string with = ok(insert_rule(kBlock, before, kRule));
        std::string wanted = kBlock;
        wanted.insert(wanted.find(before == 0 ? "  # Internal users" : "  - name: default-split"), line);
        EXPECT_EQ(with, wanted);
        EXPECT_EQ(ok(remove_rule(with, before)), kBlock);
    }
}

TEST(Rules, AreInsertedIntoFlowStyleAndTakenOutAgain) {
    const std::string json =
        "{\"spec\": {\"http\": [\n    {\"name\": \"one\", \"route\": []},\n    {\"name\": \"two\"}\n]}}\n";
    for (const std::size_t before : {0, 1}) {
        const std::string with = ok(insert_rule(json, before, kRule));
        EXPECT_NE(with.find("    {\"name\": \"canary-x-internal\", "), std::string::npos) << with;
        EXPECT_EQ(std::ranges::count(with, '\n'), std::ranges::count(json, '\n') + 1);
        EXPECT_EQ(ok(remove_rule(with, before)), json);
    }
    EXPECT_EQ(ok(remove_rule(json, 1)), "{\"spec\": {\"http\": [\n    {\"name\": \"one\", \"route\": []}\n]}}\n");
}

TEST(Rules, AreRemovedWithTheirOwnLines) {
    const std::string without = ok(remove_rule(kBlock, 0));
    EXPECT_EQ(without.size(),
              kBlock.size() - kBlock.find("  - name: default-split") + kBlock.find("  - name: internal"));
    EXPECT_NE(without.find("  # Internal users first.\n  - name: default-split"), std::string::npos) << without;
    EXPECT_NE(ok(remove_rule(kBlock, 1)).find("subset: v47}\n# The end.\n"), std::string::npos);
    EXPECT_NE(remove_rule(without, 0).error().message.find("only one"), std::string::npos);
    EXPECT_FALSE(remove_rule(kBlock, 2));
}

TEST(Rules, TextsThatYamlWouldReadOtherwiseAreQuoted) {
    const std::string text = "spec:\n  http:\n  - route: []\n";
    const std::string odd =
        R"({"name": "yes", "match": [{"uri": {"exact": "\u2028\u0085\u007f\ufeff\u00e9\n\ud83d\ude00"},
        "method": {"exact": "10"}, "headers": {"a": {"regex": "a: #b, [c]"}, "b": {"prefix": ""}, "c": null}}]})";
    const std::string with = ok(insert_rule(text, 0, odd));
    EXPECT_NE(with.find("{name: \"yes\""), std::string::npos) << with;
    EXPECT_NE(with.find(R"("\u2028\u0085\u007f\ufeffé\u000a😀")"), std::string::npos) << with;
    EXPECT_EQ(ok(remove_rule(with, 0)), text);
    EXPECT_FALSE(insert_rule(text, 0, "[]"));
    EXPECT_FALSE(insert_rule(text, 0, "{"));
}

}  // namespace
}  // namespace sluice::source
