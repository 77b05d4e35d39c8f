// The table of docs/rollout.md "Which tests, and why": every number is computed again.
#include <gtest/gtest.h>

#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <sstream>

#include "rollout/gate_spend.h"
#include "rollout/gates.h"
#include "tests/golden/golden.h"

namespace sluice::rollout {
namespace {

// The first stage of the usual canary: 5% of the requests, so 19 of the champion's for one of the challenger's; two
// tests and four stages share 5%.
constexpr std::uint64_t kSizes[] = {500, 2000, 10'000, 50'000};
constexpr std::uint64_t kBeside = 19;
const double kLevel = Looks(0.95, 2, 4, 100).level(true);

using Power = std::function<double(std::uint64_t)>;

Power errors(double rate, double worse, std::optional<double> max, std::optional<double> margin) {
    return [=](std::uint64_t requests) {
        const Errors champion{1'000'000, static_cast<std::uint64_t>(std::llround(rate * 1'000'000))};
        return error_power(champion, requests, max, margin, worse, kLevel, kBeside * requests);
    };
}

// Lognormal with a median of 50 ms: its 100,000 quantiles stand for it.
Durations lognormal(double sigma) {
    constexpr int kQuantiles = 100'000;
    Durations made(kQuantiles);
    for (int i = 0; i < kQuantiles; ++i) {
        const double z = boost::math::quantile(boost::math::normal(), (i + 0.5) / kQuantiles);
        made.add(0.05 * std::exp(sigma * z));
    }
    return made;
}

Power latency(Durations champion, double q, double regression) {
    return [champion = std::move(champion), q, regression](std::uint64_t requests) {
        return latency_power(champion, requests, q, std::nullopt, Allowed{regression}, kWorseLatency, kLevel,
                             kBeside * requests);
    };
}

Durations in_buckets(const Durations& exact) {
    const std::vector<double> bounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1};
    std::vector<std::uint64_t> counts;
    std::uint64_t before = exact.count();
    for (const double bound : bounds) {
        counts.push_back(before - exact.above(bound).count);
        before = exact.above(bound).count;
    }
    counts.push_back(before);
    return Durations::buckets(bounds, counts);
}

// "| what | 12% | … |", as in the table.
std::string line(const std::string& what, const Power& power) {
    std::string made = "| " + what + " |";
    for (const std::uint64_t size : kSizes) {
        char text[32];
        const double percent = power(size) * 100;
        std::snprintf(text, sizeof text, percent < 99.5 ? " %.0f%% |" : " over 99%% |", percent);
        made += text;
    }
    return made;
}

TEST(PowerTable, OfTheGuideIsWhatIsComputed) {
    const std::string text = golden::read_all(golden::directory().parent_path().parent_path() / "docs/rollout.md");
    const std::pair<const char*, Power> rows[] = {
        {"2.1% of errors instead of 0.1%, `regression: 0.5`", errors(0.001, 0.021, std::nullopt, 0.005)},
        {"2.1% of errors instead of 0.1%, `regression: 0`", errors(0.001, 0.021, std::nullopt, 0)},
        {"2.1% of errors instead of 0.1%, `max: 1`", errors(0.001, 0.021, 0.01, std::nullopt)},
        {"3% of errors instead of 1%, `regression: 0.5`", errors(0.01, 0.03, std::nullopt, 0.005)},
        {"p99 20% worse, `regression: 10`, sigma 0.1", latency(lognormal(0.1), 0.99, 0.1)},
        {"p99 20% worse, `regression: 10`, sigma 0.25", latency(lognormal(0.25), 0.99, 0.1)},
        {"p99 20% worse, `regression: 10`, sigma 0.5", latency(lognormal(0.5), 0.99, 0.1)},
        {"p99 20% worse, `regression: 0`, sigma 0.5", latency(lognormal(0.5), 0.99, 0)},
        {"p90 20% worse, `regression: 10`, sigma 0.5", latency(lognormal(0.5), 0.9, 0.1)},
        {"p50 20% worse, `regression: 10`, sigma 0.5", latency(lognormal(0.5), 0.5, 0.1)},
        {"p99 20% worse, `regression: 10`, sigma 0.5, in Istio's buckets",
         latency(in_buckets(lognormal(0.5)), 0.99, 0.1)},
        {"p99 20% worse, `regression: 0`, sigma 0.5, in Istio's buckets", latency(in_buckets(lognormal(0.5)), 0.99, 0)},
    };
    for (const auto& [what, power] : rows) {
        const std::string wanted = line(what, power);
        EXPECT_NE(text.find(wanted + "\n"), std::string::npos) << wanted;
    }
}

}  // namespace
}  // namespace sluice::rollout
