#include "admin/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include "admin/listen.h"
#include "base/fd.h"

namespace sluice::admin {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class EchoBackend : public Backend {
  public:
    Json status() override {
        ++calls;
        return {{"ok", true}};
    }
    std::string list(List, const ListFilter& filter) override { return std::string(2'000'000, 'x') + filter.host; }
    Json maps() override { return Json::array(); }
    Result<Json> map(const std::string& name) override { return fail(name); }
    Result<Json> explain(const ExplainQuery&) override { return Json::object(); }
    Result<std::string> history(const HistoryQuery&) override { return "[]"; }
    Result<std::string> connections(const ConnectionsQuery&) override { return "{}"; }
    Result<Json> tail(const TailQuery&) override { return Json::object(); }
    Result<std::string> top(const TopQuery&) override { return "{}"; }
    Answer apply(const ApplyRequest& request) override {
        if (hold) {
            held.set_value();
            released.get_future().wait();
        }
        return json_answer({{"bytes", request.documents.size()}, {"uid", request.peer.uid}, {"pid", request.peer.pid}});
    }
    std::string metrics() override { return "m 1\n"; }
    std::string unhealthy() override { return {}; }
    std::string unready() override { return {}; }

    std::atomic<int> calls{0};
    bool hold = false;
    std::promise<void> held, released;
};

class ServerTest : public testing::Test {
  protected:
    ServerTest() {
        std::string name = testing::TempDir() + "sluice-admin-XXXXXX";
        directory = ::mkdtemp(name.data());
        options.socket = directory + "/sluiced.sock";
        options.http = "127.0.0.1:0";
        options.body_bytes = 1000;
    }
    ~ServerTest() override { std::filesystem::remove_all(directory); }

    Fd dial_unix() const {
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        options.socket.copy(name.sun_path, sizeof(name.sun_path) - 1);
        return dial(AF_UNIX, reinterpret_cast<sockaddr*>(&name), sizeof(name));
    }
    static Fd dial_tcp(std::uint16_t port) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_port = htons(port);
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return dial(AF_INET, reinterpret_cast<sockaddr*>(&name), sizeof(name));
    }
    static Fd dial(int family, sockaddr* name, socklen_t length) {
        Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(::connect(fd.get(), name, length), 0) << std::strerror(errno);
        return fd;
    }
    // Sends one request and reads the reply to its end.
    static std::string ask(const Fd& fd, const std::string& head, const std::string& body = "") {
        std::string request = head + "\r\nHost: localhost\r\nConnection: close\r\n";
        if (!body.empty()) {
            request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        }
        request += "\r\n" + body;
        EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
        std::string reply;
        char buffer[65536];
        for (ssize_t n; (n = ::recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;) {
            reply.append(buffer, static_cast<std::size_t>(n));
        }
        return reply;
    }

    std::string directory;
    ServerOptions options;
    EchoBackend backend;
};

TEST_F(ServerTest, BothDoorsAnswer) {
    auto server = Server::start(options, backend);
    ASSERT_TRUE(server) << server.error().text();
    EXPECT_THAT(ask(dial_unix(), "GET /v1/status HTTP/1.1"), HasSubstr("\r\n\r\n{\"ok\":true}\n"));
    std::string tcp = ask(dial_tcp(server->http_port()), "GET /v1/status HTTP/1.1");
    EXPECT_THAT(tcp, StartsWith("HTTP/1.1 200 OK"));
    EXPECT_THAT(tcp, HasSubstr("Content-Type: application/json"));
    EXPECT_EQ(backend.calls, 2);
}

TEST_F(ServerTest, WritesComeOnlyThroughTheSocketWithTheirPeer) {
    auto server = Server::start(options, backend);
    ASSERT_TRUE(server) << server.error().text();
    std::string reply = ask(dial_unix(), "POST /v1/apply HTTP/1.1", "kind: Service");
    EXPECT_THAT(reply, HasSubstr("{\"bytes\":13,\"uid\":" + std::to_string(::getuid()) +
                                 ",\"pid\":" + std::to_string(::getpid()) + "}"));
    EXPECT_THAT(ask(dial_tcp(server->http_port()), "POST /v1/apply HTTP/1.1", "kind: Service"),
                StartsWith("HTTP/1.1 405"));
}

TEST_F(ServerTest, BodiesAreBounded) {
    auto server = Server::start(options, backend);
    ASSERT_TRUE(server) << server.error().text();
    EXPECT_THAT(ask(dial_unix(), "POST /v1/apply HTTP/1.1", std::string(1000, 'a')), HasSubstr("{\"bytes\":1000"));
    EXPECT_THAT(ask(dial_unix(), "POST /v1/apply HTTP/1.1", std::string(1001, 'a')), StartsWith("HTTP/1.1 413"));
}

TEST_F(ServerTest, LargeRepliesAndHeadArriveWhole) {
    auto server = Server::start(options, backend);
    ASSERT_TRUE(server) << server.error().text();
    std::string reply = ask(dial_tcp(server->http_port()), "GET /v1/endpoints?host=a%20b HTTP/1.1");
    EXPECT_GT(reply.size(), 2'000'000u);
    EXPECT_TRUE(reply.ends_with("xa b"));
    std::string head = ask(dial_tcp(server->http_port()), "HEAD /v1/endpoints HTTP/1.1");
    EXPECT_THAT(head, HasSubstr("Content-Length: 2000000\r\n"));
    EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

TEST_F(ServerTest, ASlowApplyDoesNotHoldUpReaders) {
    backend.hold = true;
    auto server = Server::start(options, backend);
    ASSERT_TRUE(server) << server.error().text();
    auto slow = std::async(std::launch::async, [&] { return ask(dial_unix(), "POST /v1/apply HTTP/1.1", "a"); });
    backend.held.get_future().wait();
    EXPECT_THAT(ask(dial_tcp(server->http_port()), "GET /healthz HTTP/1.1"), HasSubstr("ok\n"));
    backend.released.set_value();
    EXPECT_THAT(slow.get(), HasSubstr("{\"bytes\":1"));
}

TEST_F(ServerTest, AStaleSocketIsReplacedAndOursRemoved) {
    { ASSERT_TRUE(listen_unix(options.socket)); }  // as an agent that was killed leaves it
    ASSERT_TRUE(std::filesystem::exists(options.socket));
    {
        auto server = Server::start(options, backend);
        ASSERT_TRUE(server) << server.error().text();
        struct stat info {};
        ASSERT_EQ(::stat(options.socket.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777, 0660u);
        EXPECT_THAT(ask(dial_unix(), "GET /healthz HTTP/1.1"), HasSubstr("ok\n"));
    }
    EXPECT_TRUE(std::filesystem::is_empty(directory));
}

TEST_F(ServerTest, AddressesThatCannotWorkAreNamed) {
    for (const char* bad : {"15000", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "evil.example:1", "::1:15000"}) {
        options.http = bad;
        auto server = Server::start(options, backend);
        ASSERT_FALSE(server) << bad;
        EXPECT_THAT(server.error().text(), HasSubstr("--http")) << bad;
    }
    options.http.clear();
    options.socket = directory + "/" + std::string(120, 'd');
    auto server = Server::start(options, backend);
    ASSERT_FALSE(server);
    EXPECT_THAT(server.error().text(), HasSubstr("choose a shorter --run directory"));
}

TEST_F(ServerTest, ATakenPortIsAnError) {
    auto first = Server::start(options, backend);
    ASSERT_TRUE(first) << first.error().text();
    options.socket.clear();
    options.http = "127.0.0.1:" + std::to_string(first->http_port());
    auto second = Server::start(options, backend);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().text(), HasSubstr("Address already in use"));
}

TEST_F(ServerTest, Ipv6IsServed) {
    options.http = "[::1]:0";
    auto server = Server::start(options, backend);
    ASSERT_TRUE(server) << server.error().text();
    EXPECT_NE(server->http_port(), 0);
}

}  // namespace
}  // namespace sluice::admin
