// The listening sockets of --listen, opened while the agent may still bind any port.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "daemon/handover.h"
#include "daemon/options.h"

namespace sluice::daemon {

// One address and its sockets, one a worker: the kernel spreads connections over them (SO_REUSEPORT).
struct Listening {
    ListenOption option;
    std::vector<Fd> sockets;
};

// Workers that run: as asked, else one a CPU that this process may use.
std::uint32_t worker_count(const Options& options);

// All of options.listen, listening, on sockets of `inherited` where it has the address. Inherited sockets that are more
// than workers make the address stand there twice. An error names the address; nothing is left open then.
Result<std::vector<Listening>> open_listeners(const Options& options, std::vector<Inherited> inherited);
// Copies of the descriptors, for the next agent.
Result<std::vector<Inherited>> copies(const std::vector<Listening>& listeners);

}  // namespace sluice::daemon
