// The HTTP server of the benchmark: `http_answer PORT THREADS` answers `GET /N` with N octets on every IPv4 address of
// its network namespace, over keep-alive connections, until it is killed. The answer repeats the request's X-Nonce.
// Prints `listening` once it is.
#include <algorithm>
#include <thread>
#include <vector>

#include "tests/bench/tools.h"

namespace {

using namespace sluice::bench;

const std::string& bodies() {
    static const std::string text(kLargest, 'x');
    return text;
}

struct Connection {
    int fd;
    std::string in{};
    std::string head{};    // of the answer under way
    std::size_t body = 0;  // octets of it
    std::size_t sent = 0;  // of head and body
    bool answering = false;
    bool waiting = false;  // for room to write
};

// Takes the next request out of `in`; false: not whole yet.
bool begin(Connection& c) {
    const auto end = c.in.find("\r\n\r\n");
    if (end == std::string::npos) {
        return false;
    }
    const std::string_view head = std::string_view(c.in).substr(0, end + 2);
    c.body = std::min<std::size_t>(kLargest, std::strtoull(c.in.c_str() + sizeof("GET /") - 1, nullptr, 10));
    c.head =
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Type: "
        "text/plain\r\nX-Nonce: ";
    c.head.append(value_of(head, "X-Nonce: "));
    c.head += "\r\nContent-Length: " + std::to_string(c.body) + "\r\nConnection: keep-alive\r\n\r\n";
    c.in.erase(0, end + 4);
    c.sent = 0;
    c.answering = true;
    return true;
}

// Sends what is left of the answer; false: the connection is gone.
bool push(Connection& c, int epoll) {
    while (c.answering) {
        iovec parts[2];
        int count = 0;
        if (c.sent < c.head.size()) {
            parts[count++] = {c.head.data() + c.sent, c.head.size() - c.sent};
        }
        const std::size_t of_body = c.sent > c.head.size() ? c.sent - c.head.size() : 0;
        if (of_body < c.body) {
            parts[count++] = {const_cast<char*>(bodies().data()) + of_body, c.body - of_body};
        }
        msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = static_cast<std::size_t>(count);
        const ssize_t n = sendmsg(c.fd, &message, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN) {
                return false;
            }
            if (!c.waiting) {
                watch(epoll, c.fd, EPOLLIN | EPOLLOUT, &c, EPOLL_CTL_MOD);
                c.waiting = true;
            }
            return true;
        }
        c.sent += static_cast<std::size_t>(n);
        c.answering = c.sent < c.head.size() + c.body;
    }
    if (c.waiting) {
        watch(epoll, c.fd, EPOLLIN, &c, EPOLL_CTL_MOD);
        c.waiting = false;
    }
    return true;
}

bool ready(Connection& c, int epoll, std::uint32_t events) {
    if (events & EPOLLIN) {
        char buffer[16384];
        const ssize_t n = recv(c.fd, buffer, sizeof(buffer), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return false;
        }
        if (n > 0) {
            c.in.append(buffer, static_cast<std::size_t>(n));
        }
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        return false;
    }
    do {
        if (!push(c, epoll)) {
            return false;
        }
    } while (!c.answering && begin(c));
    return true;
}

void serve(int listener) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener, EPOLLIN, nullptr, EPOLL_CTL_ADD);
    epoll_event events[256];
    while (true) {
        const int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; ++i) {
            auto* connection = static_cast<Connection*>(events[i].data.ptr);
            if (!connection) {
                const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd >= 0) {
                    no_delay(fd);
                    watch(epoll, fd, EPOLLIN, new Connection{.fd = fd}, EPOLL_CTL_ADD);
                }
            } else if (!ready(*connection, epoll, events[i].events)) {
                close(connection->fd);
                delete connection;
            }
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: http_answer PORT THREADS\n", stderr);
        return 2;
    }
    static_cast<void>(bodies());
    const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
    std::vector<std::thread> threads;
    for (int i = std::atoi(argv[2]); i > 0; --i) {
        threads.emplace_back(serve, listen_on(port, SOCK_NONBLOCK));
    }
    std::puts("listening");
    std::fflush(stdout);
    for (auto& thread : threads) {
        thread.join();
    }
}
