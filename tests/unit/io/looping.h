// What the tests of the event loop share: a loop of either back end, sockets, and users that note what they hear.
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/loop.h"

namespace sluice::io {

using namespace std::chrono_literals;

class LoopTest : public testing::TestWithParam<Backend> {
  protected:
    void SetUp() override { open(LoopOptions{}); }

    void open(LoopOptions options) {
        options.backend = GetParam();
        loop.reset();
        auto opened = Loop::open(options);
        if (!opened && GetParam() == Backend::kIoUring) {
            GTEST_SKIP() << opened.error().text();
        }
        ASSERT_TRUE(opened) << opened.error().text();
        loop = std::move(*opened);
        ASSERT_EQ(loop->backend(), GetParam());
    }

    // Runs until `met`, which is looked at once a millisecond and at the end of each turn; false: it was not for 20 s.
    [[nodiscard]] bool run_until(std::function<bool()> met) {
        struct Clock {
            Loop& loop;
            std::chrono::steady_clock::time_point end = std::chrono::steady_clock::now() + 20s;
            bool late = false;
            Timer timer{loop, *this, [](Clock& c) { c.tick(); }};
            void tick() {
                if (std::chrono::steady_clock::now() > end) {
                    late = true;
                    loop.stop();
                }
                timer.start(1ms);
            }
        } clock{.loop = *loop};
        clock.tick();
        bool done = false;
        loop->set_turn([&](bool awake) {
            if (!awake && !done && met()) {
                done = true;
                loop->stop();
            }
        });
        loop->run();
        loop->set_turn(nullptr);
        return done;
    }
    // Turns for a while, in which something must not happen.
    void run_for(std::chrono::milliseconds time) {
        const auto end = std::chrono::steady_clock::now() + time;
        ASSERT_TRUE(run_until([&] { return std::chrono::steady_clock::now() >= end; }));
    }

    std::unique_ptr<Loop> loop;
};

inline sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

inline std::uint16_t port_of(int fd) {
    sockaddr_in address{};
    socklen_t length = sizeof(address);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    return ntohs(address.sin_port);
}

inline Fd tcp_socket() {
    return Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

// Bound to a free port of 127.0.0.1.
inline Fd bound_socket() {
    Fd socket = tcp_socket();
    const sockaddr_in any = loopback(0);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
    return socket;
}

inline Fd listening_socket(int backlog = 4096) {
    Fd socket = bound_socket();
    EXPECT_EQ(::listen(socket.get(), backlog), 0);
    return socket;
}

// A connected pair of TCP sockets over 127.0.0.1; both non-blocking.
struct Pair {
    Fd first, second;

    Pair() {
        const Fd listener = listening_socket();
        first = tcp_socket();
        const sockaddr_in to = loopback(port_of(listener.get()));
        const int done = ::connect(first.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to));
        EXPECT_TRUE(done == 0 || errno == EINPROGRESS);
        ::fcntl(listener.get(), F_SETFL, 0);
        second = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        EXPECT_TRUE(second) << errno;
    }
};

inline std::size_t open_descriptors() {
    std::size_t count = 0;
    DIR* directory = ::opendir("/proc/self/fd");
    while (::readdir(directory) != nullptr) {
        ++count;
    }
    ::closedir(directory);
    return count;
}

// The user of a stream: notes what it hears, and does what the test hangs in.
struct User final : StreamHandler {
    std::optional<Stream> stream;
    std::string got;
    int connected = 0, ends = 0, drained = 0, closed = 0;
    int error = 0;
    std::function<void()> then_connected, then_end, then_drained, then_closed;
    std::function<void(Slice&)> then_data;  // instead of noting it in `got`

    void on_connected() override {
        ++connected;
        call(then_connected);
    }
    void on_data(Slice data) override {
        EXPECT_FALSE(data.empty());
        EXPECT_EQ(ends, 0);
        EXPECT_EQ(closed, 0);
        if (then_data) {
            auto then = then_data;  // the user may be gone when it returns
            then(data);
        } else {
            got += data.text();
        }
    }
    void on_end() override {
        ++ends;
        EXPECT_EQ(closed, 0);
        call(then_end);
    }
    void on_drained() override {
        ++drained;
        EXPECT_EQ(stream->queued(), 0u);
        call(then_drained);
    }
    void on_closed(int why) override {
        ++closed;
        error = why;
        call(then_closed);
    }

    static void call(std::function<void()> then) {
        if (then) {
            then();
        }
    }
    User& over(Loop& loop, Fd socket, bool read = true) {
        stream.emplace(loop, std::move(socket), *this);
        stream->read(read);
        return *this;
    }
    User& to(Loop& loop, std::uint16_t port) {
        const sockaddr_in address = loopback(port);
        stream.emplace(loop, tcp_socket(), reinterpret_cast<const sockaddr*>(&address), sizeof(address), *this);
        return *this;
    }
};

// Hands each accepted socket to `then`, or keeps it.
struct Acceptor final : AcceptHandler {
    std::vector<Fd> sockets;
    std::vector<int> errors;
    std::function<void(Fd)> then;

    void on_accept(Fd socket) override {
        if (then) {
            then(std::move(socket));
        } else {
            sockets.push_back(std::move(socket));
        }
    }
    void on_accept_error(int error) override { errors.push_back(error); }
};

// Octets that differ from place to place.
inline std::string pattern(std::size_t octets) {
    std::string text(octets, '\0');
    std::uint32_t word = 12345;
    for (char& c : text) {
        word = word * 1664525 + 1013904223;
        c = static_cast<char>(word >> 24);
    }
    return text;
}

#define SLUICE_BOTH_BACKENDS(suite)                                                                \
    INSTANTIATE_TEST_SUITE_P(Backends, suite, testing::Values(Backend::kEpoll, Backend::kIoUring), \
                             [](const auto& tested) { return std::string(backend_name(tested.param)); })

}  // namespace sluice::io
