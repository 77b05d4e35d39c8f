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
