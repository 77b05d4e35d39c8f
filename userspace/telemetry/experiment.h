// What was counted of experiments, arm by arm.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sluice::telemetry {

// Bounds of durations in nanoseconds: 100 us to 100 s, ten a decade (ISO 3's R10 series), so that a percentile is known
// within a few percent: arms differ by little. The last bucket is what took longer.
inline constexpr auto kExperimentBounds = [] {
    constexpr std::array<std::uint64_t, 10> kDecade{100'000, 125'000, 160'000, 200'000, 250'000,
                                                    315'000, 400'000, 500'000, 630'000, 800'000};
    std::array<std::uint64_t, 61> out{};
    std::uint64_t factor = 1;
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = kDecade[i % kDecade.size()] * factor;
        factor *= i % kDecade.size() + 1 == kDecade.size() ? 10 : 1;
    }
    return out;
}();
static_assert(kExperimentBounds.back() == 100'000'000'000);

inline std::size_t experiment_bucket(std::uint64_t duration_ns) {
    return static_cast<std::size_t>(std::ranges::lower_bound(kExperimentBounds, duration_ns) -
                                    kExperimentBounds.begin());
}

// What requests that an experiment did not assign, for want of a key, are counted under.
inline constexpr const char* kNoKeyArm = "(no key)";

// One arm of one experiment. Rows may repeat: each worker has its own.
struct ExperimentRow {
    std::string experiment, ns, arm;  // `arm`: that answered, or kNoKeyArm; all "other": what found no row of its own
    std::uint64_t requests = 0;
    std::uint64_t failed = 0;  // 5xx, or no whole answer by the endpoint's doing
    std::uint64_t exposures = 0;
    std::uint64_t duration_ns = 0;  // of all requests together
    std::array<std::uint64_t, kExperimentBounds.size() + 1> duration{};
    std::vector<std::pair<std::uint16_t, std::uint64_t>> codes;  // response code, requests; 0: nothing was answered
    std::uint64_t other_codes = 0;                               // of codes beyond the first few
};

// The duration below which a share `p` (0..1) of the requests is, in nanoseconds, linear within its bucket; 0 without
// requests.
double experiment_quantile(const ExperimentRow& row, double p);

}  // namespace sluice::telemetry
