// What advice on rules can know besides: what an agent measured, and what the tests behind gates can find.
#pragma once

#include "ctl/session.h"
#include "verify/advice.h"

namespace sluice::ctl {

// Asks the agent of the session's run directory, once; without one there are no measurements, and nothing is said.
verify::Knowledge knowledge(const Session& session);

}  // namespace sluice::ctl
