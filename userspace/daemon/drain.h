// Ends connections that a newer generation or an ejection would place elsewhere (sluice.dev/drain), on a thread of its
// own.
//
//   now    at once
//   idle   only between a whole answer and the next request: the gate of the connection (abi/http.h) is closed first,
//          and a request that comes meanwhile waits behind it for the end, so it reaches nobody and can be sent again
//
// Connections in network namespaces that cannot be entered, and on kernels that cannot end connections, are left alone:
// their gates stay open.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bpf/sock_destroy.h"
#include "daemon/drain_book.h"

namespace sluice::daemon {

// For status and metrics. Counts are since start.
struct DrainFacts {
    std::uint64_t waiting = 0;    // connections that go when their answer is whole
    std::uint64_t unwatched = 0;  // idle would end them, but nobody sees when they are idle: they stay
    std::uint64_t drained_idle = 0;
    std::uint64_t drained_now = 0;
    // Connections that could not be ended, by reason: not_supported, not_permitted, namespace_not_found,
    // namespace_not_permitted, not_found, other. One that is tried again counts again.
    std::vector<std::pair<std::string, std::uint64_t>> failures;
    std::string last_error;  // of the last failure; empty: none yet
    std::string off;         // why nothing can be ended on this machine; empty: it can
};

// What a drain does to the machine. Used from the drain's thread only.
class DrainTools {
  public:
    using Gates = std::span<const std::pair<std::uint64_t, sl_drain_mode>>;

    virtual ~DrainTools() = default;
    virtual Result<> list(const std::function<void(const sl_connection&)>& fn) = 0;
    virtual Result<> close_gates(Gates connections) = 0;
    // Returns when every program run that began before has ended: what a closed gate promised is then in its socket.
    virtual void settle() = 0;
    virtual std::map<std::uint64_t, Error> reach(std::span<const bpf::NetnsName> names) = 0;
    virtual Result<bpf::Ended> destroy(const sl_connection& connection) = 0;
    virtual void release() = 0;
};

// Thread-safe. References must outlive it.
class Drainer {
  public:
    // Nothing runs before the first call of look_*(). `tools` and `book` are the thread's from now on.
    Drainer(DrainTools& tools, DrainBook& book);
    // Ends the thread; what it asked for stays asked for.
    ~Drainer();
    Drainer(const Drainer&) = delete;
    Drainer& operator=(const Drainer&) = delete;

    // Something was published.
    void look_at_rules();
    // An endpoint was ejected, or a gate was closed.
    void look_at_connections();

    DrainFacts facts() const;

  private:
    struct Victim {
        sl_connection connection;
        sl_drain_mode mode;
    };
    using Clock = std::chrono::steady_clock;

    void run();
    void pass(bool rules);
    bool list_connections(const DrainView& view, std::vector<sl_connection>& out);
    std::vector<Victim> choose_victims(const DrainView& view, std::vector<sl_connection> connections,
                                       Clock::time_point now);
    void leave_unreachable(std::vector<Victim>& victims, Clock::time_point now);
    void try_out(std::span<const Victim> victims);
    void end_some(std::span<const Victim> victims);
    void end_one(const Victim& victim);
    void fail(const std::string& reason, std::uint64_t connections, const Error& error);
    void switch_off(const Error& error);
    bool stopping() const;

    DrainTools& tools_;
    DrainBook& book_;

    mutable std::mutex mutex_;  // what follows
    std::condition_variable changed_;
    bool stop_ = false, rules_asked_ = false, look_asked_ = false;
    DrainFacts facts_;

    // Of the thread alone.
    std::unordered_map<std::uint64_t, bpf::Ended> ended_;     // connections dealt with that are listed still
    std::map<std::uint64_t, Clock::time_point> unreachable_;  // namespaces, and when to try again
    std::size_t waiting_ = 0, unwatched_ = 0;
    bool tried_ = false;
    bool again_ = false;  // something may change without an event
    std::thread thread_;
};

}  // namespace sluice::daemon
