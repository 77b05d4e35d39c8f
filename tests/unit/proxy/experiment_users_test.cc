// A million users, their arms, and what a change of shares does to them.
#include <algorithm>
#include <cmath>

#include "proxy/experiment_moves.h"
#include "tests/unit/proxy/experiment_arms.h"

namespace sluice::proxy::test {
namespace {

constexpr std::size_t kUsers = 1'000'000;

// The arm of each user, in the order of their numbers.
std::vector<std::uint8_t> arms_of_users(const Split& split) {
    std::vector<std::uint8_t> out;
    out.reserve(kUsers);
    char text[24] = "user-";
    for (std::size_t i = 0; i < kUsers; ++i) {
        const char* end = std::to_chars(text + 5, text + sizeof text, i).ptr;
        const std::optional<Assigned> assigned = assign(split, std::string_view(text, end));
        out.push_back(assigned ? static_cast<std::uint8_t>(assigned->arm) : 255);
    }
    return out;
}

double share(const std::vector<std::uint8_t>& arms, std::uint8_t arm) {
    return static_cast<double>(std::ranges::count(arms, arm)) / kUsers;
}

TEST(ExperimentUsers, OfAMillionNobodyLeavesAnArmThatGrowsFrom10To25Percent) {
    const Arms before({{"control", "v45", 90}, {"treatment", "v47", 10}}, 1000);
    const Arms after({{"control", "v45", 75}, {"treatment", "v47", 25}}, 1000);
    const std::vector<std::uint8_t> was = arms_of_users(before.split()), is = arms_of_users(after.split());
    EXPECT_NEAR(share(was, 1), 0.10, 0.001);
    EXPECT_NEAR(share(is, 1), 0.25, 0.001);
    std::size_t left = 0, joined = 0;
    for (std::size_t i = 0; i < kUsers; ++i) {
        left += was[i] == 1 && is[i] != 1;
        joined += was[i] != 1 && is[i] == 1;
    }
    EXPECT_EQ(left, 0u);
    // What compare_splits() says beforehand is what happens.
    const Moves moves = compare_splits(before.split(), after.split());
    EXPECT_TRUE(moves.steady());
    EXPECT_NEAR(joined / double(kUsers), moves.moved, 0.001);
}

TEST(ExperimentUsers, SharesOfThreeArmsAreWithinATenthOfAPointFrom1000BucketsOn) {
    for (const std::uint32_t buckets : {1000u, 1'000'000u}) {
        const Arms three({{"a", "v45", 333}, {"b", "v47", 333}, {"c", "v43", 334}}, buckets);
        const std::vector<std::uint8_t> arms = arms_of_users(three.split());
        EXPECT_NEAR(share(arms, 0), 0.333, 0.001) << buckets;
        EXPECT_NEAR(share(arms, 1), 0.333, 0.001) << buckets;
        EXPECT_NEAR(share(arms, 2), 0.334, 0.001) << buckets;
    }
    // With 100 the ends are whole percents: 33, 66, 100.
    const Arms coarse({{"a", "v45", 333}, {"b", "v47", 333}, {"c", "v43", 334}}, 100);
    EXPECT_EQ(coarse.split().ends, (std::vector<std::uint32_t>{33, 66, 100}));
}

TEST(ExperimentUsers, ASampleOfTheKeysIsIndependentOfTheArmAndTheSameForGood) {
    const Arms arms({{"a", "v45", 50}, {"b", "v47", 50}}, 1000);
    const Arms moved({{"a", "v45", 10}, {"b", "v47", 90}}, 1'000);
    std::size_t sampled = 0, in_b = 0;
    constexpr std::uint32_t kShare = 100'000;  // a tenth
    for (std::size_t i = 0; i < 100'000; ++i) {
        const std::string key = "user-" + std::to_string(i);
        const Assigned now = *assign(arms.split(), key), later = *assign(moved.split(), key);
        ASSERT_EQ(now.sampled(kShare), later.sampled(kShare)) << key;
        ASSERT_TRUE(!now.sampled(kShare) || now.sampled(2 * kShare)) << "a larger sample has all of the smaller";
        ASSERT_TRUE(now.sampled(1'000'000));
        ASSERT_FALSE(now.sampled(0));
        sampled += now.sampled(kShare);
        in_b += now.sampled(kShare) && now.arm == 1;
    }
    EXPECT_NEAR(sampled, 10'000, 5 * std::sqrt(9000));
    EXPECT_NEAR(in_b, sampled / 2.0, 5 * std::sqrt(sampled / 4.0));
}

}  // namespace
}  // namespace sluice::proxy::test
