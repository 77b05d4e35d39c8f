#include "ctl/quantile.h"

#include <array>
#include <numeric>

#include "sluice/abi/http.h"

namespace sluice::ctl {

namespace {

constexpr std::array<std::uint64_t, SL_HISTOGRAM_BUCKETS - 1> kBoundsX2{SL_HISTOGRAM_BOUNDS_X2};

double bound_ms(std::size_t bucket) {
    return static_cast<double>(kBoundsX2[bucket]) / 2;
}

}  // namespace

std::optional<double> quantile_ms(std::span<const std::uint64_t> counts, double q) {
    const std::uint64_t all = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    if (all == 0 || counts.size() != SL_HISTOGRAM_BUCKETS) {
        return std::nullopt;
    }
    const double rank = q * static_cast<double>(all);
    double below = 0;
    for (std::size_t i = 0; i < kBoundsX2.size(); ++i) {
        const double here = static_cast<double>(counts[i]);
        if (here > 0 && below + here >= rank) {
            const double lower = i == 0 ? 0 : bound_ms(i - 1);
            return lower + (bound_ms(i) - lower) * (rank - below) / here;
        }
        below += here;
    }
    return bound_ms(kBoundsX2.size() - 1);
}

}  // namespace sluice::ctl
