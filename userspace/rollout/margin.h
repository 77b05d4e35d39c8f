// Is one error rate above another by more than a margin? Exact, unconditional, one-sided.
//
// With a margin no conditional test is free of the champion's true rate, which nobody knows. So p is the greatest
// chance of a table at least this bad over every rate that the champion may have:
//   - "at least this bad" by the score statistic of Farrington and Manning (1990), which is near to the best order,
//   - over a confidence interval for the champion's rate that is wrong once in kOutside; that is added to p (Berger and
//     Boos 1994). So far out no data can be, and p does not suffer from rates that are not to be had,
//   - the maximum is bounded from above over intervals of the rate, not sought on a grid: p is never too small.
// The statistic only orders tables; its normal approximation is not used, so small counts are as safe as large ones.
#pragma once

#include "rollout/statistics.h"

namespace sluice::rollout {

inline constexpr double kOutside = 1e-9;

// p of "the challenger's rate is at most the champion's plus `margin`", at most a tenth above the maximum, and 1 where
// the challenger is no worse than the margin allows. Both have requests. Some 10 us to 1 ms for up to a million
// failures.
double margin_p(const Errors& champion, const Errors& challenger, double margin);
// Whether that is at most `level`, quicker.
bool margin_rejects(const Errors& champion, const Errors& challenger, double margin, double level);

}  // namespace sluice::rollout
