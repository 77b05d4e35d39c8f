// Bounds of Istio's histograms (SL_HISTOGRAM_BOUNDS_X2) as metrics show them: milliseconds and bytes, or seconds.
#pragma once

#include <array>

#include "sluice/abi/http.h"

namespace sluice::telemetry {

constexpr auto bounds(double unit) {
    auto made = std::to_array<double>({SL_HISTOGRAM_BOUNDS_X2});
    static_assert(made.size() == SL_HISTOGRAM_BUCKETS - 1);
    for (double& bound : made) {
        bound /= 2 * unit;
    }
    return made;
}
inline constexpr auto kBounds = bounds(1);
inline constexpr auto kBoundsSeconds = bounds(1000);

}  // namespace sluice::telemetry
