// Edits of one VirtualService document that touch nothing but what they say: every other byte stays, comments too.
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sluice::source {

// Rules are spec.http (or, without any, spec.tcp) by index; destinations route[] by index. Block and flow style (JSON
// too) are understood; a document that cannot be edited so (aliases on the way there) is an error that says where.

// route[i].weight = the given one, written in where none stands.
Result<std::string> set_weights(const std::string& document, std::size_t rule,
                                const std::vector<std::pair<std::size_t, std::uint32_t>>& weights);
// A further destination at the end of route[]: a copy of `like` with another subset and weight.
Result<std::string> add_destination(const std::string& document, std::size_t rule, std::size_t like,
                                    const std::string& subset, std::uint32_t weight);
// Not the only one.
Result<std::string> remove_destination(const std::string& document, std::size_t rule, std::size_t destination);
// One more element of `mirrors` (made if absent); refused where `mirror` stands. `percent`: as Istio's
// percentage.value.
Result<std::string> add_mirror(const std::string& document, std::size_t rule, const std::string& host,
                               const std::string& subset, std::uint16_t port, double percent);
// Takes mirrors[index] out, and `mirrors` with its last element.
Result<std::string> remove_mirror(const std::string& document, std::size_t rule, std::size_t index);
// A rule in front of rule `before`, given as JSON (one HTTPRoute).
Result<std::string> insert_rule(const std::string& document, std::size_t before, const std::string& json);
Result<std::string> remove_rule(const std::string& document, std::size_t rule);

}  // namespace sluice::source
