// The HTTP rules of a VirtualService as clients of one scope can reach them on one port: Istio's static filtering.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/http_rule.h"

namespace sluice::model {

struct ReachableRule {
    const config::WeightedRule* rule = nullptr;
    std::size_t index = 0;               // in the list
    std::vector<std::uint32_t> matches;  // HttpRoute::matches
    bool catch_all = false;
};

// In order, up to the first that matches everything. Empty: as if the VirtualService were not there.
std::vector<ReachableRule> reachable_rules(const std::vector<config::WeightedRule>& rules, std::uint16_t port,
                                           const std::string& scope);

// Whether clients with other labels than each element asks for may exist: none of the rules applies to them.
bool only_for_labels(const std::vector<ReachableRule>& rules);

// "spec.http[0].mirror", or of several "spec.http[0].mirrors[1].destination".
std::string mirror_field(std::size_t rule, std::size_t mirror, std::size_t mirrors);
// What becomes of a dangling reference, behind the message that says so.
inline constexpr const char* kShareRefused = ": its share is refused (NC)";
inline constexpr const char* kNotMirrored = ": nothing is mirrored there";

// Namespaces that a rule names as sourceNamespace.
std::vector<std::string> source_namespaces(const config::VirtualService& spec);

// Whether a fault is ever drawn.
bool acts(const config::Fault& fault);

// The first thing in a rule that only a request lane can do.
struct RequestNeed {
    std::string field;  // below the rule: "match", "timeout"; empty: nothing
    std::string why;    // a clause
    config::Place place;
};
RequestNeed request_need(const ReachableRule& rule);

}  // namespace sluice::model
