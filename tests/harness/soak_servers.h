// The servers of the soak test (soak.cc), and what its two sides share.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tests/bench/tools.h"

namespace sluice::soak {

using namespace sluice::bench;

struct Request {
    std::atomic<std::uint8_t> tried{0}, good{0};  // bit i: try i + 1 was seen; was answered well
    std::atomic<bool> cut{false}, twice{false};
};

struct Options {
    sockaddr_in to{};
    std::string host;
    std::size_t requests = 0;
    int connections = 64;
    unsigned tries = 3;
    std::vector<std::string> servers;
};

inline Options options;
inline std::unique_ptr<Request[]> requests;

// The body of request n: its number over and over; its length depends on the number alone.
inline std::size_t length_of(std::size_t n) {
    const std::size_t kind = n * 2654435761u >> 7;
    return kind % 16 == 0 ? kind % 200'000 : kind % 16 < 4 ? kind % 20'000 : kind % 700;
}

inline char octet_of(std::size_t n, std::size_t at) {
    return static_cast<char>('a' + (n + at / 7 + at % 7 * 3) % 26);
}

// --- servers

struct Served {
    int fd;
    unsigned server;
    std::string in{}, out{};
    std::size_t sent = 0;
    bool ends = false, resets = false, waiting = false;
};

inline void make_answer(Served& c, std::size_t n, unsigned attempt, std::mt19937_64& random) {
    Request& request = requests[n];
    const std::uint8_t bit = static_cast<std::uint8_t>(1u << (attempt - 1));
    if (request.tried.fetch_or(bit) & bit) {
        request.twice = true;
    }
    const std::uint64_t luck = random() % 1000;
    // Each server in turn fails for a fifth of a second of every two.
    const bool bad_time = now_ns() / 200'000'000 % 10 == c.server % 10;
    if (bad_time || luck < 30) {
        c.out += bad_time ? "HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\nfail"
                          : "HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nfail";
        return;
    }
    if (luck < 50) {
        c.ends = true;
        c.resets = luck < 40;
        return;
    }
    if (luck < 51) {
        return;  // silence: the try's time-out ends it
    }
    const std::size_t length = length_of(n);
    const bool chunked = random() % 2 == 0;
    c.out += "HTTP/1.1 200 OK\r\nx-nonce: " + std::to_string(n) + "\r\nx-try: " + std::to_string(attempt) + "\r\n";
    c.out += chunked ? "transfer-encoding: chunked\r\n\r\n" : "content-length: " + std::to_string(length) + "\r\n\r\n";
    const std::size_t head = c.out.size();
    for (std::size_t at = 0; at < length;) {
        const std::size_t now = chunked ? std::min<std::size_t>(length - at, 1 + random() % 5000) : length;
        if (chunked) {
            char line[32];
            c.out.append(line, static_cast<std::size_t>(std::snprintf(line, sizeof(line), "%zx\r\n", now)));
        }
        for (const std::size_t end = at + now; at < end; ++at) {
            c.out += octet_of(n, at);
        }
        c.out += chunked ? "\r\n" : "";
    }
    c.out += chunked ? "0\r\n\r\n" : "";
    if (luck < 61 && c.out.size() > head) {
        c.out.resize(head + random() % (c.out.size() - head));
        c.ends = true;
        c.resets = luck < 56;
        request.cut = true;
        return;
    }
    request.good |= bit;
}

// False: the connection is over.
inline bool push(Served& c, int epoll) {
    while (c.sent < c.out.size()) {
        const ssize_t n = send(c.fd, c.out.data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN) {
            return false;
        }
        if (n < 0) {
            watch(epoll, c.fd, EPOLLIN | EPOLLOUT, &c, EPOLL_CTL_MOD);
            c.waiting = true;
            return true;
        }
        c.sent += static_cast<std::size_t>(n);
    }
    c.out.clear();
    c.sent = 0;
    if (c.waiting) {
        watch(epoll, c.fd, EPOLLIN, &c, EPOLL_CTL_MOD);
        c.waiting = false;
    }
    if (c.ends && c.resets) {
        const linger reset{1, 0};
        setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    return !c.ends;
}

inline bool serve_one(Served& c, std::mt19937_64& random) {
    const auto end = c.in.find("\r\n\r\n");
    if (end == std::string::npos) {
        return false;
    }
    const std::string_view head = std::string_view(c.in).substr(0, end + 2);
    const std::size_t body = std::strtoull(std::string(value_of(head, "content-length: ")).c_str(), nullptr, 10);
    if (c.in.size() < end + 4 + body) {
        return false;
    }
    const std::size_t n = std::strtoull(std::string(value_of(head, "x-nonce: ")).c_str(), nullptr, 10);
    const auto attempt =
        static_cast<unsigned>(std::atoi(std::string(value_of(head, "x-envoy-attempt-count: ")).c_str()));
    if (n >= options.requests || attempt < 1 || attempt > 8 || body != n % 3 * 100 ||
        c.in.find_first_not_of('q', end + 4) < end + 4 + body) {
        std::fprintf(stderr, "soak: a request that nobody made: %s\n", c.in.substr(0, 500).c_str());
        std::exit(1);
    }
    c.in.erase(0, end + 4 + body);
    make_answer(c, n, attempt, random);
    return true;
}

inline bool ready(Served& c, int epoll, std::uint32_t events, std::mt19937_64& random) {
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        char buffer[65536];
        const ssize_t n = recv(c.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return false;
        }
        c.in.append(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
    }
    while (!c.ends && serve_one(c, random)) {
    }
    return push(c, epoll);
}

inline void serve() {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    std::vector<std::unique_ptr<Served>> listeners;
    for (const std::string& text : options.servers) {
        sockaddr_in address{};
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int one = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (!parse_address(text, address) || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
            listen(fd, 1024) != 0) {
            die("soak: listen");
        }
        listeners.push_back(
            std::make_unique<Served>(Served{.fd = fd, .server = static_cast<unsigned>(listeners.size())}));
        watch(epoll, fd, EPOLLIN, listeners.back().get(), EPOLL_CTL_ADD);
    }
    std::puts("ready");
    std::fflush(stdout);
    std::mt19937_64 random(std::random_device{}());
    epoll_event events[256];
    while (true) {
        const int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; ++i) {
            auto* c = static_cast<Served*>(events[i].data.ptr);
            const bool listener = std::ranges::any_of(listeners, [&](const auto& one) { return one.get() == c; });
            if (listener) {
                const int fd = accept4(c->fd, nullptr, nullptr, SOCK_CLOEXEC);
                if (fd >= 0) {
                    no_delay(fd);
                    watch(epoll, fd, EPOLLIN, new Served{.fd = fd, .server = c->server}, EPOLL_CTL_ADD);
                }
            } else if (!ready(*c, epoll, events[i].events, random)) {
                close(c->fd);
                delete c;
            }
        }
    }
}

}  // namespace sluice::soak
