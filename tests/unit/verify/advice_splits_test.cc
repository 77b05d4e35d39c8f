// Advice on experiments and canaries.
#include <gmock/gmock.h>

#include "tests/unit/verify/meshes.h"
#include "verify/advice.h"

namespace sluice::verify::test {
namespace {

using testing::HasSubstr;

std::vector<Advice> advice(const std::string& text, const Knowledge& knowledge = {}) {
    const model::Mesh mesh = mesh_of(text);
    return advise(mesh, knowledge);
}

std::string said(const std::string& text, const Knowledge& knowledge = {}) {
    std::string out;
    for (const Advice& one : advice(text, knowledge)) {
        EXPECT_NE(find_page(one.code), nullptr) << one.code;
        out += (out.empty() ? "" : " ") + std::string(one.code);
    }
    return out;
}

std::string first_text(const std::string& text, const Knowledge& knowledge = {}) {
    const auto all = advice(text, knowledge);
    return all.empty() ? "nothing" : all.front().diagnostic.text();
}

// The rule `split` with these weights of subsets.
std::string split(const std::vector<std::pair<std::string, int>>& weights) {
    std::string http = "  - name: split\n    route:\n";
    for (const auto& [subset, weight] : weights) {
        http += "    - {destination: {host: ranker, subset: " + subset + "}, weight: " + std::to_string(weight) + "}\n";
    }
    return kRanker + virtual_service(http);
}

std::string experiment(const std::string& rest) {
    return "apiVersion: sluice.dev/v1\nkind: Experiment\nmetadata: {name: by-user, namespace: ml}\n"
           "spec: {host: ranker, route: split, httpHeaderName: x-user-id" +
           rest + "}\n---\n";
}

std::string canary(const std::string& rest,
                   const std::string& stages = "[{weight: 5, hold: 10m}, {weight: 50, hold: 30m}, {weight: 100}]",
                   const std::string& gates = "[{name: errors, errorRate: {max: 1}}]") {
    return "apiVersion: sluice.dev/v1\nkind: Canary\nmetadata: {name: v47, namespace: ml}\nspec:\n"
           "  host: ranker\n  champion: v45\n  challenger: v47\n  stages: " +
           stages + "\n  gates: " + gates + "\n" + rest + "---\n";
}

TEST(ExperimentAdvice, ArmsThatFallBetweenBuckets) {
    EXPECT_EQ(said(split({{"v45", 85}, {"v47", 15}}) + experiment(", buckets: 10")), "SL307")
        << "8 and 2 of 10 buckets";
    EXPECT_EQ(said(split({{"v45", 85}, {"v47", 15}}) + experiment(", buckets: 100")), "");
    EXPECT_EQ(said(split({{"v45", 34}, {"v46", 33}, {"v47", 33}}) + experiment("")), "");
    EXPECT_EQ(said(split({{"v45", 100}, {"v47", 0}}) + experiment(", buckets: 7")), "");
    EXPECT_THAT(first_text(split({{"v45", 85}, {"v47", 15}}) + experiment(", buckets: 10")),
                HasSubstr("arm v45 has 8 of 10 buckets, which is 80% of the users instead of 85%"));
}

TEST(CanaryAdvice, NothingOfAnOrdinaryOne) {
    const std::string rule = split({{"v45", 95}, {"v47", 5}});
    EXPECT_EQ(said(rule + canary("  interval: 10s\n  minimumRequests: 500\n  dataTimeout: 5m\n")), "");
    EXPECT_EQ(said(split({{"v45", 100}}) + canary("")), "") << "the challenger is added";
    EXPECT_EQ(said(rule + experiment("") + canary("")), "") << "they stand side by side";
    EXPECT_EQ(said(split({{"v45", 80}, {"v46", 0}, {"v47", 20}}) + experiment("") + canary("")), "")
        << "nobody has what stands between";
}

TEST(CanaryAdvice, StagesAndDataTimeoutsShorterThanTheTimeBetweenLooks) {
    const std::string rule = split({{"v45", 95}, {"v47", 5}});
    EXPECT_EQ(
        said(rule + canary("  interval: 1m\n", "[{weight: 5, hold: 30s}, {weight: 50, hold: 1m}, {weight: 100}]")),
        "SL302");
    EXPECT_EQ(said(rule + canary("  interval: 1m\n  dataTimeout: 30s\n")), "SL303");
    EXPECT_EQ(said(rule + canary("  interval: 1m\n  dataTimeout: 1m\n")), "");
    EXPECT_THAT(first_text(rule + canary("  interval: 1m\n", "[{weight: 5, hold: 30s}, {weight: 100}]")),
                HasSubstr("spec.stages[0].hold: 30s is shorter than the interval of 60s"));
}

TEST(CanaryAdvice, QueriesThatLookBackBehindTheStage) {
    const std::string rule = split({{"v45", 95}, {"v47", 5}});
    const auto query = [&](const std::string& promql) {
        return said(rule + canary("  prometheus: http://127.0.0.1:9090\n", "[{weight: 5, hold: 1m}, {weight: 100}]",
                                  "[{name: q, query: {promql: '" + promql + "', max: 1}}]"));
    };
    EXPECT_EQ(query("rate(x[5m])"), "SL304");
    EXPECT_EQ(query("rate(x[30s]) / rate(y[1m30s])"), "SL304");
    EXPECT_EQ(query("rate(x[1m])"), "");
    EXPECT_EQ(query("x{le=\"[9]\"} > 1"), "");
}

TEST(CanaryAdvice, WeightsTooSmallForAStage) {
    EXPECT_EQ(said(split({{"v45", 90}, {"v46", 0}, {"v47", 10}}) + canary("")), "");
    // 9 and 1 of 100: a stage of 5% of 10 is 1 of 10.
    const std::string coarse = split({{"v45", 9}, {"v46", 90}, {"v47", 1}});
    EXPECT_EQ(said(coarse + canary("")), "SL305");
    EXPECT_THAT(first_text(coarse + canary("")), HasSubstr("the weights of v45 and v47 add up to 10 (rules.yaml:"));
    EXPECT_THAT(first_text(coarse + canary("")), HasSubstr("a stage of 5% becomes 10%"));
    EXPECT_EQ(said(split({{"v45", 1}, {"v46", 99}}) + canary("")), "SL305 SL305") << "1 cannot be shared at all";
}

TEST(CanaryAdvice, ExperimentsThatTheCanaryPullsAt) {
    EXPECT_EQ(said(split({{"v45", 80}, {"v46", 10}, {"v47", 10}}) + experiment("") + canary("")), "SL306");
    EXPECT_EQ(said(split({{"v46", 10}, {"v45", 80}, {"v47", 10}}) + experiment("") + canary("")), "");
}

TEST(CanaryAdvice, StagesThatSeeTooLittle) {
    const std::string rule = split({{"v45", 95}, {"v47", 5}});
    // Finds all with 1,000 requests, half of all with 100.
    const Knowledge knowledge{
        .p99 = {},
        .power = [](const config::Canary&, const config::Gate& gate, std::uint64_t requests) -> std::optional<double> {
            return gate.kind == config::Gate::Kind::kErrorRate
                       ? std::optional(std::min(1.0, static_cast<double>(requests) / 1000))
                       : std::nullopt;
        }};
    const std::string webhook = "[{name: ok, webhook: {url: 'http://127.0.0.1:9/x'}}]";
    EXPECT_EQ(said(rule + canary("  minimumRequests: 499\n"), knowledge), "SL301");
    EXPECT_EQ(said(rule + canary("  minimumRequests: 500\n"), knowledge), "");
    EXPECT_EQ(
        said(rule + canary("  minimumRequests: 1\n", "[{weight: 5, hold: 10m}, {weight: 100}]", webhook), knowledge),
        "");
    EXPECT_EQ(said(rule + canary("  minimumRequests: 1\n")), "") << "nobody knows";
    EXPECT_THAT(first_text(rule + canary("  minimumRequests: 100\n"), knowledge),
                HasSubstr("with 100 requests gate errors finds a challenger twice as bad as it allows with a chance of "
                          "10%; about 8"));
}

}  // namespace
}  // namespace sluice::verify::test
