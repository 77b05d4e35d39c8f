// The back end for kernels that have no io_uring or do not let us. Edge-triggered: a stream is registered once, and
// stopping to read costs no system call.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "io/core.h"

namespace sluice::io {
namespace {

constexpr int kEvents = 256;        // of one wait
constexpr int kReads = 16;          // of one stream in a turn
constexpr int kAccepts = 64;        // of one listener in a turn
constexpr std::size_t kParts = 64;  // of one sendmsg

// What an event belongs to, in the lowest bits of its pointer.
enum Tag : std::uintptr_t { kStream = 0, kListener = 1, kWake = 2 };
constexpr std::uintptr_t kTags = 3;

class EpollCore final : public Core {
  public:
    explicit EpollCore(const LoopOptions& options) : Core(options), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}
    Result<> open();
    Backend backend() const override { return Backend::kEpoll; }

    void open_stream(Stream::State& stream) override;
    void open_listener(Listener::State& listener) override;
    void stop_listener(Listener::State& listener) override;
    void resume_listener(Listener::State& listener) override;

  private:
    void wait(std::uint64_t timeout_ns) override;
    void settle(Stream::State& stream) override;
    void deliver(Stream::State& stream) override;
    void flush() override {}

    int control(int operation, int fd, std::uint32_t events, std::uintptr_t owner);
    void stream_event(Stream::State& stream, std::uint32_t events);
    void accept(Listener::State& listener);
    void send(Stream::State& stream);
    bool receive(Stream::State& stream);

    Fd epoll_;
    std::array<epoll_event, kEvents> events_;
};

Result<> EpollCore::open() {
    if (!epoll_ || !wake_) {
        return fail_errno("event loop: epoll or eventfd");
    }
    // Edge-triggered, so the counter need not be read: each write is an event.
    if (const int error = control(EPOLL_CTL_ADD, wake_.get(), EPOLLIN | EPOLLET, kWake); error != 0) {
        return fail_errno(error, "event loop: eventfd into epoll");
    }
    return {};
}

int EpollCore::control(int operation, int fd, std::uint32_t events, std::uintptr_t owner) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = owner;
    ++stats_.system_calls;
    return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0 ? 0 : errno;
}

void EpollCore::wait(std::uint64_t timeout_ns) {
    const timespec limit{.tv_sec = static_cast<time_t>(timeout_ns / 1'000'000'000),
                         .tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000)};
    ++stats_.system_calls;
    const int count =
        ::epoll_pwait2(epoll_.get(), events_.data(), kEvents, timeout_ns == kForever ? nullptr : &limit, nullptr);
    begin_turn();
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events_[static_cast<std::size_t>(i)];
        void* owner = reinterpret_cast<void*>(event.data.u64 & ~kTags);
        switch (event.data.u64 & kTags) {
            case kStream:
                stream_event(*static_cast<Stream::State*>(owner), event.events);
                break;
            case kListener:
                accept(*static_cast<Listener::State*>(owner));
                break;
            default:
                break;  // the turn goes on to what was posted
        }
    }
}

void EpollCore::open_stream(Stream::State& stream) {
    stream.is.armed = true;
    if (stream.is.connecting) {
        ++stats_.system_calls;
        const auto* address = reinterpret_cast<const sockaddr*>(&stream.address);
        stream.error = ::connect(stream.fd, address, stream.address_length) == 0 ? 0 : errno;
        stream.is.answered = stream.error != EINPROGRESS;
        if (stream.is.answered) {
            mark_ready(stream);
        }
    }
    if (const int error = control(EPOLL_CTL_ADD, stream.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                  reinterpret_cast<std::uintptr_t>(&stream) | kStream);
        error != 0) {
        stream.is.connecting = false;
        fail_stream(stream, error);
    }
}

void EpollCore::stream_event(Stream::State& stream, std::uint32_t events) {
    if (stream.is.gone) {
        return;
    }
    if (stream.is.connecting && !stream.is.answered) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
            int error = 0;
            socklen_t length = sizeof(error);
            ++stats_.system_calls;
            ::getsockopt(stream.fd, SOL_SOCKET, SO_ERROR, &error, &length);
            connected(stream, error);
        }
        if (stream.is.gone) {
            return;
        }
    }
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && stream.is.blocked) {
        stream.is.blocked = false;
        mark_dirty(stream);
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) {
        stream.is.readable = true;
        stream.is.hung_up = stream.is.hung_up || (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP));
    }
    if (!stream.live()) {
        return;
    }
    // A failure is told even to those who do not read, when there is nothing before it that they would miss.
    if ((events & EPOLLERR) && (!stream.is.read_on || stream.is.end_told) && unread(stream) == 0) {
        int error = 0;
        socklen_t length = sizeof(error);
        ++stats_.system_calls;
        if (::getsockopt(stream.fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0) {
            fail_stream(stream, error);
        }
    }
    deliver(stream);
}

// Reads once; false: nothing more now.
bool EpollCore::receive(Stream::State& stream) {
    Buffer* buffer = pool_.take();
    if (buffer == nullptr) {
        starve(stream);
        return false;
    }
    Slice data(buffer, 0, buffer->capacity);
    ssize_t count;
    do {
        ++stats_.system_calls;
        count = ::recv(stream.fd, buffer->octets, buffer->capacity, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    if (count > 0) {
        if (static_cast<std::size_t>(count) < data.size() && !stream.is.hung_up) {
            stream.is.readable = false;  // what comes later is an event
        }
        stream.handler->on_data(data.part(0, static_cast<std::size_t>(count)));
        return true;
    }
    if (count < 0 && errno == EAGAIN) {
        stream.is.readable = false;
        stream.is.hung_up = false;
        return false;
    }
    stream.is.readable = false;
    if (count < 0) {
        fail_stream(stream, errno);
    } else if (!stream.is.failed) {
        stream.is.ended = stream.is.end_told = true;
        stream.handler->on_end();
    }
    return false;
}

void EpollCore::deliver(Stream::State& stream) {
    if (stream.is.connecting) {
        if (stream.is.answered) {
            connected(stream, stream.error);
        }
        return;
    }
    for (int i = 0; stream.live() && stream.is.read_on && stream.is.readable && !stream.is.end_told; ++i) {
        if (i == kReads) {
            mark_ready(stream);
            return;
        }
        if (!receive(stream)) {
            break;
        }
    }
    if (!stream.live() || !stream.is.failed || stream.is.starved) {
        return;
    }
    if (stream.is.end_told || !stream.is.readable || unread(stream) == 0) {
        report_failure(stream);
    }
}

void EpollCore::send(Stream::State& stream) {
    while (!stream.out.empty()) {
        std::array<iovec, kParts> parts;
        const std::size_t count = std::min(stream.out.count(), kParts);
        std::size_t octets = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const Slice& slice = stream.out[i];
            parts[i] = {const_cast<char*>(slice.data()), slice.size()};
            octets += slice.size();
        }
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        ++stats_.system_calls;
        const ssize_t sent = count == 1
                                 ? ::send(stream.fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                                 : ::sendmsg(stream.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EAGAIN) {
                stream.is.blocked = true;
            } else if (errno != EINTR) {
                write_failed(stream, errno);
            } else {
                continue;
            }
            return;
        }
        stream.out.consume(static_cast<std::size_t>(sent));
        stream.queued -= static_cast<std::size_t>(sent);
        if (static_cast<std::size_t>(sent) < octets) {
            stream.is.blocked = true;  // taking less than all, the kernel notes that we wait for room
            return;
        }
    }
}

void EpollCore::settle(Stream::State& stream) {
    if (stream.is.gone || stream.is.connecting || stream.is.failed || stream.is.blocked) {
        return;
    }
    send(stream);
    if (stream.out.empty() && !stream.is.failed) {
        after_writing(stream);
    }
}

void EpollCore::open_listener(Listener::State& listener) {
    if (control(EPOLL_CTL_ADD, listener.fd, EPOLLIN, reinterpret_cast<std::uintptr_t>(&listener) | kListener) != 0) {
        listener.pause.start(std::chrono::nanoseconds(0));  // and then it is reported
        return;
    }
    listener.armed = true;
}

void EpollCore::stop_listener(Listener::State& listener) {
    if (listener.armed) {
        control(EPOLL_CTL_DEL, listener.fd, 0, 0);
        listener.armed = false;
    }
}

void EpollCore::resume_listener(Listener::State& listener) {
    const int operation = listener.armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    const int error = control(operation, listener.fd, EPOLLIN, reinterpret_cast<std::uintptr_t>(&listener) | kListener);
    if (error != 0) {
        accept_failed(listener, error);
        return;
    }
    listener.armed = true;
}

void EpollCore::accept(Listener::State& listener) {
    for (int i = 0; i < kAccepts && listener.fd >= 0 && listener.handler != nullptr; ++i) {
        ++stats_.system_calls;
        const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted(listener, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (accept_pauses(errno)) {
            const int error = errno;
            control(EPOLL_CTL_MOD, listener.fd, 0, reinterpret_cast<std::uintptr_t>(&listener) | kListener);
            accept_failed(listener, error);
            return;
        }
    }
}

}  // namespace

Result<std::unique_ptr<Core>> open_epoll(const LoopOptions& options) {
    auto core = std::make_unique<EpollCore>(options);
    if (auto opened = core->open(); !opened) {
        return std::unexpected(std::move(opened.error()));
    }
    return core;
}

}  // namespace sluice::io
