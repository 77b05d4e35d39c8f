// Exact tails of the counts that tests compare. Pure, any thread.
#pragma once

#include <cstdint>

namespace sluice::rollout {

// P(X >= k) of X binomial with n draws of chance p, by the incomplete beta function; k = 0: 1.
double binomial_tail(std::uint64_t k, std::uint64_t n, double p);
// P(X = k).
double binomial_mass(std::uint64_t k, std::uint64_t n, double p);
// P(X >= k) of X the number of marked ones among `drawn` of `marked + others`, without replacement. Time: as many steps
// as X's standard deviation is wide, times 10.
double hypergeometric_tail(std::uint64_t k, std::uint64_t marked, std::uint64_t others, std::uint64_t drawn);
// P(K >= k) of K the number of n new values above the rank-th smallest of `control` old ones, all from one continuous
// distribution: K is beta-binomial (n; control - rank + 1, rank). Rank 1..control.
double exceedance_tail(std::uint64_t k, std::uint64_t n, std::uint64_t rank, std::uint64_t control);
// The rank, from 1, of the order statistic that stands for quantile q of n values: ceil(q (n + 1)), at most n. n > 0.
std::uint64_t control_rank(double q, std::uint64_t n);
// The value below which a beta distributed (a, b) value lies with chance p.
double beta_quantile(double a, double b, double p);

}  // namespace sluice::rollout
