// Alias tables (Walker 1977; Vose 1991) in exact integer arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::compile {

struct AliasColumn {
    std::uint32_t threshold = 0;  // as sl_destination.threshold
    std::uint32_t alias = 0;
};

// One column a weight; each weight's share of the table is weight / sum to within 2^-32, and exactly 0 for weight 0.
// Needs a sum above 0, except that a single weight always gets everything.
std::vector<AliasColumn> build_alias(std::span<const std::uint32_t> weights);

}  // namespace sluice::compile
