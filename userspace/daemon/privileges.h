// What the agent may do after start.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::daemon {

// Gives up every capability of this process but those the agent works with, for good: no new privileges through exec,
// no bounding set beyond them, no ambient ones. Call before the first thread starts. Kept, where held at all:
//   CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN  maps, rings and program replacement
//   CAP_SYS_ADMIN                        setns into workloads' network namespaces; the run time of programs (stats)
//   CAP_DAC_READ_SEARCH                  name_to_handle_at needs none; kept only when the configuration directory is
//                                        not readable otherwise
// Without CAP_DAC_OVERRIDE the directories must be accessible to the agent's user in the ordinary way.
Result<> drop_privileges();

// Names of the capabilities in the effective set now, for the log.
std::vector<std::string> effective_capabilities();

}  // namespace sluice::daemon
