// A canary's state as it is stored: JSON, so that a person can read it and a later release can add to it.
#pragma once

#include <string>

#include "base/result.h"
#include "rollout/machine.h"
#include "state/canaries.h"

namespace sluice::rollout {

std::string to_json(const State& state);
// Fields that are missing have their default; unknown phases and texts that are not such JSON are errors.
Result<State> from_json(const std::string& text);

state::CanaryStep to_row(const Step& step);
Step from_row(const state::CanaryStep& row);

}  // namespace sluice::rollout
