// Quantiles of what a histogram counted. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace sluice::ctl {

// The `q` quantile (0..1) in milliseconds of counts per bucket of SL_HISTOGRAM_BOUNDS_X2 (not cumulative), as
// PromQL's histogram_quantile() gives it: linear within the bucket, the first one from 0, and the highest bound for
// what lies above it. Empty: nothing was counted, or there are not as many counts as buckets.
std::optional<double> quantile_ms(std::span<const std::uint64_t> counts, double q);

}  // namespace sluice::ctl
