// What the admin API answers to a change.
#pragma once

#include "admin/backend.h"
#include "daemon/controller.h"

namespace sluice::daemon {

// Of a change that was done or refused, or of what it would do.
admin::Answer apply_answer(const ApplyReport& report, bool dry_run);

}  // namespace sluice::daemon
