// What a rule is compiled to beyond the plain values of Rule.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proxy/header_ops.h"
#include "proxy/match.h"
#include "proxy/rewrite.h"
#include "proxy/table.h"

namespace sluice::proxy {

struct Rule::Compiled {
    // What is done to messages of one destination.
    struct Target {
        HeaderPlan request, response;
        std::optional<std::string> authority;  // the upstream's Host
    };

    std::optional<RequestMatch> match;  // none: every request
    // Of the plain service behind rules: only for clients whose labels fit no element before it.
    bool only_strangers = false;
    PathRewrite path;
    std::size_t prefix = 1;       // replaced_prefix()
    std::vector<Target> targets;  // one a destination; one for rules that answer by themselves

    const TextMatch* uri() const { return match ? match->path() : nullptr; }
};

// Finds or makes the clusters that a rule names; null stays null.
using ClusterOf = std::function<ClusterPtr(const model::ClusterPtr&)>;

// All rules of a service port. Errors name the place.
Result<std::vector<Rule>> compile_rules(const model::ServicePort& port, const ClusterOf& cluster_of);

}  // namespace sluice::proxy
