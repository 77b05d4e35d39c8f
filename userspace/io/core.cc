#include "io/core.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace sluice::io {
namespace {

constexpr int kSettleRounds = 4;  // of writing what on_drained() wrote; the rest is for the next turn

}  // namespace

Core::Core(const LoopOptions& options)
    : pool_(std::max(options.buffer_octets, 512u), options.buffers_max),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      wheel_(clock_ns()) {}

Core::~Core() {
    for (const auto& stream : streams_) {
        const Fd socket(std::exchange(stream->fd, -1));
        stream->out.clear();
        stream->held.clear();
    }
    for (const auto& listener : listeners_) {
        const Fd socket(std::exchange(listener->fd, -1));
    }
}

std::uint64_t Core::clock_ns() {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                      std::chrono::nanoseconds(1));
}

LoopStats Core::stats() const {
    LoopStats stats = stats_;
    stats.buffers = pool_.allocated();
    stats.buffers_used = pool_.taken() - in_ring_;
    return stats;
}

void Core::run() {
    running_ = true;
    now_ns_ = clock_ns();
    while (!stop_.exchange(false)) {
        if (turn_) {
            turn_(false);
        }
        wait(wait_time());
        ++stats_.turns;
        run_posted();
        wheel_.advance(now_ns_);
        deliver_ready();
        for (int i = 0; i < kSettleRounds && !dirty_.empty(); ++i) {
            settle_dirty();
        }
        text_ = Slice{};
        feed_starved();
        bury();
    }
    flush();
    if (turn_) {
        turn_(false);
    }
    running_ = false;
}

void Core::begin_turn() {
    now_ns_ = clock_ns();
    if (turn_) {
        turn_(true);
    }
}

std::uint64_t Core::wait_time() const {
    if (!dirty_.empty() || !ready_.empty() || posts_.load(std::memory_order_relaxed)) {
        return 0;
    }
    const std::uint64_t next = wheel_.next_ns();
    if (next == TimerWheel::kNever) {
        return kForever;
    }
    const std::uint64_t now = clock_ns();
    return next > now ? next - now : 0;
}

void Core::wake_up() {
    const std::uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof(one)) < 0) {
        // Only a full counter can be the reason: the loop was woken often and will see all of it.
    }
}

void Core::stop() {
    stop_ = true;
    wake_up();
}

void Core::post(std::function<void()> call) {
    bool first;
    {
        const std::lock_guard lock(mutex_);
        first = posted_.empty();
        posted_.push_back(std::move(call));
        posts_ = true;
    }
    if (first) {
        wake_up();
    }
}

void Core::run_posted() {
    if (!posts_.load(std::memory_order_acquire)) {
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        posted_now_.swap(posted_);
        posts_ = false;
    }
    for (auto& call : posted_now_) {
        call();
    }
    posted_now_.clear();
}

void Core::mark_dirty(Stream::State& stream) {
    if (!std::exchange(stream.is.dirty, true)) {
        dirty_.push_back(&stream);
    }
}

void Core::mark_ready(Stream::State& stream) {
    if (!std::exchange(stream.is.ready, true)) {
        ready_.push_back(&stream);
    }
}

void Core::starve(Stream::State& stream) {
    if (!std::exchange(stream.is.starved, true)) {
        ++stats_.pool_empty;
        starved_.push_back(&stream);
    }
}

void Core::deliver_ready() {
    ready_now_.swap(ready_);
    for (Stream::State* stream : ready_now_) {
        stream->is.ready = false;
        if (stream->live()) {
            deliver(*stream);
        }
    }
    ready_now_.clear();
}

void Core::settle_dirty() {
    dirty_now_.swap(dirty_);
    for (Stream::State* stream : dirty_now_) {
        stream->is.dirty = false;
        settle(*stream);
    }
    dirty_now_.clear();
}

// Buffers come back only by what callbacks of a turn do, so its end is where to look.
void Core::feed_starved() {
    if (starved_.empty() || (in_ring_ == 0 && !pool_.available())) {
        return;
    }
    for (Stream::State* stream : starved_) {
        stream->is.starved = false;
        mark_ready(*stream);
        if (!stream->is.armed) {
            mark_dirty(*stream);
        }
    }
    starved_.clear();
}

}  // namespace sluice::io
