// A stand-in for the agent that gives prepared answers.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "tests/unit/ctl/fixture.h"

namespace sluice::ctl {

// Answers by "METHOD /path" without the query; remembers what it was asked.
class StandIn {
  public:
    explicit StandIn(const std::string& run) : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        (run + "/sluiced.sock").copy(address.sun_path, sizeof address.sun_path - 1);
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(listener_.get(), 16), 0);
        thread_ = std::thread([this] { serve(); });
    }
    ~StandIn() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        thread_.join();
    }

    void answer(const std::string& request, int status, const std::string& body) {
        std::lock_guard lock(mutex_);
        answers_[request] = {status, body};
    }
    std::string last() const {
        std::lock_guard lock(mutex_);
        return last_;
    }

  private:
    void serve() {
        for (;;) {
            const Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!peer) {
                return;
            }
            std::string request;
            char buffer[4096];
            while (!complete(request)) {
                const ssize_t got = ::recv(peer.get(), buffer, sizeof buffer, 0);
                if (got <= 0) {
                    break;
                }
                request.append(buffer, static_cast<std::size_t>(got));
            }
            std::lock_guard lock(mutex_);
            last_ = request;
            const std::string line = request.substr(0, request.find_first_of("?\r", request.find('/')));
            const auto found = answers_.find(line.substr(0, line.find(" HTTP")));
            const auto [status, body] =
                found == answers_.end() ? std::pair<int, std::string>{500, "{}"} : found->second;
            const std::string reply = "HTTP/1.1 " + std::to_string(status) +
                                      " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
            ::send(peer.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
        }
    }
    static bool complete(const std::string& request) {
        const std::size_t end = request.find("\r\n\r\n");
        const std::size_t length = request.find("Content-Length: ");
        return end != std::string::npos &&
               (length == std::string::npos || request.size() >= end + 4 + std::stoul(request.substr(length + 16)));
    }

    Fd listener_;
    std::thread thread_;
    mutable std::mutex mutex_;
    std::map<std::string, std::pair<int, std::string>> answers_;
    std::string last_;
};

class AgentTest : public CtlTest {
  protected:
    void SetUp() override {
        CtlTest::SetUp();
        agent_ = std::make_unique<StandIn>(base_);
    }
    int ask(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"--run", base_});
        return sluice(std::move(arguments));
    }
    std::unique_ptr<StandIn> agent_;
};

}  // namespace sluice::ctl
