// Experiment: keys, defaults.
#include <gtest/gtest.h>

#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

Experiment experiment(const std::string& spec) {
    return one<Experiment>("apiVersion: sluice.dev/v1\nkind: Experiment\nmetadata: {name: ranking-v47}\nspec: " + spec +
                           "\n");
}

TEST(ExperimentTest, Defaults) {
    const Experiment made = experiment("{host: ranker, httpHeaderName: X-User-Id}");
    EXPECT_EQ(made.host, "ranker");
    EXPECT_EQ(made.host_place.line, 4);
    EXPECT_EQ(made.host_place.column, 14);
    EXPECT_EQ(made.route, "");
    EXPECT_EQ(made.name, "ranking-v47");
    EXPECT_EQ(made.buckets, 100u);
    EXPECT_EQ(made.key, (HashKey{HashKey::Kind::kHeader, "x-user-id", "", {}, {}}));
}

TEST(ExperimentTest, Whole) {
    const Experiment made = experiment(
        "{experiment: 'Ranking 2026/11', buckets: 1000000, httpCookie: {name: Uid}, route: canary, host: a.b.c}");
    EXPECT_EQ(made.host, "a.b.c");
    EXPECT_EQ(made.route, "canary");
    EXPECT_EQ(made.route_place.column, 89);
    EXPECT_EQ(made.name, "Ranking 2026/11");
    EXPECT_EQ(made.buckets, 1'000'000u);
    EXPECT_EQ(made.key, (HashKey{HashKey::Kind::kCookie, "Uid", "", {}, {}}));
    EXPECT_EQ(experiment("{host: a, buckets: 1, httpQueryParameterName: User}").key,
              (HashKey{HashKey::Kind::kQuery, "User", "", {}, {}}));
}

TEST(ExperimentTest, ArmsAndExposure) {
    const Experiment plain = experiment("{host: a, httpHeaderName: x}");
    EXPECT_TRUE(plain.arms.empty());
    EXPECT_FALSE(plain.exposure);
    const Experiment made = experiment(
        "{host: a, httpHeaderName: x, arms: [{name: control, subset: v1, weight: 90}, {subset: v1, weight: 10}, "
        "{subset: v2, weight: 0}], exposure: {percentage: 2.5, key: plain}}");
    ASSERT_EQ(made.arms.size(), 3u);
    EXPECT_EQ(made.arms[0].name, "control");
    EXPECT_EQ(made.arms[0].subset, "v1");
    EXPECT_EQ(made.arms[0].weight, 90u);
    EXPECT_EQ(made.arms[1].name, "v1");
    EXPECT_EQ(made.arms[1].place.line, 4);
    EXPECT_GT(made.arms[1].place.column, made.arms[0].place.column);
    ASSERT_TRUE(made.exposure);
    EXPECT_EQ(made.exposure->share, 25'000u);
    EXPECT_TRUE(made.exposure->plain);
    const Experiment all = experiment("{host: a, httpHeaderName: x, exposure: {}}");
    ASSERT_TRUE(all.exposure);
    EXPECT_EQ(all.exposure->share, 1'000'000u);
    EXPECT_FALSE(all.exposure->plain);
}

TEST(ExperimentTest, IsAnObjectOfItsKind) {
    const Parsed parsed = parse_text(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: sluice.dev/v1\n  kind: Experiment\n  metadata: {name: a, "
        "namespace: ml}\n  spec: {host: a, httpHeaderName: x}\n");
    EXPECT_EQ(parsed.output(), "+ Experiment ml/a\n");
    ASSERT_EQ(parsed.objects.size(), 1u);
    EXPECT_EQ(parsed.objects[0]->key, (ObjectKey{Kind::kExperiment, "ml", "a"}));
}

}  // namespace
}  // namespace sluice::config::test
