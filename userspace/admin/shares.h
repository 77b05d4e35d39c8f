// Arithmetic of weights, for views.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "admin/backend.h"
#include "model/mesh.h"

namespace sluice::admin {

inline std::uint64_t weight_sum(const model::Route& route) {
    std::uint64_t sum = 0;
    for (const model::Destination& destination : route.destinations) {
        sum += destination.weight;
    }
    return sum;
}

inline std::uint64_t total(const std::vector<std::uint64_t>& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

// A fraction with four digits; null when there is nothing to divide.
inline Json share(std::uint64_t part, std::uint64_t whole) {
    if (whole == 0) {
        return nullptr;
    }
    auto rounded = static_cast<std::uint64_t>(static_cast<double>(part) * 10'000.0 / static_cast<double>(whole) + 0.5);
    return static_cast<double>(rounded) / 10'000;
}

}  // namespace sluice::admin
