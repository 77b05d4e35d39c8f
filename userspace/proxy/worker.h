// One worker of the proxy: a thread with its loop, listeners, client connections and pools of connections to endpoints.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "proxy/exchange.h"
#include "proxy/mirror.h"
#include "proxy/proxy.h"

namespace sluice::proxy {

// What all workers of a proxy share.
struct Shared {
    Options options;
    sl_tables tables;
    std::mutex mutex;
    TablePtr table;                         // the newest; under the mutex
    std::atomic<std::uint64_t> version{0};  // grows after `table` was replaced; each request head looks at it
};

// A listener as its workers share it.
struct Door {
    std::string name;
    std::shared_ptr<const Dialled> dialled;  // of every connection, or
    std::function<std::optional<Dialled>(int fd)> identify;
};

// A table as one worker holds it: exchanges count here, so that no line is shared between workers for a request.
struct HeldTable {
    TablePtr table;
    std::uint64_t version = 0;
    std::uint32_t users = 0;
};

// Everything but what says so belongs to its thread.
class Worker {
  public:
    // Opens the loop and starts the thread. Any thread; so are run() and turn().
    static Result<std::unique_ptr<Worker>> start(Shared& shared, std::uint32_t number);
    // Ends the thread; connections end with it.
    ~Worker();
    // Runs `call` on the worker and waits for its end. Not from a worker.
    void run(const std::function<void()>& call);
    // Odd while callbacks may run and hold what they looked up; even while the loop waits. Grows with each change.
    std::uint64_t turn() const { return turn_.load(std::memory_order_seq_cst); }

    // Accepts from the worker's socket of a listener; `listener` is shared by all of them.
    void listen(std::shared_ptr<const Door> door, Fd socket);
    void stop_listening(const std::string& name);
    // Begins to drain: listeners close, idle connections too, answers say Connection: close.
    void drain();
    // Ends what is left.
    void cut();
    std::size_t connections() const { return connection_count_; }
    io::Backend backend() const { return loop_->backend(); }
    WorkerStats stats() const;

    // --- for connections, exchanges and mirrors ---
    io::Loop& loop() { return *loop_; }
    Upstreams& upstreams() { return *upstreams_; }
    Recorder& recorder() { return *recorder_; }
    Mirrors& mirrors() { return *mirrors_; }
    const Limits& limits() const { return shared_.options.limits; }
    bool shadow_suffix() const { return shared_.options.shadow_suffix; }
    const sl_tables& tables() const { return shared_.tables; }
    bool draining() const { return draining_; }
    std::uint64_t now_ns() const { return loop_->now_ns(); }
    std::uint64_t random();
    // An empty string to write a head into; used up before anybody else gets it.
    std::string& text();
    // Now, as Date fields have it; renewed once a second.
    std::string_view date() const { return date_; }

    // The table in force, counted as in use; null: none was published yet.
    HeldTable* hold_table();
    void release_table(HeldTable* held);

    Exchange* take_exchange();
    void give_back(Exchange* exchange);
    void joined(ClientConnection& connection);
    // The connection is over; it is destroyed at the end of the turn.
    void left(ClientConnection& connection);

  private:
    class Listening;
    Worker(Shared& shared, std::uint32_t number);
    Result<> open();
    void main();
    void turn_ended(bool awake);
    void sweep();
    void refresh_table();
    void accepted(const Door& door, Fd socket);
    static void destroy(ClientConnection*& list);

    Shared& shared_;
    const std::uint32_t number_;
    std::unique_ptr<io::Loop> loop_;
    std::unique_ptr<Recorder> recorder_;
    std::unique_ptr<Upstreams> upstreams_;
    std::unique_ptr<Mirrors> mirrors_;
    std::vector<std::unique_ptr<Listening>> listening_;
    std::unique_ptr<HeldTable> table_;
    std::vector<std::unique_ptr<HeldTable>> older_tables_;
    ClientConnection* connections_ = nullptr;  // a list
    ClientConnection* dead_ = nullptr;         // a list; freed at the end of the turn
    std::size_t connection_count_ = 0;
    std::uint64_t connections_total_ = 0, requests_total_ = 0, requests_active_ = 0;
    std::vector<std::unique_ptr<Exchange>> free_exchanges_;
    std::string text_, date_;
    std::uint64_t random_ = 0;
    bool draining_ = false;
    std::unique_ptr<io::Timer> sweep_timer_;
    std::atomic<std::uint64_t> turn_{1};
    std::thread thread_;
};

}  // namespace sluice::proxy
