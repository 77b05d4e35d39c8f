// Ends TCP connections of others (SOCK_DESTROY of sock_diag), in the network namespace that holds them.
//
// The application finds ECONNABORTED, the peer a reset; what had arrived whole can still be read.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "sluice/abi/http.h"

namespace sluice::bpf {

// A network namespace, as programs see it.
struct NetnsName {
    std::uint64_t cookie = 0;  // SO_NETNS_COOKIE: never given twice
    std::uint32_t inode = 0;   // of its file; 0: not known
    auto operator<=>(const NetnsName&) const = default;
};

enum class Ended { kNow, kBefore };

// Not thread-safe. The calling thread stays in its network namespace.
class SockDestroyer {
  public:
    // Opens a way into each of these namespaces; returns those without one, each with the reason:
    //   ESRCH   none was found under that cookie
    //   EACCES  none was found, and some processes may not be looked at
    // Looked for in this order: our own; the file handle (Linux 6.18 and a known inode); where it was last time; names
    // in mounts (`ip netns`, CNI); /proc/PID/ns/net, which needs CAP_SYS_PTRACE for most processes. Entering one needs
    // CAP_SYS_ADMIN. All that is missing is looked for in one walk.
    std::map<std::uint64_t, Error> reach(std::span<const NetnsName> wanted);

    // Ends this connection, whose namespace was reached; nobody else's, for its cookie must be right too. kBefore: it
    // was gone already. Error codes:
    //   EOPNOTSUPP  the kernel cannot do it (CONFIG_INET_DIAG_DESTROY)
    //   EPERM       CAP_NET_ADMIN is missing
    //   ESRCH       its namespace was not reached
    // A socket that is bound to a device (SO_BINDTODEVICE, link-local addresses) is not found: kBefore.
    Result<Ended> destroy(const sl_connection& connection);

    // Closes the ways: while they are open, their namespaces cannot go away.
    void release() { ways_.clear(); }

  private:
    struct Search;

    std::map<std::uint64_t, Fd> ways_;            // netlink sockets by namespace
    std::map<std::uint64_t, std::string> paths_;  // where namespaces were found, bounded
    std::uint32_t sequence_ = 0;
};

}  // namespace sluice::bpf
