// Arms: their buckets, their destinations, and who moves when they change.
#include <algorithm>
#include <map>

#include "proxy/experiment_moves.h"
#include "tests/unit/proxy/experiment_arms.h"

namespace sluice::proxy::test {
namespace {

constexpr std::size_t kUsers = 20'000;

std::string user(std::size_t i) {
    return "user-" + std::to_string(i);
}

TEST(ExperimentArms, HaveTheirOwnOrderAndWeights) {
    const Arms arms({{"small", "v43", 5}, {"treatment", "v47", 10}, {"control", "v45", 85}});
    const Split& split = arms.split();
    EXPECT_EQ(split.ends, (std::vector<std::uint32_t>{5, 15, 100}));
    EXPECT_EQ(split.experiment, "trial");
    EXPECT_EQ(split.ns, "ml");
    EXPECT_EQ(split.salt(), "salt");
    EXPECT_EQ(split.arms[0].destination, 2u);
    EXPECT_EQ(split.arms[2].name, "control");
    EXPECT_EQ(split.arms[2].destination, 0u);
}

TEST(ExperimentArms, DecideWhereTheKeyedGoAndTheRulesWeightsWhereTheOthersDo) {
    Arms arms({{"small", "v43", 5}, {"treatment", "v47", 10}, {"control", "v45", 85}});
    const TablePtr table = build({arms.service.port()});
    const Rule& rule = table->hosts()[0]->rules[0];
    for (std::size_t i = 0; i < 1000; ++i) {
        const Request request("GET", "/", {{"X-User-Id", user(i)}});
        const std::uint32_t bucket = split_bucket(arms.split(), user(i));
        std::optional<Assigned> assigned;
        EXPECT_EQ(choose(rule, request.asked, ~0ull, &assigned), bucket < 5 ? 2u : bucket < 15 ? 1u : 0u);
        ASSERT_TRUE(assigned.has_value());
        EXPECT_EQ(assigned->bucket, bucket);
        EXPECT_EQ(assigned->key, user(i));
    }
    std::map<std::size_t, std::size_t> drawn;
    const Request nobody("GET", "/");
    for (std::uint64_t i = 0; i < 1000; ++i) {
        std::optional<Assigned> assigned = Assigned{};
        ++drawn[*choose(rule, nobody.asked, i * (~0ull / 1000), &assigned)];
        EXPECT_FALSE(assigned.has_value());
    }
    EXPECT_EQ(drawn.size(), 2u) << "v43 has weight 0 in the rule";
    EXPECT_NEAR(drawn[0], 500, 50);
}

TEST(ExperimentArms, OfOneSubsetMakeAnAATest) {
    const Arms arms({{"a1", "v45", 1}, {"a2", "v45", 1}});
    EXPECT_EQ(arms.split().ends, (std::vector<std::uint32_t>{50, 100}));
    EXPECT_EQ(arms.split().arms[1].destination, 0u);
    EXPECT_NE(arms.split().arms[0].id, arms.split().arms[1].id);
    // Whoever is served by the arm's own subset is of that arm, not of the first one that has it.
    for (std::size_t i = 0; i < 50; ++i) {
        const Assigned assigned = *assign(arms.split(), user(i));
        EXPECT_EQ(arms.split().arm_of(assigned, 0), assigned.arm);
    }
}

TEST(ExperimentArms, WhoStandsInIsKnownByItsOwnArm) {
    const Arms arms({{"control", "v45", 1}, {"treatment", "v47", 1}});
    for (std::size_t i = 0; i < 50; ++i) {
        const Assigned assigned = *assign(arms.split(), user(i));
        EXPECT_EQ(arms.split().arm_of(assigned, 1 - assigned.arm), 1 - assigned.arm);
        EXPECT_EQ(arms.split().arm_of(assigned, 2), assigned.arm) << "v43 is no arm";
    }
}

TEST(ExperimentArms, WithoutASubsetInTheRuleSplitNothing) {
    Service service;
    service.rule({{"v45", 1}, {"v47", 1}}, "split");
    const config::Experiment made = experiment_with({{"a", "v45", 1}, {"b", "v99", 1}});
    service.last().experiment = &made;
    EXPECT_EQ(split_of(service.last()), nullptr);
}

// Counts over users what compare_splits() says.
void expect_moves(const Split& before, const Split& after, const Moves& moves) {
    std::map<std::string, double> left, joined;
    double moved = 0;
    for (std::size_t i = 0; i < kUsers; ++i) {
        const Split::Arm& from = before.arms[assign(before, user(i))->arm];
        const Split::Arm& to = after.arms[assign(after, user(i))->arm];
        moved += from.name != to.name || from.subset != to.subset;
        left[from.name] += from.name != to.name;
        joined[to.name] += from.name != to.name;
    }
    EXPECT_NEAR(moves.moved, moved / kUsers, 0.015);
    for (const ArmChange& arm : moves.arms) {
        EXPECT_NEAR(arm.left, left[arm.name] / kUsers, 0.015) << arm.name;
        EXPECT_NEAR(arm.joined, joined[arm.name] / kUsers, 0.015) << arm.name;
    }
}

struct Change {
    const char* what;
    std::vector<ArmOf> before, after;
    std::uint32_t buckets_before, buckets_after;
    bool steady;
    const char* text;
};

class ExperimentMoves : public ::testing::TestWithParam<Change> {};

TEST_P(ExperimentMoves, AreTheUsersThatMove) {
    const Change& change = GetParam();
    const Arms before(change.before, change.buckets_before), after(change.after, change.buckets_after);
    const Moves moves = compare_splits(before.split(), after.split());
    expect_moves(before.split(), after.split(), moves);
    EXPECT_EQ(moves.steady(), change.steady);
    EXPECT_EQ(moves.text(), change.text);
}

INSTANTIATE_TEST_SUITE_P(
    , ExperimentMoves,
    ::testing::Values(
        Change{"nothing", {{"a", "v45", 9}, {"b", "v47", 1}}, {{"a", "v45", 90}, {"b", "v47", 10}}, 100, 100, true, ""},
        Change{"grown",
               {{"a", "v45", 90}, {"b", "v47", 10}},
               {{"a", "v45", 75}, {"b", "v47", 25}},
               100,
               100,
               true,
               "15% of the users move: a -> b (buckets 75-89)"},
        // The middle one grows at the cost of the first, so it only takes; the last keeps its own.
        Change{"middle",
               {{"a", "v45", 85}, {"b", "v47", 10}, {"c", "v43", 5}},
               {{"a", "v45", 70}, {"b", "v47", 25}, {"c", "v43", 5}},
               100,
               100,
               true,
               "15% of the users move: a -> b (buckets 70-84)"},
        // The first grows at the cost of the last: the middle one is pushed along, and its users leave for nothing.
        Change{"pushed",
               {{"a", "v45", 40}, {"b", "v47", 20}, {"c", "v43", 40}},
               {{"a", "v45", 50}, {"b", "v47", 20}, {"c", "v43", 30}},
               100,
               100,
               false,
               "20% of the users move: b -> a (buckets 40-49), c -> b (buckets 60-69)"},
        Change{"swapped",
               {{"a", "v45", 50}, {"b", "v47", 50}},
               {{"b", "v47", 50}, {"a", "v45", 50}},
               100,
               100,
               false,
               "100% of the users move: a -> b (buckets 0-49), b -> a (buckets 50-99)"},
        Change{"subset",
               {{"a", "v45", 99}, {"b", "v47", 1}},
               {{"a", "v45", 99}, {"b", "v43", 1}},
               100,
               100,
               true,
               "1% of the users move: b (v47) -> b (v43) (bucket 99)"},
        Change{"new",
               {{"a", "v45", 80}, {"b", "v47", 20}},
               {{"a", "v45", 80}, {"b", "v47", 10}, {"c", "v43", 10}},
               100,
               100,
               true,
               "10% of the users move: b -> c (buckets 90-99)"},
        Change{"twice as fine",
               {{"a", "v45", 90}, {"b", "v47", 10}},
               {{"a", "v45", 180}, {"b", "v47", 20}},
               100,
               200,
               false,
               "10% of the users move: all are assigned anew (200 buckets instead of 100)"},
        Change{"ten times as fine",
               {{"a", "v45", 90}, {"b", "v47", 10}},
               {{"a", "v45", 75}, {"b", "v47", 25}},
               100,
               1000,
               false,
               "29% of the users move: all are assigned anew (1000 buckets instead of 100)"}),
    [](const auto& each) {
        std::string name = each.param.what;
        std::ranges::replace(name, ' ', '_');
        return name;
    });

TEST(ExperimentMovesAnew, WithAnotherSaltOrKeyEverybodyIsAssignedAnew) {
    config::Experiment of = experiment_with({{"a", "v45", 90}, {"b", "v47", 10}});
    const Arms before(of);
    of.name = "pepper";
    const Arms salted(of);
    const Moves moves = compare_splits(before.split(), salted.split());
    expect_moves(before.split(), salted.split(), moves);
    EXPECT_EQ(moves.anew, "another salt");
    EXPECT_NEAR(moves.moved, 0.18, 1e-9);
    EXPECT_FALSE(moves.steady());
    of.name = "salt";
    of.key.kind = config::HashKey::Kind::kCookie;
    const Arms keyed(of);
    EXPECT_EQ(compare_splits(before.split(), keyed.split()).anew, "another key");
}

}  // namespace
}  // namespace sluice::proxy::test
