// What both back ends share: the states of streams and listeners, the order of a turn, timers, posted calls.
//
// A turn: wait for the kernel; report what it says (dispatch); posted calls; timers; streams that have something kept
// to deliver (ready); then settle() each stream that changed (dirty): that is where writing, arming and closing happen,
// for all callers of the turn at once. A state that nobody owns is put into the free list at the end of the turn, when
// neither a list nor the kernel knows it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "io/loop.h"
#include "io/pool.h"
#include "io/wheel.h"

namespace sluice::io {

class Core;

// A first-in first-out queue of slices that keeps its memory.
class SliceQueue {
  public:
    bool empty() const { return head_ == slices_.size(); }
    std::size_t count() const { return slices_.size() - head_; }
    Slice& operator[](std::size_t i) { return slices_[head_ + i]; }
    Slice& back() { return slices_.back(); }
    void push(Slice slice) { slices_.push_back(std::move(slice)); }
    Slice pop();
    // Takes `octets` from the front.
    void consume(std::size_t octets);
    void clear();

  private:
    std::vector<Slice> slices_;
    std::size_t head_ = 0;
};

struct Stream::State {
    explicit State(Core& owner);

    Core& core;
    int fd = -1;
    StreamHandler* handler = nullptr;  // null: closing in the background, or gone
    SliceQueue out;                    // queued; io_uring: the first octets may be with the kernel
    std::size_t queued = 0;            // octets of `out`
    SliceQueue held;                   // received while reading was off
    int error = 0;                     // the connection failed; reported after what was received before
    std::uint32_t pins = 0;            // requests that the kernel works on (io_uring)
    Timer give_up;                     // of close()
    // For connect(), until it was begun.
    sockaddr_storage address{};
    socklen_t address_length = 0;

    struct Flags {
        bool connecting = false;
        bool answered = false;  // connect() said at once how it went, in `error`
        bool read_on = false;
        bool ended = false;     // nothing more will be received: FIN, or a failure
        bool end_told = false;  // on_end() was called
        bool failed = false;    // `error` is to be reported, or was
        bool want_drained = false;
        bool finish = false;    // FIN wanted …
        bool finished = false;  // … and sent
        bool closing = false;   // close() was called
        bool gone = false;      // to be closed and recycled
        bool dirty = false;     // in that list, as the next two
        bool ready = false;
        bool starved = false;
        bool armed = false;  // the kernel reports what comes; epoll: always
        // epoll
        bool readable = false;  // the kernel may have octets or an end for us
        bool hung_up = false;   // … and it has an end: a short read is not the last
        bool blocked = false;   // the kernel took less than all; it tells when there is room
        // io_uring
        bool asked = false;       // the kernel connects
        bool cancelling = false;  // the kernel, which receives until told to stop, was told so
        bool paced = false;       // received by calls instead, because its user stops reading
        bool sending = false;
        bool watched = false;  // after FIN the kernel tells of a reset
    } is;

    bool live() const { return handler != nullptr && !is.gone; }
};

struct Listener::State {
    explicit State(Core& owner);
    void resume();

    Core& core;
    int fd = -1;
    AcceptHandler* handler = nullptr;  // null: gone
    std::uint32_t pins = 0;
    Timer pause;  // after an error
    bool armed = false;
};

class Core : public Loop {
  public:
    explicit Core(const LoopOptions& options);
    ~Core() override;

    void run() final;
    void stop() final;
    void post(std::function<void()> call) final;
    void set_turn(std::function<void(bool awake)> turn) final { turn_ = std::move(turn); }
    std::uint64_t now_ns() const final { return running_ ? now_ns_ : clock_ns(); }
    LoopStats stats() const final;

    TimerWheel& wheel() { return wheel_; }
    static std::uint64_t clock_ns();

    // For Stream and Listener.
    Stream::State& make_stream(int fd, StreamHandler& handler);
    // The stream is in the kernel's hands from now on; to connect when it has an address.
    virtual void open_stream(Stream::State& stream) = 0;
    Listener::State& make_listener(int fd, AcceptHandler& handler);
    virtual void open_listener(Listener::State& listener) = 0;
    // Accepts no more, when it returns. What was accepted already is reported while the handler is there.
    virtual void stop_listener(Listener::State& listener) = 0;
    // After a pause.
    virtual void resume_listener(Listener::State& listener) = 0;
    // The owner is gone.
    void drop_listener(Listener::State& listener);
    void drop(Stream::State& stream);
    void write(Stream::State& stream, Slice data);
    void write(Stream::State& stream, std::string_view data);
    void mark_dirty(Stream::State& stream);
    void mark_ready(Stream::State& stream);

  protected:
    // Waits up to `timeout_ns` (kForever: without end; 0: looks only), then calls begin_turn() and reports what came.
    static constexpr std::uint64_t kForever = ~std::uint64_t{0};
    virtual void wait(std::uint64_t timeout_ns) = 0;
    // Brings the kernel up to date with the state.
    virtual void settle(Stream::State& stream) = 0;
    // Delivers what may be there.
    virtual void deliver(Stream::State& stream) = 0;
    // run() returns: nothing waits for the next turn.
    virtual void flush() = 0;

    void begin_turn();
    // What a settled stream wants once all is written: FIN, on_drained(), closing.
    void after_writing(Stream::State& stream);
    void connected(Stream::State& stream, int error);
    // Nothing can be sent any more. on_closed() follows when all that was received is delivered.
    void fail_stream(Stream::State& stream, int error);
    // The same, and wakes whoever receives.
    void write_failed(Stream::State& stream, int error);
    // on_closed(), once.
    static void report_failure(Stream::State& stream);
    // Octets that were received and not read yet.
    std::size_t unread(const Stream::State& stream);
    void starve(Stream::State& stream);
    void accepted(Listener::State& listener, int fd);
    void accept_failed(Listener::State& listener, int error);
    // Whether an error of accept() is of the machine, not of one connection.
    static bool accept_pauses(int error);

    Pool pool_;
    LoopStats stats_;
    Fd wake_;                    // eventfd, written by post() and stop()
    std::uint64_t in_ring_ = 0;  // buffers that are taken, but with the kernel and empty

  private:
    void run_posted();
    void deliver_ready();
    void settle_dirty();
    void feed_starved();
    void bury();
    std::uint64_t wait_time() const;
    void wake_up();

    TimerWheel wheel_;
    std::uint64_t now_ns_ = 0;
    bool running_ = false;
    std::function<void(bool)> turn_;
    Slice text_;                 // the buffer that written text is copied into …
    std::size_t text_used_ = 0;  // … and how much of it is taken
    std::vector<Stream::State*> dirty_, dirty_now_, ready_, ready_now_, starved_, buried_, free_;
    std::vector<std::unique_ptr<Stream::State>> streams_;
    std::vector<Listener::State*> free_listeners_, buried_listeners_;
    std::vector<std::unique_ptr<Listener::State>> listeners_;

    std::atomic<bool> stop_ = false;
    std::atomic<bool> posts_ = false;
    std::mutex mutex_;  // of posted_
    std::vector<std::function<void()>> posted_, posted_now_;
};

Result<std::unique_ptr<Core>> open_epoll(const LoopOptions& options);
Result<std::unique_ptr<Core>> open_uring(const LoopOptions& options);

}  // namespace sluice::io
