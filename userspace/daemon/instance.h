// One agent a run directory.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::daemon {

// Makes `run` (0755) when missing and takes the lock in it, which ends with the descriptor. The file RUN/sluiced.pid
// holds the owner's process id. Error: another agent runs there, named by its id.
Result<Fd> take_instance(const std::string& run);

}  // namespace sluice::daemon
