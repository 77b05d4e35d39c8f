// What a canary's statistical gates may spend of its chance of a wrong rollback.
#pragma once

#include "config/canary.h"
#include "rollout/statistics.h"

namespace sluice::rollout {

// For a stage whose hold has so many looks. Tests: one a bound of an errorRate or latency gate. Stages: those with
// looks, the mirror's too. To the looks of the hold come those for which data may be waited.
Looks spending(const config::Canary& canary, std::size_t looks);

}  // namespace sluice::rollout
