// The split that a published route makes: right shares, independent draws.
#include <gtest/gtest.h>

#include <cmath>

#include "mesh_maker.h"

namespace sluice::compile {
namespace {

using namespace test;

// Upper tail of the chi-squared distribution with two degrees of freedom.
double chi2_tail_two(double x) {
    return std::exp(-x / 2);
}

class Split {
  public:
    Split(const std::vector<std::uint32_t>& weights, std::uint64_t seed)
        : publisher_(tables_.tables(), tables_.identities(), tables_.services(), tables_.clients(), [] {}),
          decider_(tables_, seed) {
        std::vector<std::pair<model::ClusterPtr, std::uint32_t>> destinations;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const std::string address = "10.0.0." + std::to_string(i + 1);
            destinations.emplace_back(cluster("c" + std::to_string(i), {endpoint(address)}), weights[i]);
        }
        EXPECT_TRUE(publisher_.publish(changed({service("a", {"10.1.0.1"}, destinations)})));
    }
    std::uint32_t draw() { return decider_.dial("10.1.0.1").destination; }

  private:
    HeapTables tables_;
    Publisher publisher_;
    Decider decider_;
};

class Shares : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Shares, AreNeitherTooFarNorTooExact) {
    Split split({85, 10, 5}, GetParam());
    constexpr int kDraws = 20'000;
    int counts[3] = {};
    for (int i = 0; i < kDraws; ++i) {
        ++counts[split.draw()];
    }
    const double expected[3] = {kDraws * 0.85, kDraws * 0.10, kDraws * 0.05};
    double chi2 = 0;
    for (int i = 0; i < 3; ++i) {
        chi2 += (counts[i] - expected[i]) * (counts[i] - expected[i]) / expected[i];
    }
    const double p = chi2_tail_two(chi2);
    EXPECT_GT(p, 0.001);
    EXPECT_LT(p, 0.999);
}

// Wald-Wolfowitz: a rotor makes too many runs, a sticky draw too few.
TEST_P(Shares, SuccessiveDrawsAreIndependent) {
    Split split({1, 1}, GetParam());
    constexpr int kDraws = 20'000;
    int ones = 0, runs = 1;
    std::uint32_t last = split.draw();
    ones += last == 1 ? 1 : 0;
    for (int i = 1; i < kDraws; ++i) {
        const std::uint32_t now = split.draw();
        ones += now == 1 ? 1 : 0;
        runs += now != last ? 1 : 0;
        last = now;
    }
    const double n1 = ones, n2 = kDraws - ones, n = kDraws;
    const double mean = 2 * n1 * n2 / n + 1;
    const double variance = (mean - 1) * (mean - 2) / (n - 1);
    EXPECT_LT(std::abs(runs - mean) / std::sqrt(variance), 3.3);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Shares, testing::Values(11, 12, 13));

TEST(Shares, WeightZeroGetsNothing) {
    Split split({3, 0, 7}, 5);
    for (int i = 0; i < 50'000; ++i) {
        ASSERT_NE(split.draw(), 1u);
    }
}

TEST(Shares, OneToTwoIsAThird) {
    Split split({1, 2}, 6);
    int first = 0;
    for (int i = 0; i < 30'000; ++i) {
        first += split.draw() == 0 ? 1 : 0;
    }
    EXPECT_NEAR(first, 10'000, 330);  // four standard deviations
}

}  // namespace
}  // namespace sluice::compile
