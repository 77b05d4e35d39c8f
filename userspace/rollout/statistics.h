// The tests behind gates: is a challenger worse than a bound, or than its champion? Pure.
//
// All are one-sided, exact and distribution-free. `p` is at least the chance of data this bad if the challenger were no
// worse than allowed; a gate fails when p is below the level that it may spend (Looks). Counts are of the same window
// for both versions, so that load and time of day are the same. They take requests as independent of each other: one
// outage that fails a thousand requests is a thousand failures to them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sluice::rollout {

struct Errors {
    std::uint64_t requests = 0;
    std::uint64_t failed = 0;
};

// Durations of answered requests, in seconds: exact ones, or counted in buckets (as Prometheus keeps them). A query
// takes linear time: nothing is ever sorted. One thread at a time, also for queries: they reorder what is kept.
class Durations {
  public:
    // Exact ones: at most `kept`, by reservoir sampling (Vitter's algorithm R), so that any number may be added.
    // `seed`: of the reservoir.
    explicit Durations(std::size_t kept = 100'000, std::uint64_t seed = 1);
    // A negative one (a clock that was set back) is 0; NaN is no duration and is left out; infinity is longer than all.
    void add(double seconds);
    // Buckets: upper bounds, rising, the last one infinite (added if it is not), and the count of each (not
    // cumulative).
    static Durations buckets(std::vector<double> bounds, std::vector<std::uint64_t> counts);

    std::uint64_t count() const;    // that tests may count with: kept ones, or of all buckets
    std::uint64_t offered() const;  // … and those that found no place in the reservoir
    // The order statistic of control(); of buckets interpolated, as histogram_quantile. Empty: no data.
    std::optional<double> quantile(double q) const;
    // How many lie above `seconds`. Of buckets: above the first bound that is not below it, and that bound; so never
    // more than there are. What differs by a billionth is equal: 1.05 * 0.011 is a hair below 11.55 / 1000.
    struct Above {
        std::uint64_t count = 0;
        double bound = 0;
    };
    Above above(double seconds) const;
    // The share above `seconds`, the best guess: of buckets interpolated, by logarithms of both. 0 without data.
    double share_above(double seconds) const;
    // The order statistic that stands for quantile q: its rank from 1, ceil(q (count + 1)) and at most count, and its
    // value, of buckets the upper bound of its bucket. Empty: no data.
    struct Control {
        std::uint64_t rank = 0;
        double seconds = 0;
    };
    std::optional<Control> control(double q) const;
    // Upper bounds of the buckets; empty: exact durations.
    const std::vector<double>& bounds() const { return bounds_; }

  private:
    std::size_t kept_;
    std::uint64_t random_;
    std::uint64_t offered_ = 0;
    mutable std::vector<double> exact_;  // in any order
    mutable Control found_;              // the last that was asked for; rank 0: none
    std::vector<double> bounds_;         // buckets, if not empty
    std::vector<std::uint64_t> counts_;
};

// All p below: 1 without data. An infinite control or bound is never exceeded, so p is 1 as well.

// p of "the error rate is at most `max`": exact binomial (Clopper and Pearson 1934).
double error_bound_p(const Errors& challenger, double max);
// p of "the challenger's error rate is at most the champion's plus `margin`". Margin 0: Fisher's exact test, which is
// conditional on the number of failures. Above 0 no conditional test exists: exact unconditional (margin.h).
double error_regression_p(const Errors& champion, const Errors& challenger, double margin);
// p of "quantile q is at most `max` seconds": the count above `max` is binomial with at most 1 - q.
double latency_bound_p(const Durations& challenger, double q, double max);
// How much longer than the champion's the challenger's durations may be: a part of them (0.1 is 10%), and so many
// seconds at least.
struct Allowed {
    double part = 0, seconds = 0;
    double of(double champion) const { return std::max((1 + part) * champion, champion + seconds); }
};
// p of "the challenger's durations are at most what is allowed by the champion's, as seen at quantile q": how many of
// the challenger's lie above what the champion's order statistic for q allows is beta-binomial (Mathisen 1943, the
// control-quantile or exceedance test), exactly so for any continuous distribution, as what is allowed rises with the
// champion's. Equal durations count for the challenger: ties make p greater, never smaller.
// With both in the same buckets: Fisher's test of the champion's above a bound and the challenger's above the first
// bound that is at least what it allows, at both bounds of the bucket that holds the champion's quantile; the greater p
// counts, so that the data's choice of the bucket is of no advantage.
double latency_regression_p(const Durations& champion, const Durations& challenger, double q, const Allowed& allowed);

// The chance that the same test at `level` finds a challenger that is worse by so much, given what the champion does
// now. `requests`: how many of the challenger's there would be. `champion_requests`: how many of the champion's; 0: as
// many as it has. With both bounds, of the one that is likelier to find it.
double error_power(const Errors& champion, std::uint64_t requests, std::optional<double> max,
                   std::optional<double> margin, double true_rate, double level, std::uint64_t champion_requests = 0);
// `true_factor`: the challenger's durations are those of the champion, times so much.
double latency_power(const Durations& champion, std::uint64_t requests, double q, std::optional<double> max,
                     std::optional<Allowed> allowed, double true_factor, double level,
                     std::uint64_t champion_requests = 0);

// How the chance of a wrong rollback is spent: (1 - confidence) over all tests of all stages alike (Bonferroni), half
// of a stage's share on the last look of its hold, the other half evenly over the looks before (a stage with one look
// spends all on it). Looks need not be independent, and their number need only be an upper bound.
class Looks {
  public:
    // Numbers of 0 count as 1.
    Looks(double confidence, std::size_t tests, std::size_t stages, std::size_t looks_a_stage);
    double level(bool last) const;

  private:
    double share_;  // of one test in one stage
    std::size_t looks_;
};

}  // namespace sluice::rollout
