// New weights: which rule is meant.
#include "model/weigh.h"

#include <gmock/gmock.h>

#include "build.h"

namespace sluice::model::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kHost = "rank.ml.svc.cluster.local";

struct Weighing : ::testing::Test {
    std::map<config::ObjectKey, ObjectPtr> objects;
    void add(const Draft& draft) { objects[draft.object.key] = draft.done(); }
    static VirtualService rules() {
        VirtualService rule("ml", "rank", kHost);
        rule.http({{kHost, "v2"}}).named("beta").when(header("x-beta", "1"));
        rule.http({{kHost, "v1", 90}, {kHost, "v2", 10}, {"other", ""}}).named("split");
        return rule;
    }
    // "OBJECT RULE DESTINATION…", or why not.
    std::string meant(const std::string& service, const std::string& wishes, const std::string& route = "") const {
        const auto read = read_wishes(wishes);
        if (!read) {
            return read.error().message;
        }
        const auto found = weighed_rule(objects, service, route, *read);
        if (!found) {
            return found.error().message;
        }
        std::string out = found->virtual_service->key.name + " " + std::to_string(found->rule);
        for (const std::size_t destination : found->destinations) {
            out += " " + std::to_string(destination);
        }
        return out;
    }
};

TEST_F(Weighing, ReadsWeightsBySubset) {
    const auto wishes = read_wishes("v45=90,a.b=0");
    ASSERT_TRUE(wishes);
    ASSERT_EQ(wishes->size(), 2u);
    EXPECT_EQ((*wishes)[0].name, "v45");
    EXPECT_EQ((*wishes)[0].weight, 90u);
    EXPECT_EQ((*wishes)[1].name, "a.b");
    for (const char* bad :
         {"", "v1", "=5", "v1=", "v1=-1", "v1=5%", "v1=4294967296", "v1=5,", "v1=5,,v2=6", "v1 = 5"}) {
        EXPECT_FALSE(read_wishes(bad)) << bad;
    }
    EXPECT_THAT(read_wishes("v1=5,v1=6").error().message, HasSubstr("v1 is given two weights"));
}

TEST_F(Weighing, FindsTheRuleThatHasAllOfThem) {
    add(rules());
    EXPECT_EQ(meant("rank", "v2=20,v1=80"), "rank 1 1 0");
    EXPECT_EQ(meant("rank.ml", "v1=80"), "rank 1 0");
    EXPECT_EQ(meant("RANK.ml.svc.cluster.local", "v1=80,other=1"), "rank 1 0 2");
}

TEST_F(Weighing, NamesThePlacesWhereSeveralFit) {
    add(rules());
    const std::string said = meant("rank", "v2=20");
    EXPECT_THAT(said, HasSubstr("say which with --route"));
    EXPECT_THAT(said, HasSubstr("rule beta of VirtualService ml/rank (rules.yaml:"));
    EXPECT_THAT(said, HasSubstr("rule split of VirtualService ml/rank (rules.yaml:"));
    EXPECT_EQ(meant("rank", "v2=20", "split"), "rank 1 1");
    VirtualService twin("other", "twin", "rank");
    twin.http({{"rank", "v1", 1}, {"rank", "v2", 1}});
    add(twin);
    EXPECT_THAT(meant("rank", "v1=1,v2=1"), HasSubstr("rule without name of VirtualService other/twin"));
    EXPECT_EQ(meant("rank.other", "v1=1,v2=1"), "twin 0 0 1");
}

TEST_F(Weighing, SaysWhichDestinationsThereAre) {
    add(rules());
    EXPECT_THAT(meant("rank", "v3=1"), HasSubstr("rule split of VirtualService ml/rank (rules.yaml:"));
    EXPECT_THAT(meant("rank", "v3=1"), HasSubstr("has no v3, only v1, v2, other"));
    EXPECT_THAT(meant("rank", "v1=1", "beta"), HasSubstr("has no v1, only v2"));
    EXPECT_THAT(meant("rank", "v1=1", "none"), HasSubstr("no VirtualService has a rule with the name none for rank"));
    EXPECT_THAT(meant("ran", "v1=1"), HasSubstr("no VirtualService has a rule for ran"));
}

TEST_F(Weighing, OfTwoDestinationsWithOneSubsetMeansNeither) {
    VirtualService rule("ml", "rank", kHost);
    rule.http({{kHost, "v1", 1, 80}, {kHost, "v1", 1, 81}, {kHost, "v2", 1}});
    add(rule);
    EXPECT_THAT(meant("rank", "v1=1"), HasSubstr("has 2 destinations with v1"));
    EXPECT_EQ(meant("rank", "v2=1"), "rank 0 2");
}

TEST_F(Weighing, KeepsTheWeightsOfOthers) {
    add(rules());
    const std::vector<Wish> wishes{{"v2", 25}};
    const auto rule = weighed_rule(objects, "rank", "split", wishes);
    ASSERT_TRUE(rule);
    const auto rows = weighed(*rule, wishes);
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].after, 90u);
    EXPECT_EQ(rows[1].before, 10u);
    EXPECT_EQ(rows[1].after, 25u);
    EXPECT_EQ(rows[2].name, "other");
    EXPECT_FALSE(rows[2].after);
}

TEST_F(Weighing, KnowsTheCanariesOfTheRule) {
    add(rules());
    add(Canary("ml", "mine", "rank", "v1", "v2"));
    add(Canary("ml", "other", "rank", "v2", "v1", "beta"));
    const auto rule = weighed_rule(objects, "rank", "split", {{"v2", 25}});
    ASSERT_TRUE(rule);
    EXPECT_THAT(canaries_of(objects, *rule), ElementsAre("Canary ml/mine"));
}

}  // namespace
}  // namespace sluice::model::test
