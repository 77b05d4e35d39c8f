// However a connection ends, its place is free again and it has exactly one outcome.
#include <linux/bpf.h>

#include "tests/bpf/rules.h"
#include "tests/bpf/world.h"

namespace sluice::test {
namespace {

constexpr const char* kVip = "127.10.0.1";
constexpr std::uint16_t kPort = 80;

class Lifecycle : public MeshTest {
  protected:
    void SetUp() override {
        MeshTest::SetUp();
        rules_->service(kVip, kPort, {rules_->cluster({{"127.0.0.1", server_.port}})});
        refused_port_ = unused_port();
        rules_->service("127.10.0.2", kPort, {rules_->cluster({{"127.0.0.1", refused_port_}})});
        rules_->publish();
    }
    static std::uint16_t unused_port() {
        std::uint16_t port = 0;
        listen_on("127.0.0.1", port);
        return port;
    }
    // All outcomes together are as many as picks.
    void expect_one_outcome_each() {
        EXPECT_TRUE(released());
        std::uint64_t outcomes = 0;
        for (const sl_reason reason : {SL_REASON_ESTABLISHED, SL_REASON_REFUSED, SL_REASON_TIMED_OUT,
                                       SL_REASON_UNREACHABLE, SL_REASON_CANCELLED, SL_REASON_LOCAL_ERROR}) {
            outcomes += counted(reason);
            EXPECT_EQ(counted(reason), flow(reason).opened);
            if (reason != SL_REASON_ESTABLISHED) {
                EXPECT_EQ(flow(reason).opened, flow(reason).closed);
            }
        }
        EXPECT_EQ(rules_->picks(), outcomes);
    }

    Server server_{"v1", "127.0.0.1"};
    std::uint16_t refused_port_ = 0;
};

int nonblocking() {
    return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

void disconnect(int fd) {
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    connect(fd, &nobody, sizeof nobody);
}

void close_by_reset(int fd) {
    const linger now{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

TEST_F(Lifecycle, HeldWhileOpenFreeAfterClose) {
    Child child(cgroup_, [](int talk) -> std::string {
        const int fd = dial(kVip, kPort);
        write_all(talk, ask(fd) + "\n");
        read_line(talk);
        close(fd);
        write_all(talk, "closed\n");
        read_line(talk);
        return "end";
    });
    ASSERT_EQ("v1", child.hear());
    EXPECT_EQ(1, rules_->active());
    child.say("close");
    ASSERT_EQ("closed", child.hear());
    EXPECT_TRUE(released()) << "also while the socket is in TIME_WAIT";
    EXPECT_TRUE(closed(1));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, ResetByTheClient) {
    EXPECT_EQ("v1", in_cgroup(cgroup_, [] {
                  const int fd = dial(kVip, kPort);
                  const std::string version = ask(fd);
                  close_by_reset(fd);
                  return version;
              }));
    EXPECT_TRUE(closed(1));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, KilledProcessWithFiftyConnections) {
    Child child(cgroup_, [](int talk) -> std::string {
        for (int i = 0; i < 50; ++i) {
            if (ask(dial(kVip, kPort)) != "v1") {
                return "failed";
            }
        }
        write_all(talk, "open\n");
        pause();
        return "";
    });
    ASSERT_EQ("open", child.hear());
    EXPECT_EQ(50, rules_->active());
    child.kill_hard();
    EXPECT_TRUE(closed(50));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, CgroupRemovedUnderOpenConnections) {
    auto inner = std::make_unique<Cgroup>(cgroup_.path);
    Child child(*inner, [&](int talk) -> std::string {
        std::vector<int> fds;
        for (int i = 0; i < 5; ++i) {
            fds.push_back(dial(kVip, kPort));
            ask(fds.back());
        }
        cgroup_.enter();
        write_all(talk, "moved\n");
        read_line(talk);
        for (const int fd : fds) {
            close(fd);
        }
        return "closed";
    });
    ASSERT_EQ("moved", child.hear());
    ASSERT_EQ(0, rmdir(inner->path.c_str())) << std::strerror(errno);
    EXPECT_EQ(5, rules_->active());
    child.say("close");
    ASSERT_EQ("closed", child.hear());
    EXPECT_TRUE(closed(5));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, HeldUntilTheLastOfForkAndDupCloses) {
    Child child(cgroup_, [](int talk) -> std::string {
        const int fd = dial(kVip, kPort);
        ask(fd);
        const int copy = dup(fd);
        int go[2];
        if (pipe(go) != 0) {
            return "pipe";
        }
        const pid_t inner = fork();
        if (inner == 0) {
            char c = 0;
            close(go[1]);
            _exit(static_cast<int>(read(go[0], &c, 1)));
        }
        close(fd);
        close(copy);
        write_all(talk, "one\n");
        read_line(talk);
        close(go[1]);
        waitpid(inner, nullptr, 0);
        return "none";
    });
    ASSERT_EQ("one", child.hear());
    EXPECT_EQ(1, rules_->active());
    child.say("go");
    ASSERT_EQ("none", child.hear());
    EXPECT_TRUE(closed(1));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, DisconnectAndReconnectOnOneSocket) {
    Child child(cgroup_, [](int talk) -> std::string {
        const int fd = dial(kVip, kPort);
        ask(fd);
        disconnect(fd);
        write_all(talk, "disconnected\n");
        read_line(talk);
        const Address to(kVip, kPort);
        connect(fd, to.raw(), to.size);
        write_all(talk, ask(fd) + "\n");
        read_line(talk);
        return "end";
    });
    ASSERT_EQ("disconnected", child.hear());
    EXPECT_EQ(0, rules_->active());
    child.say("again");
    ASSERT_EQ("v1", child.hear());
    EXPECT_EQ(1, rules_->active());
    child.say("end");
    child.hear();
    EXPECT_TRUE(closed(2));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, RefusedAgainAndAgainOnOneSocket) {
    EXPECT_EQ("refused 5", in_cgroup(cgroup_, [] {
                  const int fd = socket(AF_INET, SOCK_STREAM, 0);
                  const Address to("127.10.0.2", kPort);
                  int refused = 0;
                  for (int i = 0; i < 5; ++i) {
                      refused += connect(fd, to.raw(), to.size) != 0 && errno == ECONNREFUSED ? 1 : 0;
                  }
                  return "refused " + std::to_string(refused);
              }));
    EXPECT_EQ(5u, counted(SL_REASON_REFUSED));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, NonBlockingRefused) {
    EXPECT_EQ("Connection refused", in_cgroup(cgroup_, []() -> std::string {
                  const int fd = nonblocking();
                  const Address to("127.10.0.2", kPort);
                  connect(fd, to.raw(), to.size);
                  pollfd wait{fd, POLLOUT, 0};
                  poll(&wait, 1, 5000);
                  int error = 0;
                  socklen_t size = sizeof error;
                  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
                  return std::strerror(error);
              }));
    EXPECT_EQ(1u, counted(SL_REASON_REFUSED));
    expect_one_outcome_each();
}

// A listener whose queue is full: it lets SYNs go unanswered.
class Silent {
  public:
    Silent() {
        listener_ = listen_on("127.0.0.3", port);
        listen(listener_.get(), 0);
        for (int i = 0; i < 4; ++i) {
            fillers_.emplace_back(nonblocking());
            const Address to("127.0.0.3", port);
            connect(fillers_.back().get(), to.raw(), to.size);
        }
        EXPECT_TRUE(eventually([&] {  // a listener tells the length of its queue as `unacked`
            tcp_info info{};
            socklen_t size = sizeof info;
            return getsockopt(listener_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked > 0;
        }));
    }
    std::uint16_t port = 0;

  private:
    Fd listener_;
    std::vector<Fd> fillers_;
};

TEST_F(Lifecycle, NonBlockingAbandoned) {
    Silent silent;
    rules_->service("127.10.0.3", kPort, {rules_->cluster({{"127.0.0.3", silent.port}})});
    rules_->publish();
    EXPECT_EQ("waiting waiting", in_cgroup(cgroup_, [] {
                  const Address to("127.10.0.3", kPort);
                  std::string seen;
                  const int closed = nonblocking();
                  seen += connect(closed, to.raw(), to.size) != 0 && errno == EINPROGRESS ? "waiting " : "? ";
                  close(closed);
                  const int disconnected = nonblocking();
                  seen += connect(disconnected, to.raw(), to.size) != 0 && errno == EINPROGRESS ? "waiting" : "?";
                  disconnect(disconnected);
                  return seen;
              }));
    EXPECT_EQ(2u, counted(SL_REASON_CANCELLED));
    EXPECT_EQ(0u, rules_->tables().health[2].failures_total) << "not the endpoint's failure";
    expect_one_outcome_each();
}

TEST_F(Lifecycle, ConnectTimeoutOfTheClusterAndTheApplicationsOwnOption) {
    Silent silent;
    rules_->service(
        "127.10.0.3", kPort,
        {rules_->cluster({{"127.0.0.3", silent.port}}, [](sl_cluster_row& row) { row.connect_timeout_ms = 300; })});
    rules_->service("127.10.0.4", kPort, {rules_->cluster({{"127.0.0.1", server_.port}}, [](sl_cluster_row& row) {
                        row.connect_timeout_ms = 300;
                        row.flags = SL_CLUSTER_KEEPALIVE;
                        row.keepalive_time_s = 77;
                        row.keepalive_interval_s = 7;
                        row.keepalive_probes = 3;
                    })});
    rules_->publish();
    const auto started = std::chrono::steady_clock::now();
    EXPECT_EQ("Connection timed out", in_cgroup(cgroup_, [] { return ask_once("127.10.0.3", kPort); }));
    const auto took = std::chrono::steady_clock::now() - started;
    EXPECT_GE(took, 300ms);
    EXPECT_LT(took, 900ms);
    EXPECT_EQ(1u, counted(SL_REASON_TIMED_OUT));
    EXPECT_EQ("v1 5000 1 77 7 3", in_cgroup(cgroup_, [] {
                  const int fd = socket(AF_INET, SOCK_STREAM, 0);
                  const int own = 5000;
                  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &own, sizeof own);
                  const Address to("127.10.0.4", kPort);
                  connect(fd, to.raw(), to.size);
                  std::string seen = ask(fd);
                  const std::pair<int, int> options[] = {{IPPROTO_TCP, TCP_USER_TIMEOUT},
                                                         {SOL_SOCKET, SO_KEEPALIVE},
                                                         {IPPROTO_TCP, TCP_KEEPIDLE},
                                                         {IPPROTO_TCP, TCP_KEEPINTVL},
                                                         {IPPROTO_TCP, TCP_KEEPCNT}};
                  for (const auto& [level, name] : options) {
                      int value = 0;
                      socklen_t size = sizeof value;
                      getsockopt(fd, level, name, &value, &size);
                      seen += " " + std::to_string(value);
                  }
                  return seen;
              }));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, NetworkUnreachableNeverReachesTcp) {
    rules_->service("127.10.0.3", kPort, {rules_->cluster({{"203.0.113.1", 80}})});
    rules_->publish();
    EXPECT_EQ("Network is unreachable Network is unreachable plain", in_cgroup(cgroup_, [] {
                  unshare(CLONE_NEWNET);  // no route but loopback
                  bring_up_loopback();
                  const int fd = socket(AF_INET, SOCK_STREAM, 0);
                  const Address to("127.10.0.3", kPort);
                  std::string seen = connect(fd, to.raw(), to.size) == 0 ? "?" : std::strerror(errno);
                  seen += " ";
                  seen += connect(fd, to.raw(), to.size) == 0 ? "?" : std::strerror(errno);
                  // The same socket to another address: what the mesh knew of it is forgotten.
                  Server plain("plain", "127.0.0.5");
                  const Address elsewhere("127.0.0.5", plain.port);
                  connect(fd, elsewhere.raw(), elsewhere.size);
                  return seen + " " + ask(fd) + (peer_of(fd) == elsewhere.text() ? "" : " as " + peer_of(fd));
              }));
    EXPECT_EQ(2u, counted(SL_REASON_LOCAL_ERROR));
    expect_one_outcome_each();
}

TEST_F(Lifecycle, FastOpenInBothForms) {
    Child child(cgroup_, [&](int) -> std::string {
        unshare(CLONE_NEWNET);
        bring_up_loopback();
        std::ofstream("/proc/sys/net/ipv4/tcp_fastopen") << "1027" << std::flush;  // both sides, also without a cookie
        std::uint16_t port = server_.port;
        const Fd listener = listen_on("127.0.0.1", port);
        const int queue = 16;
        setsockopt(listener.get(), IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue);
        std::string seen;
        const Address to(kVip, kPort);
        for (int i = 0; i < 4; ++i) {
            const Fd fd(socket(AF_INET, SOCK_STREAM, 0));
            const int on = 1;
            if (i % 2 == 0) {
                setsockopt(fd.get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on);
                if (connect(fd.get(), to.raw(), to.size) != 0 || send(fd.get(), "hello", 5, 0) != 5) {
                    return "connect";
                }
            } else if (sendto(fd.get(), "hello", 5, MSG_FASTOPEN, to.raw(), to.size) != 5) {
                return std::string("sendto ") + std::strerror(errno);
            }
            const Fd peer(accept(listener.get(), nullptr, nullptr));
            char buffer[8] = {};
            seen += recv(peer.get(), buffer, 5, MSG_WAITALL) == 5 ? buffer : "?";
            seen += " ";
            send(peer.get(), "bye", 3, 0);
            recv(fd.get(), buffer, 3, MSG_WAITALL);
        }
        // A deferred connect that is never used.
        const Fd fd(socket(AF_INET, SOCK_STREAM, 0));
        const int on = 1;
        setsockopt(fd.get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on);
        connect(fd.get(), to.raw(), to.size);
        return seen;
    });
    EXPECT_EQ("hello hello hello hello ", child.hear());
    child.wait();
    EXPECT_EQ(1u, counted(SL_REASON_CANCELLED));
    EXPECT_TRUE(closed(4));
    EXPECT_EQ(20u, flow(SL_REASON_ESTABLISHED).sent_bytes);
    EXPECT_EQ(12u, flow(SL_REASON_ESTABLISHED).received_bytes);
    expect_one_outcome_each();
}

}  // namespace
}  // namespace sluice::test
