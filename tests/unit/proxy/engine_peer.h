// Blocking sockets for tests: clients of the proxy and servers behind it. Everything has a deadline.
#pragma once

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/fd.h"

namespace sluice::proxy::engine {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// A message as read off a connection; a body with its transfer coding removed.
struct Message {
    std::string head;  // with the empty line
    std::string body;
    bool whole = true;  // false: the connection ended before the message

    std::string line() const { return head.substr(0, head.find("\r\n")); }
    int status() const { return head.size() < 12 ? 0 : std::atoi(head.c_str() + 9); }
    // The first value of a field, its name in any case; "-": there is none.
    std::string field(std::string name) const {
        const auto lower = [](std::string text) {
            std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
            return text;
        };
        const std::string all = lower(head);
        const std::size_t at = all.find("\r\n" + lower(std::move(name)) + ":");
        if (at == std::string::npos) {
            return "-";
        }
        const std::size_t begin = head.find_first_not_of(' ', head.find(':', at + 2) + 1);
        return head.substr(begin, head.find("\r\n", begin) - begin);
    }
};

// One end of a connection.
class Peer {
  public:
    explicit Peer(Fd socket) : socket_(std::move(socket)) {
        const int on = 1;
        ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    static Peer dial(std::uint16_t port) {
        Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0) << std::strerror(errno);
        return Peer(std::move(socket));
    }

    Peer& send(std::string_view text) {
        while (!text.empty()) {
            const ssize_t n = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
            if (n <= 0) {
                failed_ = true;
                break;
            }
            text.remove_prefix(static_cast<std::size_t>(n));
        }
        return *this;
    }
    bool failed() const { return failed_; }
    void finish() { ::shutdown(socket_.get(), SHUT_WR); }
    void close() { socket_.reset(); }
    void reset() {
        const linger now{1, 0};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        socket_.reset();
    }
    int fd() const { return socket_.get(); }

    // A message: an answer, or with `head_only` one without a body. nullopt: the connection ended before it.
    std::optional<Message> read(bool head_only = false) {
        Message out;
        std::size_t end;
        while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
            if (!more()) {
                return std::nullopt;
            }
        }
        out.head = take(end + 4);
        const int status = out.status();
        if (head_only || (out.head.starts_with("HTTP/") && (status < 200 || status == 204 || status == 304))) {
            return out;
        }
        if (out.field("transfer-encoding") == "chunked") {
            out.whole = read_chunks(out);
        } else if (const std::string length = out.field("content-length"); length != "-") {
            const std::size_t size = std::stoul(length);
            while (buffer_.size() < size && more()) {
            }
            out.whole = buffer_.size() >= size;
            out.body = take(std::min(size, buffer_.size()));
        } else if (out.head.starts_with("HTTP/")) {
            while (more()) {
            }
            out.body = take(buffer_.size());
            out.whole = !reset_;
        }
        return out;
    }
    // Exactly that many octets, or what came before the end.
    std::string octets(std::size_t count) {
        while (buffer_.size() < count && more()) {
        }
        return take(std::min(count, buffer_.size()));
    }
    // True when the other end closes (or resets) within the deadline; what still comes is thrown away.
    bool ended() {
        while (more()) {
            buffer_.clear();
        }
        return !late_;
    }
    bool was_reset() const { return reset_; }
    // Nothing comes for that long.
    bool silent(std::chrono::milliseconds time) {
        pollfd one{socket_.get(), POLLIN, 0};
        return buffer_.empty() && ::poll(&one, 1, static_cast<int>(time.count())) == 0;
    }

  private:
    std::string take(std::size_t count) {
        std::string out = buffer_.substr(0, count);
        buffer_.erase(0, count);
        return out;
    }
    // False at the end, or after ten seconds.
    bool more() {
        pollfd one{socket_.get(), POLLIN, 0};
        if (::poll(&one, 1, 10'000) <= 0) {
            late_ = true;
            return false;
        }
        char octets[65536];
        const ssize_t n = ::recv(socket_.get(), octets, sizeof(octets), 0);
        if (n <= 0) {
            reset_ = n < 0;
            return false;
        }
        buffer_.append(octets, static_cast<std::size_t>(n));
        return true;
    }
    bool read_chunks(Message& out) {
        for (;;) {
            std::size_t end;
            while ((end = buffer_.find("\r\n")) == std::string::npos) {
                if (!more()) {
                    return false;
                }
            }
            const std::size_t size = std::stoul(take(end + 2), nullptr, 16);
            if (size == 0) {
                break;
            }
            while (buffer_.size() < size + 2) {
                if (!more()) {
                    out.body += take(std::min(size, buffer_.size()));
                    return false;
                }
            }
            out.body += take(size);
            take(2);
        }
        // Trailers go behind the head.
        for (;;) {
            std::size_t end;
            while ((end = buffer_.find("\r\n")) == std::string::npos) {
                if (!more()) {
                    return false;
                }
            }
            const std::string line = take(end + 2);
            if (line == "\r\n") {
                return true;
            }
            out.head += line;
        }
    }

    Fd socket_;
    std::string buffer_;
    bool failed_ = false, reset_ = false, late_ = false;
};

inline std::string ok(const std::string& body, const std::string& fields = "") {
    return "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body;
}
inline std::string status(int code, const std::string& fields = "") {
    return "HTTP/1.1 " + std::to_string(code) + " Made\r\ncontent-length: 4\r\n" + fields + "\r\nmade";
}

// A server on a port of its own, one thread a connection.
class Origin {
  public:
    using Handler = std::function<void(Peer&)>;  // a connection, from its accept to its end

    explicit Origin(Handler handler) : handler_(std::move(handler)) {
        listening_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof(at);
        EXPECT_EQ(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
        EXPECT_EQ(::listen(listening_.get(), 64), 0);
        ::getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&at), &length);
        port_ = ntohs(at.sin_port);
        thread_ = std::thread([this] { accept(); });
    }
    // Answers each request with what `answer` makes of it; the connection ends with an empty answer.
    explicit Origin(std::function<std::string(const Message&)> answer)
        : Origin([this, answer = std::move(answer)](Peer& peer) {
              while (auto request = peer.read()) {
                  ++requests_;
                  const std::string text = answer(*request);
                  if (text.empty()) {
                      return;
                  }
                  peer.send(text);
              }
          }) {}
    explicit Origin(const char* body) : Origin([text = ok(body)](const Message&) { return text; }) {}
    ~Origin() {
        stopping_ = true;
        ::shutdown(listening_.get(), SHUT_RDWR);
        thread_.join();
        {
            const std::lock_guard lock(mutex_);
            for (const int fd : open_) {
                ::shutdown(fd, SHUT_RDWR);
            }
        }
        for (std::thread& each : threads_) {
            each.join();
        }
    }

    std::uint16_t port() const { return port_; }
    int connections() const { return connections_; }
    int requests() const { return requests_; }

  private:
    void accept() {
        for (;;) {
            Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!socket || stopping_) {
                return;
            }
            ++connections_;
            const std::lock_guard lock(mutex_);
            open_.push_back(socket.get());
            threads_.emplace_back([this, raw = socket.release()] {
                Peer peer{Fd(raw)};
                handler_(peer);
                const std::lock_guard inner(mutex_);
                open_.remove(raw);
                peer.close();
            });
        }
    }

    Handler handler_;
    Fd listening_;
    std::uint16_t port_ = 0;
    std::atomic<bool> stopping_{false};
    std::atomic<int> connections_{0}, requests_{0};
    std::mutex mutex_;
    std::list<int> open_;
    std::list<std::thread> threads_;
    std::thread thread_;
};

// Waits until `holds` does.
template <typename Holds>
bool soon(Holds holds, std::chrono::milliseconds most = 10s) {
    const auto deadline = Clock::now() + most;
    while (!holds()) {
        if (Clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

}  // namespace sluice::proxy::engine
