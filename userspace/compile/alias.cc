#include "compile/alias.h"

#include <algorithm>
#include <numeric>

namespace sluice::compile {

std::vector<AliasColumn> build_alias(std::span<const std::uint32_t> weights) {
    const std::uint64_t count = weights.size();
    const std::uint64_t sum = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
    std::vector<AliasColumn> columns(count);
    // What each weight still has to place; every column takes exactly `sum` of it.
    std::vector<std::uint64_t> rest(count);
    std::vector<std::uint32_t> small, large;
    for (std::uint32_t i = 0; i < count; ++i) {
        columns[i] = {0xffffffffu, i};
        rest[i] = weights[i] * count;
        (rest[i] < sum ? small : large).push_back(i);
    }
    while (!small.empty() && !large.empty()) {
        const std::uint32_t under = small.back();
        const std::uint32_t over = large.back();
        small.pop_back();
        const auto threshold = (static_cast<unsigned __int128>(rest[under]) << 32) / sum;
        columns[under] = {static_cast<std::uint32_t>(threshold), over};
        rest[over] -= sum - rest[under];
        if (rest[over] < sum) {
            large.pop_back();
            small.push_back(over);
        }
    }
    return columns;
}

}  // namespace sluice::compile
