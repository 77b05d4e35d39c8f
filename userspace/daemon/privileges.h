// What the agent may do after start.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::daemon {

// Gives up every capability of this process but those the agent works with, for good: no new privileges through exec,
// no bounding set beyond them, no ambient ones. Call before the first thread starts. Kept, where held at all:
//   CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN  maps, rings and program replacement
//   CAP_SYS_PTRACE                       looking at /proc/PID/ns/net: the proxy lane's listeners in workloads'
//   namespaces CAP_SYS_ADMIN                        setns into workloads' network namespaces; the run time of programs
//   (stats)
// Without CAP_DAC_OVERRIDE and CAP_CHOWN the configuration, state and run directories must belong to the agent's user,
// or be open to it in the ordinary way; a configuration directory that is not is read-only: apply refuses, and says so.
Result<> drop_privileges();

// Gives up every capability of the calling thread. What it cannot give up it never had.
void drop_thread_privileges();

// Names of the capabilities in the effective set now, for the log.
std::vector<std::string> effective_capabilities();

}  // namespace sluice::daemon
