// Experiments: sticky splits of a VirtualService's rules.
#pragma once

#include <string>
#include <vector>

#include "model/index.h"
#include "model/report.h"

namespace sluice::model {

// Gives each rule of a host the experiment that splits it. `source`: the VirtualService of `rules`; only experiments of
// its namespace count. Two that claim one rule are an error that names both.
void attach_experiments(const Index& index, const std::string& host, const config::Object& source,
                        std::vector<HttpRoute>& rules, Report& report);

// What is wrong with the experiments of a host, whoever sees it: no service, no VirtualService, no such rule, nothing
// to split.
void check_experiments(const Index& index, const std::string& host, bool references_warn, Report& report);

}  // namespace sluice::model
