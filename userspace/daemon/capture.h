// Capture for the proxy lane: the agent listens inside its clients' network namespaces, where the connect programs send
// their connections, and makes the connections to endpoints there too.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "bpf/kernel.h"
#include "daemon/capture_book.h"
#include "daemon/netns.h"
#include "daemon/options.h"
#include "proxy/proxy.h"

namespace sluice::daemon {

// For status.
struct CaptureFacts {
    struct Door {
        std::uint64_t netns_cookie = 0;
        std::uint64_t netns_inode = 0;
        std::uint16_t port_v4 = 0, port_v6 = 0;  // of loopback; 0: none
        bool own = false;                        // the agent's own network namespace
    };
    std::vector<Door> doors;
    std::size_t denied = 0;           // processes that may not be looked at (CAP_SYS_PTRACE)
    std::vector<std::string> errors;  // namespaces that nothing listens in, and why
};

// The namespaces are those of the processes in the agent's cgroup, and the agent's own. Each gets one listening socket
// a worker on 127.0.0.1 and one on ::1, marked as the agent's: the programs trust no others. Thread-safe.
class Capture {
  public:
    // `kernel` has programs, and outlives this.
    Capture(const bpf::Kernel& kernel, const Options& options);
    ~Capture();

    // For proxy::Options::sockets: makes a socket for a connection to an endpoint, in the namespace of that number (0:
    // the agent's), marked as the agent's. A worker waits for the thread that enters namespaces.
    Result<Fd> socket(std::uint32_t netns, int family);

    // What the records mean.
    CaptureBook& book() { return book_; }

    // Listens from now on, as soon as a service needs it. `proxy` outlives the calls after this one.
    void begin(proxy::Proxy& proxy);
    // A service of the proxy lane is about to be published: returns once listeners are open wherever they can be.
    void expect_services();
    // Nothing is captured any more; what was goes on. Before the proxy drains.
    void end();

    // Once a second: opens listeners in namespaces that appeared and closes those that nobody is in. Rests for a
    // hundred times as long as a look took.
    void look();
    // A connection found no listener (SL_EVENT_NO_LISTENER): looks at its process at once.
    void unheard(std::uint64_t netns_cookie, std::uint32_t process);
    CaptureFacts facts() const;

  private:
    struct Namespace;
    using NamespacePtr = std::shared_ptr<const Namespace>;
    // Of one family in one namespace.
    struct Sockets {
        std::vector<Fd> listeners;  // one a worker; none: the family is not there
        Fd beacon;
        std::uint16_t port = 0, beacon_port = 0;
    };
    struct Open {
        NamespacePtr space;
        Fd beacon_v4, beacon_v6;
        int missed = 0;  // looks that found nobody in it
    };

    std::optional<proxy::Dialled> identify(const Namespace& space, int fd) const;
    // These need mutex_.
    bool listens() const { return proxy_ != nullptr && expected_; }
    void look_at_all();
    void look_at(const std::string& path);
    Result<> open(Fd file, std::uint64_t inode);
    Result<> open_sockets(int family, Sockets& out) const;  // in the calling thread's namespace
    void close(const Namespace& space);

    const bpf::Kernel& kernel_;
    const std::string cgroup_;
    const std::uint16_t port_;
    const std::uint32_t workers_;
    const std::uint64_t own_inode_;
    CaptureBook book_;
    NetnsThread netns_;

    mutable std::mutex mutex_;
    proxy::Proxy* proxy_ = nullptr;
    bool expected_ = false;
    std::uint32_t numbers_ = 0;                    // given so far
    std::map<std::uint64_t, Open> open_;           // those with listeners, by inode
    std::map<std::uint64_t, std::string> failed_;  // inode -> why nothing listens there
    std::unordered_set<std::uint64_t> seen_;       // inodes, in the look that goes on
    std::size_t denied_ = 0;
    std::chrono::steady_clock::time_point next_look_{};

    mutable std::mutex numbers_mutex_;
    std::unordered_map<std::uint32_t, NamespacePtr> by_number_;  // what workers ask for
};

}  // namespace sluice::daemon
