// Experiments: sticky splits of a VirtualService's rules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/index.h"
#include "model/report.h"

namespace sluice::model {

// An arm of the experiment that splits a rule.
struct ExperimentArm {
    std::string name;
    std::string subset;  // of its destination; empty: a whole service
    std::uint32_t weight = 0;
    std::uint32_t destination = 0;  // index among the rule's
};

// In the order of their buckets. Without arms of its own the rule's destinations are the experiment's, named by subset,
// by host where there is none, and by "host/subset" where several would have one name. Empty: the rule is not split, or
// an arm's subset is not that of exactly one of its destinations.
std::vector<ExperimentArm> arms_of(const HttpRoute& route);

// Gives each rule of a host the experiment that splits it. `source`: the VirtualService of `rules`; only experiments of
// its namespace count. Two that claim one rule are an error that names both.
void attach_experiments(const Index& index, const std::string& host, const config::Object& source,
                        std::vector<HttpRoute>& rules, Report& report);

// What is wrong with the experiments of a host, whoever sees it: no service, no VirtualService, no such rule, nothing
// to split.
void check_experiments(const Index& index, const std::string& host, bool references_warn, Report& report);

}  // namespace sluice::model
