// Canaries: which rule of a VirtualService each moves, and what is wrong with that.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/index.h"
#include "model/report.h"

namespace sluice::model {

// A rule of a VirtualService, as source/rule_edit.h counts: of spec.http, or, without any there, of spec.tcp.
struct CanaryRule {
    bool tcp = false;
    std::size_t rule = 0;
    std::size_t champion = 0;               // index among its destinations
    std::optional<std::size_t> challenger;  // none yet
};

// The name of the rule that a canary puts in front of the one that it moves, for internal users.
std::string internal_rule_name(const config::Object& canary);

// The rule that is moved: the one that spec.route names; without that the first that has destinations with both
// subsets, else the first without match that has the champion. Never the canary's own internal rule. Error: the
// VirtualService is of another namespace or for other hosts, or what was looked for in vain. Pure: hosts are compared
// by what they can mean in their namespaces.
Result<CanaryRule> canary_rule(const config::Object& canary, const config::Object& virtual_service);

// The same among all objects: also an error where several VirtualServices have such a rule.
struct CanaryTarget {
    config::ObjectPtr virtual_service;
    CanaryRule rule;
};
Result<CanaryTarget> canary_target(const config::Object& canary,
                                   const std::map<config::ObjectKey, config::ObjectPtr>& objects);

// What is wrong with the canaries of a host: no service, no such rule or subset, a second canary or an experiment with
// weights of its own on the same rule, `mirror` where the canary mirrors too.
void check_canaries(const Index& index, const std::string& host, bool references_warn, Report& report);

}  // namespace sluice::model
