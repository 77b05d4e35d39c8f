// A server on 127.0.0.1 that answers each connection once, with octets that the test made.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace sluice::rollout {

class HttpStub {
  public:
    // `answer` is given the whole request; what it returns is sent and the connection closed. Empty: nothing is ever
    // said.
    explicit HttpStub(std::function<std::string(const std::string&)> answer) : answer_(std::move(answer)) {
        listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(listener_.get(), 16), 0);
        EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~HttpStub() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        thread_.join();
    }

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
    std::vector<std::string> requests() const {
        std::lock_guard lock(mutex_);
        return requests_;
    }
    static std::string reply(int status, const std::string& body, const std::string& fields = "") {
        return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + fields +
               "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
    }

  private:
    void serve() {
        std::vector<Fd> silent;  // kept open
        for (;;) {
            Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!peer) {
                return;
            }
            std::string request;
            char buffer[65536];
            while (!whole(request)) {
                const ssize_t got = ::recv(peer.get(), buffer, sizeof buffer, 0);
                if (got <= 0) {
                    break;
                }
                request.append(buffer, static_cast<std::size_t>(got));
            }
            {
                std::lock_guard lock(mutex_);
                requests_.push_back(request);
            }
            const std::string said = answer_(request);
            for (std::size_t at = 0; at < said.size();) {
                const ssize_t sent = ::send(peer.get(), said.data() + at, said.size() - at, MSG_NOSIGNAL);
                if (sent <= 0) {
                    break;
                }
                at += static_cast<std::size_t>(sent);
            }
            if (said.empty()) {
                silent.push_back(std::move(peer));
            }
        }
    }
    static bool whole(const std::string& request) {
        const std::size_t end = request.find("\r\n\r\n");
        const std::size_t length = request.find("Content-Length: ");
        return end != std::string::npos &&
               (length == std::string::npos || request.size() >= end + 4 + std::stoul(request.substr(length + 16)));
    }

    std::function<std::string(const std::string&)> answer_;
    Fd listener_;
    std::uint16_t port_ = 0;
    mutable std::mutex mutex_;
    std::vector<std::string> requests_;
    std::thread thread_;
};

}  // namespace sluice::rollout
