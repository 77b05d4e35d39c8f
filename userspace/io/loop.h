// One thread's event loop, completion-style: streams say what was read and when all was sent; nobody asks for
// readiness. Two back ends behind it: io_uring (multishot accept and receive into provided buffers, batched sends) and
// epoll. What a user sees of both is the same.
//
// Callbacks come from run() only, never from inside a call that a callback or anybody else makes. A callback may call
// everything, also destroy the object it is called for. Everything here belongs to the loop's thread, but for stop()
// and post().
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include "base/fd.h"
#include "base/result.h"
#include "io/slice.h"

namespace sluice::io {

enum class Backend : std::uint8_t { kAuto, kIoUring, kEpoll };  // kAuto: io_uring where the kernel lets us, else epoll
const char* backend_name(Backend backend);                      // as in --io

struct LoopOptions {
    Backend backend = Backend::kAuto;
    std::uint32_t buffer_octets = 16384;  // of one pool buffer
    std::uint32_t buffers_max = 65536;    // the pool grows up to this; reading pauses when it is used up
};

// Totals since the loop was made; read by its own thread.
struct LoopStats {
    std::uint64_t turns = 0;
    std::uint64_t system_calls = 0;
    std::uint64_t buffers = 0;       // allocated
    std::uint64_t buffers_used = 0;  // now
    std::uint64_t pool_empty = 0;    // times that reading had to wait for a buffer
};

// A connected (or connecting) stream socket's user.
class StreamHandler {
  public:
    virtual void on_connected() {}          // connect() succeeded; only then octets come and go
    virtual void on_data(Slice data) = 0;   // never empty; in order
    virtual void on_end() = 0;              // the peer sends no more (FIN); writing goes on
    virtual void on_drained() {}            // all that was queued has been handed to the kernel, and more was refused
    virtual void on_closed(int error) = 0;  // the connection (or the connect) failed with this errno; nothing follows
                                            // but destruction. Not called after close() or reset() of our own. While
                                            // reading is off, it waits if octets that came before are still unread.

  protected:
    ~StreamHandler() = default;
};

class Loop;

// A stream socket, of TCP or not. Destroying it closes the socket (after what is queued was sent if close() was called
// before).
class Stream {
  public:
    // A socket that is connected already. Nothing is read before read(true).
    Stream(Loop& loop, Fd socket, StreamHandler& handler);
    // Begins to connect `socket`, a new non-blocking one of the right family; on_connected() or on_closed() tells. A
    // time limit is the caller's (a Timer, and then reset()).
    Stream(Loop& loop, Fd socket, const sockaddr* address, socklen_t length, StreamHandler& handler);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // Back-pressure: while off, nothing more is delivered and the peer's window fills. A buffer that the kernel filled
    // already is kept, and delivered when it is on again. Off at first.
    void read(bool on);
    // Queues octets; they leave at the end of the loop's turn, with all else that was queued by then. Large writes are
    // better given as slices, small ones as text, which is copied.
    void write(Slice data);
    void write(std::string_view data);
    // Octets queued and not yet taken by the kernel.
    std::size_t queued() const;
    // on_drained() is called once, as soon as queued() is 0 again.
    void want_drained();
    // FIN once all that is queued was sent.
    void finish();
    // Stops reading; sends what is queued, then closes; the kernel sends RST if the peer's octets were not all read.
    // The handler hears nothing more; the object may be destroyed at once. Gives up after 30 s.
    void close();
    // Closes at once with RST; what is queued is lost. The handler hears nothing more.
    void reset();

    int fd() const;  // for getsockopt and names only

    struct State;

  private:
    State* state_;  // the loop's; outlives this object while the kernel works on it
};

class AcceptHandler {
  public:
    virtual void on_accept(Fd socket) = 0;
    // Accepting failed (EMFILE, ENOBUFS, …) and pauses for a moment.
    virtual void on_accept_error(int error) = 0;

  protected:
    ~AcceptHandler() = default;
};

// Accepts from a listening socket; destroying it stops that. Accepted sockets are non-blocking, with TCP_NODELAY.
class Listener {
  public:
    Listener(Loop& loop, Fd listening, AcceptHandler& handler);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    int fd() const;
    // Stops accepting and gives the descriptor away, with the queue of connections that nobody accepted. What was
    // accepted before but not reported yet (io_uring) is still reported to the handler while this object lives, in this
    // turn: destroy it in a later one.
    Fd release();

    struct State;

  private:
    State* state_;
};

// Fires once, at or up to 1 ms after its time. Costs no system call. The owner's member function is its callback:
// Timer idle_{loop, *this, [](Connection& c) { c.on_idle(); }};
class Timer {
  public:
    template <typename Owner>
    Timer(Loop& loop, Owner& owner, void (*fire)(std::type_identity_t<Owner>&))  // or a lambda that captures nothing
        : loop_(loop),
          owner_(&owner),
          call_([](Timer& t) { reinterpret_cast<void (*)(Owner&)>(t.fire_)(*static_cast<Owner*>(t.owner_)); }),
          fire_(reinterpret_cast<void (*)()>(fire)) {}
    ~Timer() { stop(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    void start(std::chrono::nanoseconds after);  // from now on; a running one is started anew
    void stop();
    bool running() const { return running_; }

  private:
    friend class TimerWheel;
    friend class Loop;
    Loop& loop_;
    void* owner_;
    void (*call_)(Timer&);
    void (*fire_)();
    Timer* next_ = nullptr;
    Timer** previous_ = nullptr;
    std::uint64_t due_ = 0;  // wheel ticks
    bool running_ = false;
};

// Outlives all that was made on it, slices too.
class Loop {
  public:
    // An error names what the kernel lacks or refuses; kAuto falls back to epoll and backend() says so.
    static Result<std::unique_ptr<Loop>> open(const LoopOptions& options);
    virtual ~Loop() = default;

    // Runs callbacks until stop(); may be called again then. Always by the same thread, which need not be the one that
    // called open() and made things on the loop before the first run().
    virtual void run() = 0;
    // Any thread: run() returns soon.
    virtual void stop() = 0;
    // Any thread: `call` is made by run(), in order. Bounded only by memory: for control, not for data.
    virtual void post(std::function<void()> call) = 0;
    // Called with false at the end of each turn, before the loop waits, and when run() returns: nothing that a callback
    // looked up is used beyond it. Called with true right after waiting, before any callback.
    virtual void set_turn(std::function<void(bool awake)> turn) = 0;

    virtual Backend backend() const = 0;
    // CLOCK_MONOTONIC, read when the turn began.
    virtual std::uint64_t now_ns() const = 0;
    virtual LoopStats stats() const = 0;
};

}  // namespace sluice::io
