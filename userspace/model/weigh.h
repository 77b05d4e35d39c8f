// Which rule an operator means who gives new weights. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/objects.h"

namespace sluice::model {

// A destination by its subset, or by its host as written where it has no subset.
struct Wish {
    std::string name;
    std::uint32_t weight = 0;
};

// "v45=90,v47=10": at least one, no name twice.
Result<std::vector<Wish>> read_wishes(std::string_view text);

// A rule of a VirtualService, as source/rule_edit.h counts: of spec.http, or, without any there, of spec.tcp.
struct WeighedRule {
    config::ObjectPtr virtual_service;
    bool tcp = false;
    std::size_t rule = 0;
    std::vector<std::size_t> destinations;  // one a wish

    const config::WeightedRule& parsed() const;
    // "rule default-split of VirtualService ml/ranking (FILE:LINE)".
    std::string text() const;
};

// The rule for a service that has all the wished destinations; `route`, if not empty, is its name. The service is a
// host of the VirtualService, a leading part of it up to a dot, or its short name. Error: none fits (with the
// destinations that there are), or several do (with their places).
Result<WeighedRule> weighed_rule(const std::map<config::ObjectKey, config::ObjectPtr>& objects,
                                 const std::string& service, const std::string& route, const std::vector<Wish>& wishes);

// All destinations of the rule, in order.
struct Weighed {
    std::string name;
    std::optional<std::uint32_t> before;  // as written
    std::optional<std::uint32_t> after;
};
std::vector<Weighed> weighed(const WeighedRule& rule, const std::vector<Wish>& wishes);

// Canaries that move that rule: they pause when somebody else changes its weights.
std::vector<std::string> canaries_of(const std::map<config::ObjectKey, config::ObjectPtr>& objects,
                                     const WeighedRule& rule);

}  // namespace sluice::model
