// Experiments and their arms as rows. Pure, for the agent and for `sluice` offline. Key order is the column order of
// tables.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "admin/backend.h"
#include "admin/views.h"
#include "telemetry/experiment.h"

namespace sluice::admin {

// What was counted of an experiment's arms since it is split as it is now.
struct ExperimentCounts {
    std::uint64_t generation = 0;  // since which
    std::vector<telemetry::ExperimentRow> arms;
};
using CountsOf = std::function<std::optional<ExperimentCounts>(const config::ObjectKey& experiment)>;

// An array: a row an arm, and one of the requests without a key where there were any. `host` empty: all services.
// `counts` empty: the columns of what was counted are left out. Where an experiment splits several rules, an arm's
// share or subset that is not the same in all of them is null.
Json experiment_rows(const Services& services, const std::string& host, const CountsOf& counts);

}  // namespace sluice::admin
