// The pools of one worker behind upstream.h: a Pool is a cluster as one client in one network namespace uses it, a Host
// one endpoint of it, a Connection serves one Try at a time.
//
//   start()    idle connection -> ready; else the Host's queue, and a new connection as limits allow
//   the answer's end, a connect, a connection's end -> the first in the queue, or a new connection for it
//
// Handlers hear nothing from inside start(), ~Try and the like: what these find out is queued (`due`) and told by the
// loop. One thread.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "base/ip.h"
#include "http/parser.h"
#include "io/loop.h"
#include "proxy/balance.h"
#include "proxy/pool_list.h"
#include "proxy/upstream.h"

namespace sluice::proxy {

enum LinkTag : int {
    kOfHost,   // Host::all
    kIdle,     // Host::idle
    kOldest,   // Upstreams::Impl::idle
    kWaiting,  // Host::waiting
    kDue,      // Upstreams::Impl::due
    kWanting,  // Pool::wanting
};

struct Host;
struct Pool;
class Connection;

// "[v6]:port" at most.
struct AddressText {
    std::uint8_t size = 0;
    char octets[55] = {};
    void set(std::string_view text);
    std::string_view view() const { return {octets, size}; }
};

// What of a Try lasts no longer than it.
struct TryUse {
    enum class Stage : std::uint8_t { kNew, kWaiting, kOpen, kOver };
    enum class Due : std::uint8_t { kNothing, kReady, kFailed, kResume };

    Upstreams::Impl* owner = nullptr;
    Try* self = nullptr;
    TryHandler* handler = nullptr;
    Pool* pool = nullptr;  // null: no cluster
    Host* host = nullptr;  // null: no endpoint was chosen, or it is over
    Connection* connection = nullptr;
    std::uint32_t endpoint = SL_NONE;
    int error = 0;
    std::uint64_t written = 0;  // octets
    Stage stage = Stage::kNew;
    Due due = Due::kNothing;
    Failure failure{};
    bool held = false;     // the endpoint's `active` words
    bool counted = false;  // in Breakers::requests
    bool head_request = false;
    bool connect_request = false;
    bool whole = false;     // the request was given whole
    bool reading = true;    // the handler takes the answer
    bool answered = false;  // a final head came
    bool raw = false;       // upgraded
    bool finished = false;  // FIN was given, after an upgrade
    AddressText remote, local;
};

// A Try's own part; used again after it.
struct Try::State : TryUse, Link<kWaiting>, Link<kDue> {
    void reset() { static_cast<TryUse&>(*this) = {}; }
    http::ResponseHead head;
    alignas(Try) std::byte room[sizeof(Try)];
};

class Connection final : public io::StreamHandler, public Link<kOfHost>, public Link<kIdle>, public Link<kOldest> {
  public:
    enum class Stage : std::uint8_t { kClosed, kConnecting, kIdle, kBusy };
    enum class How : std::uint8_t { kGone, kClose, kReset };  // kGone: the stream is closed already

    // From kClosed. False: there is no socket (errno in `error`), and it is kClosed again.
    bool open(Upstreams::Impl& owner, Host& host, int& error);
    // Ends it, whatever it is doing; its Try has been taken away from it before.
    void end(How how);
    void attach(Try::State& attempt);
    Try::State* detach();
    // An idle connection may be used: it is young enough, and the endpoint has not closed it unnoticed.
    bool usable(std::uint64_t now_ns);
    bool expired(std::uint64_t now_ns) const;

    Stage stage() const { return stage_; }
    void set_idle(std::uint64_t now_ns);
    Host* host() const { return host_; }
    io::Stream& stream() { return *stream_; }
    // Delivers what waited while the handler did not read.
    void resume();
    void read(bool on);

  private:
    // Around each callback: handlers may end the connection, whose object must outlive the callback; what became due is
    // told at its end.
    class Pin {
      public:
        explicit Pin(Connection& connection);
        ~Pin();
        Pin(const Pin&) = delete;
        Pin& operator=(const Pin&) = delete;

      private:
        Connection& connection_;
        Upstreams::Impl& owner_;
    };
    void on_connected() override;
    void on_data(io::Slice data) override;
    void on_end() override;
    void on_drained() override;
    void on_closed(int error) override;
    void on_connect_timeout();

    void parse(io::Slice data);
    bool head_came(Try::State& attempt, const io::Slice& rest);
    void peer_finished();
    void answer_ended(bool clean);
    void fail(Failure failure, int error, How how = How::kReset);
    bool reusable(const Try::State& attempt) const;

    Upstreams::Impl* owner_ = nullptr;
    Host* host_ = nullptr;
    Try::State* attempt_ = nullptr;
    std::optional<io::Stream> stream_;
    std::optional<io::Timer> connect_timer_;
    std::optional<http::ResponseParser> parser_;
    io::Slice stalled_data_;
    std::uint64_t born_ns_ = 0;
    std::uint64_t idle_ns_ = 0;  // since when
    std::uint32_t served_ = 0;   // requests
    std::uint32_t pins_ = 0;     // callbacks under way: the object stays until they are over
    Stage stage_ = Stage::kClosed;
    bool informational_ = false;  // the message being parsed is a 1xx
    bool stalled_ = false;        // stalled_data_ waits
    bool finished_ = false;       // the endpoint's end waits behind it …
    int finish_error_ = 0;        // … with this errno
    AddressText local_;
};

// One endpoint of a pool. Exists while it has connections or tries.
struct Host : Link<kWanting> {
    Host(Pool& in, std::uint32_t endpoint, const sl_endpoint& record);
    bool is(const sl_endpoint& record) const;

    // Puts a connection that is free to the next who waits, or among the idle.
    void offer(Connection& connection);
    // The newest idle connection that can be used; null: none.
    Connection* take_idle();
    void enqueue(Try::State& attempt);
    void leave_queue(Try::State& attempt);
    // As many connections as there are tries waiting, where limits allow.
    void open_wanted();
    // All who wait fail, as in Envoy when a connect failed. `reported`: as what (enum sl_failure); 0: it is not the
    // endpoint's failure.
    void purge(Failure failure, int error, std::uint32_t reported);
    void close_idle();

    Pool& pool;
    const std::uint32_t number;
    IpAddress ip;
    std::uint16_t port = 0;  // host byte order
    sockaddr_storage address{};
    socklen_t address_size = 0;
    AddressText text;
    std::uint32_t connections = 0;
    std::uint32_t connecting = 0;
    std::uint32_t waiting_count = 0;
    std::uint32_t tries = 0;  // that are not over
    List<Connection, kOfHost> all;
    List<Connection, kIdle> idle;  // oldest first
    List<Try::State, kWaiting> waiting;

  private:
    bool may_open();
};

struct PoolKey {
    Identity id;
    std::uint32_t number = 0, client = 0, netns = 0;
    bool operator==(const PoolKey&) const = default;
};
struct PoolKeyHash {
    std::size_t operator()(const PoolKey& key) const {
        return key.id.lo ^ (std::uint64_t{key.client} << 32 | key.netns) * 0x9e3779b97f4a7c15ull;
    }
};

struct Pool {
    Pool(Upstreams::Impl& impl, const PoolKey& name, ClusterPtr of)
        : owner(impl), key(name), cluster(std::move(of)), breakers(cluster->breakers(key.client)) {}
    // Null: no such row in the tables.
    Host* host(std::uint32_t endpoint);
    const model::Cluster& model() const { return cluster->model(); }
    // Room for a connection: those who wait for one get it, by the order of their hosts.
    void room();
    // Closes an idle connection of another host, to make room; false: there is none.
    bool evict(const Host& besides);

    Upstreams::Impl& owner;
    const PoolKey key;
    ClusterPtr cluster;  // newest
    const std::shared_ptr<Breakers> breakers;
    std::unordered_map<std::uint32_t, std::unique_ptr<Host>> hosts;
    List<Host, kWanting> wanting;  // hosts with tries that wait
    std::uint32_t idle = 0;
    std::uint32_t tries = 0;  // that are not destroyed yet
    bool making_room = false;
};

struct Upstreams::Impl {
    Impl(io::Loop& on, const sl_tables& tables, Options with, Sockets by, Events tell);
    ~Impl();

    Pool& pool(const ClusterPtr& cluster, const TryRequest& request);
    void start(Try::State& attempt, const TryRequest& request);
    // Takes one of Breakers::requests; false: there is none left.
    bool admit(Try::State& attempt);
    // Gives back what an attempt holds; it is in no list afterwards.
    void over(Try::State& attempt);
    void destroy(Try::State& attempt);
    void fail_later(Try::State& attempt, Failure failure, int error = 0);
    void later(Try::State& attempt, Try::State::Due what);
    // Tells handlers what is due. Only while `callbacks` is 1.
    void settle();
    void callback_ends();
    void sweep();
    void drain();

    io::Loop& loop;
    const Options options;
    const Sockets sockets;
    const Events events;
    Balancer balancer;
    std::unordered_map<PoolKey, std::unique_ptr<Pool>, PoolKeyHash> pools;
    Reused<Try::State> states;
    Reused<Connection> connections;
    List<Connection, kOldest> idle;  // oldest first
    List<Try::State, kDue> due;
    Stats stats;
    std::uint32_t callbacks = 0;  // of streams and timers under way: they settle what is due
    bool posted = false;
    bool draining = false;
    // What a posted call finds its way by; null once this is gone.
    std::shared_ptr<Impl*> self;
};

}  // namespace sluice::proxy
