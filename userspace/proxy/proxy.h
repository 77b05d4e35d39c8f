// The proxy lane's engine: workers (one thread and loop each), their listeners, and the table that they decide by.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "http/parser.h"
#include "io/loop.h"
#include "proxy/record.h"
#include "proxy/table.h"
#include "proxy/upstream.h"

namespace sluice::proxy {

// Every limit and time-out of the client's side. Defaults as Envoy's edge advice, but stream idle as Istio's (none).
struct Limits {
    http::Limits head;
    std::uint32_t connections = 65536;                  // of a worker; more are refused at accept
    std::chrono::milliseconds header_timeout{60'000};   // from a request's first octet to its head's last
    std::chrono::milliseconds idle_timeout{3'600'000};  // of a connection between requests
    std::chrono::milliseconds drain_timeout{45'000};    // of connections when the agent ends
    std::uint64_t retry_body = 1 << 20;                 // of a request that may be tried again: more is not kept
    std::uint64_t mirror_body = 8 << 20;                // larger bodies are not mirrored
    std::uint32_t mirrors = 1024;                       // at once, a worker
    std::uint64_t mirror_octets = 64 << 20;             // held for mirrors at once, a worker
    std::size_t buffered = 256 * 1024;                  // of a body in one direction before its sender must wait
};

// Whose connections come in on a listener.
struct Dialled {
    std::string host;  // FQDN of the service; empty: only the Host field decides
    std::uint16_t port = 0;
    std::shared_ptr<const Client> client;
    std::uint32_t netns = 0;  // number of the network namespace that upstream connections are made in
};

struct ListenerOptions {
    std::string name;         // for logs and status
    std::vector<Fd> sockets;  // one a worker (SO_REUSEPORT), listening
    Dialled dialled;          // of every connection, or
    // of each connection, by its descriptor; nullopt: refuse it. Called on the worker; must not block.
    std::function<std::optional<Dialled>(int fd)> identify;
};

struct Options {
    std::uint32_t workers = 0;  // 0: one a CPU that this process may use
    io::Backend backend = io::Backend::kAuto;
    Limits limits;
    bool shadow_suffix = false;  // copies of mirror rules get "-shadow" behind their Host, as with Istio before 1.28
    Upstreams::Sockets sockets;  // default: in the agent's own namespace
    // Called by start() for each worker; may be empty: nothing is recorded.
    std::function<std::unique_ptr<Recorder>(std::uint32_t worker)> recorder;
    Upstreams::Events events;  // any worker's thread
    // Called on each worker's thread before anything else runs there: gives up what it does not need.
    std::function<void()> thread_began;
};

struct WorkerStats {
    io::LoopStats loop;
    Upstreams::Stats upstreams;
    std::uint64_t connections = 0, connections_total = 0, requests_active = 0, requests_total = 0;
};

// CPUs that this process may use; at least 1.
std::uint32_t usable_cpus();

class Proxy {
  public:
    // Starts the workers. `tables` must outlive the proxy.
    static Result<std::unique_ptr<Proxy>> start(Options options, const sl_tables& tables);
    ~Proxy();  // stops at once

    // Request heads that are whole after the return are decided by `table`.
    void publish(TablePtr table);
    // Any thread.
    Result<> listen(ListenerOptions listener);
    // Ends the listeners of that name; what the kernel has accepted for them is still taken. Their connections go on.
    void stop_listening(const std::string& name);
    // Lets go of a network namespace: closes the idle connections to endpoints that were made in it.
    void forget_netns(std::uint32_t netns);
    // Returns when every worker has gone through a turn that began after the call, or waits: part of the publisher's
    // grace.
    void quiesce();
    // Stops accepting; answers carry Connection: close; returns when all connections ended, or the drain timeout ran
    // out.
    void drain();
    std::vector<WorkerStats> stats() const;
    io::Backend backend() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
    explicit Proxy(std::unique_ptr<Impl> impl);
};

}  // namespace sluice::proxy
