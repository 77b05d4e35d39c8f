// What users call. Nothing here talks to the kernel but close and reset: the turn's end does.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "io/core.h"

namespace sluice::io {
namespace {

constexpr std::chrono::seconds kCloseLimit{30};
constexpr std::size_t kCopied = 512;  // a slice below this is copied: it is not worth to hold its buffer

// A listener's sockets inherit it. A socket that is not TCP has no such option.
void no_delay(int fd) {
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

Core& core_of(Loop& loop) {
    return static_cast<Core&>(loop);
}

bool may_write(const Stream::State* state) {
    return state != nullptr && !state->is.failed && !state->is.finish;
}

}  // namespace

Stream::Stream(Loop& loop, Fd socket, StreamHandler& handler)
    : state_(&core_of(loop).make_stream(socket.release(), handler)) {
    state_->core.open_stream(*state_);
}

Stream::Stream(Loop& loop, Fd socket, const sockaddr* address, socklen_t length, StreamHandler& handler)
    : state_(&core_of(loop).make_stream(socket.release(), handler)) {
    no_delay(state_->fd);
    state_->is.connecting = true;
    state_->address_length = std::min<socklen_t>(length, sizeof(state_->address));
    std::memcpy(&state_->address, address, state_->address_length);
    state_->core.open_stream(*state_);
}

Stream::~Stream() {
    if (state_ != nullptr) {
        state_->core.drop(*state_);
    }
}

void Stream::read(bool on) {
    if (state_ == nullptr || state_->is.read_on == on) {
        return;
    }
    state_->is.read_on = on;
    if (on && state_->live()) {
        if (!state_->is.armed) {
            state_->core.mark_dirty(*state_);
        }
        if (state_->is.readable || state_->is.ended || state_->is.failed || !state_->held.empty()) {
            state_->core.mark_ready(*state_);
        }
    }
}

void Stream::write(Slice data) {
    if (data.size() < kCopied) {
        write(data.text());
    } else if (may_write(state_)) {
        state_->core.write(*state_, std::move(data));
    }
}

void Stream::write(std::string_view data) {
    if (may_write(state_) && !data.empty()) {
        state_->core.write(*state_, data);
    }
}

std::size_t Stream::queued() const {
    return state_ == nullptr ? 0 : state_->queued;
}

void Stream::want_drained() {
    if (state_ != nullptr && !state_->is.failed) {
        state_->is.want_drained = true;
        state_->core.mark_dirty(*state_);
    }
}

void Stream::finish() {
    if (state_ != nullptr && !state_->is.failed) {
        state_->is.finish = true;
        state_->core.mark_dirty(*state_);
    }
}

void Stream::close() {
    State* state = std::exchange(state_, nullptr);
    if (state == nullptr) {
        return;
    }
    state->handler = nullptr;
    state->is.read_on = false;
    if (state->queued == 0 || state->is.failed) {
        state->core.drop(*state);
        return;
    }
    state->is.closing = true;
    state->held.clear();
    state->give_up.start(kCloseLimit);
    state->core.mark_dirty(*state);
}

void Stream::reset() {
    State* state = std::exchange(state_, nullptr);
    if (state == nullptr) {
        return;
    }
    const linger hard{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(state->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    state->core.drop(*state);
}

int Stream::fd() const {
    return state_ == nullptr ? -1 : state_->fd;
}

Listener::Listener(Loop& loop, Fd listening, AcceptHandler& handler)
    : state_(&core_of(loop).make_listener(listening.release(), handler)) {
    no_delay(state_->fd);
    state_->core.open_listener(*state_);
}

Listener::~Listener() {
    state_->core.drop_listener(*state_);
}

int Listener::fd() const {
    return state_->fd;
}

Fd Listener::release() {
    if (state_->fd < 0) {
        return Fd{};
    }
    state_->pause.stop();
    state_->core.stop_listener(*state_);
    return Fd(std::exchange(state_->fd, -1));
}

Result<std::unique_ptr<Loop>> Loop::open(const LoopOptions& options) {
    if (options.backend != Backend::kEpoll) {
        auto ring = open_uring(options);
        if (ring || options.backend == Backend::kIoUring) {
            return ring;
        }
    }
    return open_epoll(options);
}

const char* backend_name(Backend backend) {
    switch (backend) {
        case Backend::kIoUring:
            return "io_uring";
        case Backend::kEpoll:
            return "epoll";
        case Backend::kAuto:
            break;
    }
    return "auto";
}

}  // namespace sluice::io
