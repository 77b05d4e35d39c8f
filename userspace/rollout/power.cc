// How likely the tests of statistics.h find a worse challenger.
#include <algorithm>
#include <cmath>

#include "rollout/first_of.h"
#include "rollout/margin.h"
#include "rollout/statistics.h"
#include "rollout/tails.h"

namespace sluice::rollout {
namespace {

// The mean of `of` over what the champion may turn out to do is taken at so many equally likely outcomes.
constexpr int kOutcomes = 32;

// From how many failures on the regression test rejects; requests + 1: never.
std::uint64_t least_failures(const Errors& champion, std::uint64_t requests, double margin, double level,
                             std::uint64_t guess) {
    return first_of(std::min(guess, requests), requests + 1, [&](std::uint64_t failed) {
        const Errors challenger{requests, failed};
        return margin > 0 ? margin_rejects(champion, challenger, margin, level)
                          : error_regression_p(champion, challenger, margin) < level;
    });
}

// `requests1`, `rate1`: of the champion.
double regression_power(std::uint64_t requests1, double rate1, std::uint64_t requests, double margin, double true_rate,
                        double level) {
    double sum = 0;
    std::optional<std::uint64_t> least_of;
    auto failed = static_cast<std::uint64_t>(rate1 * static_cast<double>(requests1));
    auto least = static_cast<std::uint64_t>(std::min(rate1 + margin, 1.0) * static_cast<double>(requests));
    for (int i = 0; i < kOutcomes; ++i) {
        // The champion's number of failures at this quantile.
        const double above = 1 - (i + 0.5) / kOutcomes;
        failed = first_of(failed, requests1 + 1,
                          [&](std::uint64_t x) { return binomial_tail(x + 1, requests1, rate1) <= above; });
        if (least_of != failed) {
            least = least_failures({requests1, failed}, requests, margin, level, least);
            least_of = failed;
        }
        sum += binomial_tail(least, requests, true_rate);
    }
    return sum / kOutcomes;
}

// Of the exceedance test, against `control` of the champion's.
double control_power(const Durations& champion, std::uint64_t control, std::uint64_t requests, double q,
                     const Allowed& allowed, double true_factor, double level) {
    const std::uint64_t rank = control_rank(q, control);
    const std::uint64_t least = first_of(
        0, requests + 1, [&](std::uint64_t above) { return exceedance_tail(above, requests, rank, control) < level; });
    double sum = 0;
    for (int i = 0; i < kOutcomes; ++i) {
        // Where the control would lie among what the champion does now: beta (rank, control - rank + 1).
        const double at =
            beta_quantile(static_cast<double>(rank), static_cast<double>(control - rank + 1), (i + 0.5) / kOutcomes);
        sum += binomial_tail(least, requests,
                             champion.share_above(allowed.of(champion.control(at)->seconds) / true_factor));
    }
    return sum / kOutcomes;
}

// With both in the champion's buckets. That both bounds reject is at least as likely as if they had nothing in common.
double bucket_power(const Durations& champion, std::uint64_t control, std::uint64_t requests, double q,
                    const Allowed& allowed, double true_factor, double level) {
    const std::vector<double>& bounds = champion.bounds();
    const auto upper = std::lower_bound(bounds.begin(), bounds.end(), champion.control(q)->seconds);
    double power = 1;
    for (auto bound = upper == bounds.begin() ? upper : upper - 1; bound <= upper; ++bound) {
        const double before = static_cast<double>(champion.above(*bound).count) / static_cast<double>(champion.count());
        const double after = champion.share_above(champion.above(allowed.of(*bound)).bound / true_factor);
        power *= regression_power(control, before, requests, 0, after, level);
    }
    return power;
}

}  // namespace

double error_power(const Errors& champion, std::uint64_t requests, std::optional<double> max,
                   std::optional<double> margin, double true_rate, double level, std::uint64_t champion_requests) {
    double power = 0;
    if (max) {
        const std::uint64_t least = first_of(0, requests + 1, [&](std::uint64_t failed) {
            return error_bound_p({requests, failed}, *max) < level;
        });
        power = binomial_tail(least, requests, true_rate);
    }
    if (margin && champion.requests > 0) {
        const double rate =
            static_cast<double>(std::min(champion.failed, champion.requests)) / static_cast<double>(champion.requests);
        const std::uint64_t control = champion_requests == 0 ? champion.requests : champion_requests;
        power = std::max(power, regression_power(control, rate, requests, *margin, true_rate, level));
    }
    return power;
}

double latency_power(const Durations& champion, std::uint64_t requests, double q, std::optional<double> max,
                     std::optional<Allowed> allowed, double true_factor, double level,
                     std::uint64_t champion_requests) {
    const std::uint64_t seen = champion.count();
    if (seen == 0) {
        return 0;
    }
    double power = 0;
    if (max) {
        const std::uint64_t least = first_of(
            0, requests + 1, [&](std::uint64_t above) { return binomial_tail(above, requests, 1 - q) < level; });
        power = binomial_tail(least, requests, champion.share_above(champion.above(*max).bound / true_factor));
    }
    if (allowed) {
        const std::uint64_t control = champion_requests == 0 ? seen : champion_requests;
        power = std::max(power, champion.bounds().empty()
                                    ? control_power(champion, control, requests, q, *allowed, true_factor, level)
                                    : bucket_power(champion, control, requests, q, *allowed, true_factor, level));
    }
    return power;
}

}  // namespace sluice::rollout
