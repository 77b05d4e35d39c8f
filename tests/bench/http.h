// What HTTP client and server of the benchmark share: sockets, epoll, and how a head is recognised.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

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

// The value of a header that this program's peer wrote as `name: value`; empty: not there.
inline std::string_view value_of(std::string_view head, std::string_view name) {
    const auto at = head.find(name);
    if (at == std::string_view::npos) {
        return {};
    }
    const auto begin = at + name.size();
    return head.substr(begin, head.find('\r', begin) - begin);
}

}  // namespace sluice::bench
