#include "rollout/statistics.h"

#include <algorithm>
#include <cmath>

#include "rollout/margin.h"
#include "rollout/tails.h"

namespace sluice::rollout {
namespace {

Errors sane(const Errors& seen) {
    return {seen.requests, std::min(seen.failed, seen.requests)};
}

// Both in the same buckets. `quantile`: the upper bound of the bucket with the champion's.
double bucket_regression_p(const Durations& champion, const Durations& challenger, double quantile,
                           const Allowed& allowed) {
    const std::vector<double>& bounds = champion.bounds();
    const auto upper = std::lower_bound(bounds.begin(), bounds.end(), quantile);
    double p = 0;
    for (auto bound = upper == bounds.begin() ? upper : upper - 1; bound <= upper; ++bound) {
        const std::uint64_t before = champion.above(*bound).count;
        const std::uint64_t after = challenger.above(allowed.of(*bound)).count;
        p = std::max(p, hypergeometric_tail(after, challenger.count(), champion.count(), before + after));
    }
    return p;
}

}  // namespace

double error_bound_p(const Errors& challenger, double max) {
    const Errors seen = sane(challenger);
    return binomial_tail(seen.failed, seen.requests, max);
}

double error_regression_p(const Errors& champion, const Errors& challenger, double margin) {
    const Errors before = sane(champion);
    const Errors after = sane(challenger);
    if (before.requests == 0 || after.requests == 0) {
        return 1;
    }
    if (margin > 0) {
        return margin_p(before, after, margin);
    }
    return hypergeometric_tail(after.failed, after.requests, before.requests, before.failed + after.failed);
}

double latency_bound_p(const Durations& challenger, double q, double max) {
    return binomial_tail(challenger.above(max).count, challenger.count(), 1 - q);
}

double latency_regression_p(const Durations& champion, const Durations& challenger, double q, const Allowed& allowed) {
    const std::optional<Durations::Control> control = champion.control(q);
    if (!control) {
        return 1;
    }
    if (!champion.bounds().empty() && champion.bounds() == challenger.bounds()) {
        return bucket_regression_p(champion, challenger, control->seconds, allowed);
    }
    const std::uint64_t above = challenger.above(allowed.of(control->seconds)).count;
    return exceedance_tail(above, challenger.count(), control->rank, champion.count());
}

Looks::Looks(double confidence, std::size_t tests, std::size_t stages, std::size_t looks_a_stage)
    : share_((1 - confidence) /
             static_cast<double>(std::max<std::size_t>(tests, 1) * std::max<std::size_t>(stages, 1))),
      looks_(std::max<std::size_t>(looks_a_stage, 1)) {}

double Looks::level(bool last) const {
    if (looks_ == 1) {
        return share_;
    }
    return last ? share_ / 2 : share_ / 2 / static_cast<double>(looks_ - 1);
}

}  // namespace sluice::rollout
