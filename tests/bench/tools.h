// What the benchmark's clients and servers share: sockets, epoll, clocks, and how a head is recognised.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace sluice::bench {

inline constexpr std::size_t kLargest = 16u << 20;  // octets of a body

// Ends the program with what failed: a benchmark cannot go on.
[[noreturn]] inline void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

inline bool parse_address(const std::string& text, sockaddr_in& to) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) {
        return false;
    }
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(text.c_str() + colon + 1)));
    return to.sin_port != 0 && inet_pton(AF_INET, text.substr(0, colon).c_str(), &to.sin_addr) == 1;
}

inline void watch(int epoll, int fd, std::uint32_t events, void* owner, int operation) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = owner;
    if (epoll_ctl(epoll, operation, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

inline void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

// A listener on every IPv4 address of the namespace, which other threads may share; `flags` beside SOCK_STREAM.
inline int listen_on(std::uint16_t port, int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || listen(fd, 1024) != 0) {
        die("listen");
    }
    return fd;
}

// CLOCK_MONOTONIC.
inline std::int64_t now_ns() {
    return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

// User and system time of this process so far.
inline double cpu_us() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto us = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
    };
    return us(usage.ru_utime) + us(usage.ru_stime);
}

// The value of a header that this program's peer wrote as `name: value`; empty: not there.
inline std::string_view value_of(std::string_view head, std::string_view name) {
    const auto same = [](char a, char b) {
        return (a | 0x20) == (b | 0x20);
    };  // some proxies write names in lower case
    const auto at = std::ranges::search(head, name, same).begin();
    if (at == head.end()) {
        return {};
    }
    const auto begin = static_cast<std::size_t>(at - head.begin()) + name.size();
    return head.substr(begin, head.find('\r', begin) - begin);
}

}  // namespace sluice::bench
