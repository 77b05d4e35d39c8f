// The border of a property that holds from some number on.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::rollout {

// The first of 0..end - 1 from which on `is` holds, else `end`: in growing steps from `guess` (below `end`), then by
// halves.
template <typename Is>
std::uint64_t first_of(std::uint64_t guess, std::uint64_t end, const Is& is) {
    std::uint64_t no = guess, yes = guess;  // then: is(yes), not is(no)
    if (is(guess)) {
        for (std::uint64_t step = 1;; step *= 2) {
            if (yes == 0) {
                return 0;
            }
            no = yes - std::min(yes, step);
            if (!is(no)) {
                break;
            }
            yes = no;
        }
    } else {
        for (std::uint64_t step = 1;; step *= 2) {
            yes = std::min(no + step, end);
            if (yes == end || is(yes)) {
                break;
            }
            no = yes;
        }
    }
    while (yes - no > 1) {
        const std::uint64_t middle = no + (yes - no) / 2;
        (is(middle) ? yes : no) = middle;
    }
    return yes;
}

}  // namespace sluice::rollout
