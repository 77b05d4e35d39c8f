// Sticky splits: a user stays with a version, and moving weights only moves the boundary between versions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/objects.h"
#include "proxy/table.h"

namespace sluice::proxy {

// An Experiment on one rule. The bucket of a key is the number that the first eight hex digits of MD5("KEY:NAME") are,
// modulo `buckets`: assign_ab_bucket() of the text that Sluice was built for, so users who were assigned by such a
// function stay where they were. Destination i has the buckets from ends[i - 1] up to ends[i] =
// floor(buckets * (weights up to i) / (all weights)).
struct Split {
    config::HashKey key;
    std::string suffix;  // ":NAME"
    std::uint32_t buckets = 100;
    std::vector<std::uint32_t> ends;
};

Split make_split(const config::Experiment& experiment, std::span<const std::uint32_t> weights);

std::uint32_t split_bucket(const Split& split, std::string_view key);

// The destination of a request; nullopt: it has no key, or an empty one, and is drawn by weight.
std::optional<std::size_t> split_arm(const Split& split, const Asked& asked);

}  // namespace sluice::proxy
