// Connections to endpoints: pooled by cluster, endpoint and network namespace on each worker; one request at a time on
// each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/head.h"
#include "http/parser.h"
#include "io/loop.h"
#include "proxy/cluster.h"
#include "sluice/abi/conn.h"

namespace sluice::proxy {

// How a try failed, as Envoy tells resets apart; flags and bodies follow from it (replies.h).
enum class Failure : std::uint8_t {
    kConnectFailure,     // UF: refused, unreachable
    kConnectTimeout,     // UF
    kTermination,        // UC: the endpoint closed or reset before its answer was whole
    kProtocolError,      // UPE: what it sent is no HTTP/1
    kOverflow,           // UO: a limit of the cluster
    kNoHealthyUpstream,  // UH
    kNoCluster,          // NC
};

class Upstreams;
class Try;

// Who makes a try. Calls come from the loop only, never from inside a call to Upstreams or Try; each may destroy the
// Try and start others. After on_failed() or on_end() the Try is over and need only be destroyed.
class TryHandler {
  public:
    // There is a connection: write the request now. Not called when Try::ready() is true after start().
    virtual void on_ready(Try& attempt) = 0;
    // Also for each 1xx, which no on_end() follows. `head` is the Try's: it stays good until the next head, or the
    // Try's destruction. A 101, or 2xx of CONNECT, fails with kProtocolError unless upgraded() is called in here.
    virtual void on_head(Try& attempt, http::ResponseHead& head) = 0;
    virtual void on_body(Try& attempt, io::Slice data) = 0;           // decoded: no chunk framing
    virtual void on_end(Try& attempt, http::ResponseHead& head) = 0;  // whole; trailers are in the head
    // `sent`: octets of the request may have left. Not so: nobody has seen it, and it may be tried anew even when it is
    // not idempotent. `error`: errno, or 0.
    virtual void on_failed(Try& attempt, Failure failure, bool sent, int error) = 0;
    virtual void on_drained(Try& attempt) = 0;  // Stream::want_drained()
    // After a 101 or 2xx of CONNECT: raw octets.
    virtual void on_raw(Try& attempt, io::Slice data) = 0;
    virtual void on_raw_end(Try& attempt) = 0;

  protected:
    ~TryHandler() = default;
};

// What one try asks for.
struct TryRequest {
    const ClusterPtr* cluster = nullptr;  // good during start(); null, or a null pointer: NC
    std::uint32_t client = 0;             // workload number, for limits
    std::uint32_t netns = 0;              // number of the network namespace it is made in; 0: the agent's
    bool has_key = false;
    std::uint64_t key = 0;  // of consistentHash
    bool head_request = false;
    bool connect_request = false;
    // Endpoints already tried are drawn again up to five times (retryIgnorePreviousHosts).
    const std::uint32_t* avoid = nullptr;
    std::size_t avoid_count = 0;
};

// One try of one request at one endpoint. Belongs to who started it, and is destroyed before its Upstreams; destroying
// it before its end resets the connection (or leaves the queue) and reports nothing.
class Try {
  public:
    ~Try();
    Try(const Try&) = delete;
    Try& operator=(const Try&) = delete;

    bool ready() const;  // it has a connection
    // These three stay good after its end.
    std::uint32_t endpoint() const;          // number; SL_NONE while none was chosen
    std::string_view address() const;        // "ip:port"; empty likewise
    std::string_view local_address() const;  // of the connection; empty while there is none

    // Only while it has a connection; else they do nothing.
    void write(io::Slice data);
    void write(std::string_view data);
    // The request was given whole. A connection whose answer ends before that is not used again.
    void request_end();
    std::size_t queued() const;
    void want_drained();
    // Back-pressure of the answer: while off, no on_body() and nothing that follows it. On at first.
    void read(bool on);
    void upgraded();    // from now on on_raw()
    void finish_raw();  // FIN, after an upgrade
    // The caller gave up waiting for the answer: counts as a 504 of the endpoint. Nothing before it has a connection,
    // or once a final head came. All else is reported without being asked.
    void report_timeout();
    // What the cluster's limits for this client count; null without a cluster. No lock.
    Breakers* breakers() const;

    struct State;

    // Its room is a part of its State, which is used again.
    static void* operator new(std::size_t, void* room) noexcept { return room; }
    static void operator delete(void*, void*) noexcept {}
    static void operator delete(void*) noexcept {}

  private:
    friend class Upstreams;
    explicit Try(State* state) : state_(state) {}
    State* state_;
};

// All pools of one worker. One thread.
class Upstreams {
  public:
    struct Options {
        http::Limits limits;
        std::uint32_t idle_max = 1024;  // idle connections a worker keeps, over all pools
    };
    // Makes a stream socket of `family`, non-blocking, in the network namespace of that number; any errno as error.
    using Sockets = std::function<Result<Fd>(std::uint32_t netns, int family)>;
    // Told when an endpoint was ejected or came back.
    using Events = std::function<void(const sl_event&)>;
    // `sockets` null: in the agent's own namespace. `loop` and `tables` outlive it.
    Upstreams(io::Loop& loop, const sl_tables& tables, Options options, Sockets sockets, Events events);
    ~Upstreams();

    // Chooses an endpoint and a connection; limits: maxConnections, http1MaxPendingRequests, http2MaxRequests. Ready at
    // once when a connection was idle; else on_ready() or on_failed() follows from the loop, also for what is known at
    // once (UH, UO, NC).
    std::unique_ptr<Try> start(const TryRequest& request, TryHandler& handler);
    // Closes idle connections to endpoints that are gone or ejected, and those that were idle for too long; once a
    // second.
    void sweep();
    // Closes idle connections in that network namespace, which is about to go.
    void forget_netns(std::uint32_t netns);
    // No more keep-alive; idle connections are closed.
    void drain();
    struct Stats {
        std::uint64_t connections = 0, idle = 0;  // now; connections: also idle and connecting ones
        std::uint64_t made = 0, failed = 0;       // connects
        std::uint64_t reused = 0;                 // tries on a connection that had served others
        std::uint64_t poisoned = 0;               // closed for octets behind an answer, or without a request
        std::uint64_t stale = 0;                  // idle ones found closed by the endpoint when they were needed
    };
    Stats stats() const;  // on its own thread

    struct Impl;

  private:
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::proxy
