// Connections for the proxy lane: handed to the agent where it listens, else placed or refused as their route says.
#include "tests/bpf/rules.h"
#include "tests/bpf/world.h"

namespace sluice::test {
namespace {

constexpr const char* kRefused = "Connection refused";

std::uint64_t netns_cookie_of(int socket) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
    return cookie;
}

// An agent that says of each connection what the kernel recorded: "proxy SERVICE DIALLED WORKLOAD", or "unknown".
class Door {
  public:
    // In the calling thread's network namespace.
    explicit Door(const bpf::Kernel& kernel, const std::string& v4 = "127.0.0.1", const std::string& v6 = "::1",
                  bool marked = true)
        : kernel_(kernel) {
        for (const std::string& ip : {v4, v6}) {
            if (!ip.empty()) {
                std::uint16_t port = 0;
                listeners_.push_back(listen_on(ip, port));
                (ip == v6 ? door.port_v6 : door.port_v4) = htons(port);
            }
        }
        for (const Fd& listener : listeners_) {
            EXPECT_TRUE(!marked || kernel.mark_agent_socket(listener.get()));
        }
        door.beacon_v4 = door.port_v4;
        door.beacon_v6 = door.port_v6;
        cookie = netns_cookie_of(listeners_.front().get());
        EXPECT_TRUE(kernel.open_door(cookie, door));
    }

    // Takes one connection and returns what it is told of it.
    std::string accept_one() {
        std::vector<pollfd> wait;
        for (const Fd& listener : listeners_) {
            wait.push_back({listener.get(), POLLIN, 0});
        }
        if (poll(wait.data(), wait.size(), 5000) <= 0) {
            return "nobody";
        }
        const int listener = wait.front().revents != 0 ? wait.front().fd : wait.back().fd;
        Address peer;
        peer.size = sizeof peer.storage;
        const Fd fd(accept(listener, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size));
        const std::string text = told(fd.get(), peer);
        write_all(fd.get(), text + "\n");
        return text;
    }
    sl_capture_key key_of(const Address& peer) const {
        sl_capture_key key{};
        key.netns_cookie = cookie;
        key.port = htons(peer.port());
        const IpAddress address = IpAddress::parse(peer.text().substr(0, peer.text().find(' '))).value();
        std::memcpy(key.address, address.bytes.data(), 16);
        return key;
    }
    void stop_listening() { listeners_.clear(); }

    std::uint64_t cookie = 0;
    sl_door door{};

  private:
    std::string told(int, const Address& peer) const {
        const auto capture = kernel_.take_capture(key_of(peer));
        if (!capture) {
            return "unknown";
        }
        IpAddress dialled;
        std::copy(std::begin(capture->dialled_address), std::end(capture->dialled_address), dialled.bytes.begin());
        return "proxy " + std::to_string(capture->service) + " " +
               endpoint_text(dialled, ntohs(capture->dialled_port)) + " " + std::to_string(capture->workload) +
               (capture->client != 0 ? " known" : " stranger");
    }

    const bpf::Kernel& kernel_;
    std::vector<Fd> listeners_;
};

class Capture : public MeshTest {
  protected:
    // A service of the proxy lane whose fallback is `clusters`.
    std::uint32_t proxied(const std::string& ip, const std::vector<std::uint32_t>& clusters, std::uint32_t flags = 0) {
        const std::uint32_t service = rules_->service(ip, 8080, clusters);
        rules_->tables().routes[rules_->tables().services[service].slot[0].row].flags = SL_ROUTE_PROXY | flags;
        return service;
    }
    // What a client in the cgroup reads after it dialled, with the name of its peer; or why it could not.
    static std::string hear(const std::string& ip, int family = 0, bool v6only = false) {
        const Address address(ip, 8080);
        const Fd fd(socket(family != 0 ? family : address.family(), SOCK_STREAM, 0));
        const int on = v6only ? 1 : 0;
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        if (connect(fd.get(), address.raw(), address.size) != 0) {
            return std::strerror(errno);
        }
        return read_line(fd.get()) + ", peer " + peer_of(fd.get());
    }
    std::uint64_t captures() const {
        const auto maps = kernel_->maps();
        for (const bpf::MapInfo& map : *maps) {
            if (map.name == "captures") {
                return map.used;
            }
        }
        return 1000;
    }
    std::vector<sl_event> events() {
        std::vector<sl_event> seen;
        EXPECT_TRUE(kernel_->poll_events([&](const sl_event& event) { seen.push_back(event); }));
        return seen;
    }
};

TEST_F(Capture, ConnectionReachesTheAgentWhichLearnsWhatWasDialledAndByWhom) {
    Server server("v1", "127.0.0.1");
    const std::uint32_t service = proxied("127.10.0.1", {rules_->cluster({{"127.0.0.1", server.port}})});
    ASSERT_TRUE(kernel_->clients().replace({{cgroup_.id(), sl_client{.workload = 7, .scope = 0}}}));
    rules_->publish();
    Door agent(*kernel_);
    Child client(cgroup_, [](int) { return hear("127.10.0.1"); });
    EXPECT_EQ("proxy " + std::to_string(service) + " 127.10.0.1:8080 7 known", agent.accept_one());
    EXPECT_EQ("proxy " + std::to_string(service) + " 127.10.0.1:8080 7 known, peer 127.10.0.1 8080", client.hear());
    EXPECT_EQ(1u, counted(SL_REASON_CAPTURED));
    EXPECT_EQ(0u, rules_->picks()) << "the agent chooses";
    EXPECT_EQ(0, rules_->active());
    EXPECT_EQ(0u, flow(SL_REASON_ESTABLISHED).opened) << "the agent's own connection counts";
    EXPECT_EQ(0u, captures()) << "taken";
}

struct Dialling {
    const char* name;
    const char* dialled;
    int family;
    bool v6only;
    const char* heard;  // after "proxy 0 "
};
class CaptureFamilies : public Capture, public testing::WithParamInterface<Dialling> {};

TEST_P(CaptureFamilies, AreCapturedAndSeeWhatTheyDialled) {
    const Dialling& c = GetParam();
    proxied(c.dialled, {rules_->cluster({{"127.0.0.1", 1}})});
    rules_->publish();
    Door agent(*kernel_);
    Child client(cgroup_, [&](int) { return hear(c.dialled, c.family, c.v6only); });
    EXPECT_EQ(std::string("proxy 0 ") + c.heard + " 0 stranger", agent.accept_one());
    EXPECT_EQ(std::string("proxy 0 ") + c.heard + " 0 stranger, peer " + c.dialled + " 8080", client.hear());
}

INSTANTIATE_TEST_SUITE_P(All, CaptureFamilies,
                         testing::Values(Dialling{"V4", "127.10.0.4", AF_INET, false, "127.10.0.4:8080"},
                                         Dialling{"V6", "fd00::6", AF_INET6, false, "[fd00::6]:8080"},
                                         Dialling{"V6Only", "fd00::6", AF_INET6, true, "[fd00::6]:8080"},
                                         Dialling{"Mapped", "::ffff:127.10.0.4", AF_INET6, false, "127.10.0.4:8080"}),
                         [](const auto& tried) { return tried.param.name; });

TEST_F(Capture, WithoutListenerTheWeightsPlaceItAndTheAgentIsTold) {
    Server server("v1", "127.0.0.1");
    proxied("127.10.0.1", {rules_->cluster({{"127.0.0.1", server.port}})});
    rules_->publish();
    const auto run = [] { return ask_once("127.10.0.1", 8080); };
    EXPECT_EQ("v1", in_cgroup(cgroup_, run));
    EXPECT_EQ("v1", in_cgroup(cgroup_, run));
    EXPECT_EQ(2u, counted(SL_REASON_CAPTURE_FALLBACK));
    EXPECT_EQ(2u, rules_->picks());
    EXPECT_TRUE(released());
    const std::vector<sl_event> seen = events();
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(static_cast<__u32>(SL_EVENT_NO_LISTENER), seen[0].kind);
    const Fd here(socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(netns_cookie_of(here.get()), seen[0].netns_cookie);
}

TEST_F(Capture, TheEventNamesTheProcess) {
    proxied("127.10.0.1", {rules_->cluster({{"127.0.0.1", 1}})});
    rules_->publish();
    Child client(cgroup_, [](int) { return ask_once("127.10.0.1", 8080); });
    client.hear();
    const std::vector<sl_event> seen = events();
    ASSERT_EQ(1u, seen.size());
    EXPECT_EQ(static_cast<__u32>(client.pid()), seen[0].process);
}

TEST_F(Capture, ThatMayNotGoAloneIsRefused) {
    Server server("v1", "127.0.0.1");
    proxied("127.10.0.1", {SL_NONE}, SL_ROUTE_NO_FALLBACK);
    rules_->publish();
    const auto run = [] { return hear("127.10.0.1"); };
    EXPECT_EQ(kRefused, in_cgroup(cgroup_, run));
    EXPECT_EQ(1u, counted(SL_REASON_CAPTURE_REFUSED));
    EXPECT_EQ(0u, counted(SL_REASON_NO_CLUSTER));
    EXPECT_EQ(1u, flow(SL_REASON_CAPTURE_REFUSED).opened);
    Door agent(*kernel_);
    Child client(cgroup_, [&](int) { return run(); });
    EXPECT_EQ("proxy 0 127.10.0.1:8080 0 stranger", agent.accept_one());
}

TEST_F(Capture, EndsWithTheListenerAndBeginsWithTheNext) {
    Server server("v1", "127.0.0.1");
    proxied("127.10.0.1", {rules_->cluster({{"127.0.0.1", server.port}})});
    rules_->publish();
    const auto run = [] { return ask_once("127.10.0.1", 8080); };
    {
        Door agent(*kernel_);
        Child client(cgroup_, [](int) { return hear("127.10.0.1"); });
        EXPECT_EQ("proxy 0 127.10.0.1:8080 0 stranger", agent.accept_one());
        client.wait();  // it was forked with the listeners
        agent.stop_listening();
        EXPECT_EQ("v1", in_cgroup(cgroup_, run)) << "its row in the table is still there";
    }
    Door next(*kernel_);
    Child client(cgroup_, [](int) { return hear("127.10.0.1"); });
    EXPECT_EQ("proxy 0 127.10.0.1:8080 0 stranger", next.accept_one());
}

TEST_F(Capture, EndsWithTheBeaconAlsoWhenSomethingStillListens) {
    Server server("v1", "127.0.0.1");
    proxied("127.10.0.1", {rules_->cluster({{"127.0.0.1", server.port}})});
    rules_->publish();
    Door agent(*kernel_);
    std::uint16_t port = 0;
    Fd beacon = listen_on("127.0.0.1", port);
    ASSERT_TRUE(kernel_->mark_agent_socket(beacon.get()));
    ASSERT_TRUE(kernel_->open_door(agent.cookie, {agent.door.port_v4, 0, htons(port), 0}));
    Child client(cgroup_, [](int) { return hear("127.10.0.1"); });
    EXPECT_EQ("proxy 0 127.10.0.1:8080 0 stranger", agent.accept_one());
    client.wait();  // it was forked with the beacon
    beacon.reset();
    EXPECT_EQ("v1", in_cgroup(cgroup_, [] { return ask_once("127.10.0.1", 8080); }));
}

TEST_F(Capture, AStrangersSocketOnThatPortGetsNothing) {
    Server server("v1", "127.0.0.1");
    proxied("127.10.0.1", {rules_->cluster({{"127.0.0.1", server.port}})});
    rules_->publish();
    Door stranger(*kernel_, "127.0.0.1", "::1", false);
    EXPECT_EQ("v1", in_cgroup(cgroup_, [] { return ask_once("127.10.0.1", 8080); }));
    EXPECT_EQ(1u, counted(SL_REASON_CAPTURE_FALLBACK));
}

TEST_F(Capture, EachNamespaceHasItsOwnDoor) {
    Server server("v1", "127.0.0.1");
    proxied("127.10.0.1", {SL_NONE}, SL_ROUTE_NO_FALLBACK);
    rules_->publish();
    std::optional<Door> inside;
    Fd other;
    std::thread([&] {
        ASSERT_EQ(0, unshare(CLONE_NEWNET));
        ASSERT_TRUE(bring_up_loopback());
        other = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
        inside.emplace(*kernel_);
    }).join();
    ASSERT_TRUE(inside);
    const auto run = [] { return hear("127.10.0.1"); };
    EXPECT_EQ(kRefused, in_cgroup(cgroup_, run)) << "nobody listens here";
    Child client(
        cgroup_, [&](int) { return run(); }, other.get());
    EXPECT_EQ("proxy 0 127.10.0.1:8080 0 stranger", inside->accept_one());
    EXPECT_EQ("proxy 0 127.10.0.1:8080 0 stranger, peer 127.10.0.1 8080", client.hear());
}

TEST_F(Capture, TheAgentsOwnSocketsAreLeftAlone) {
    Server server("v1", "127.0.0.1");
    Server there("there", "127.10.0.1");
    const std::uint32_t service =
        rules_->service("127.10.0.1", there.port, {rules_->cluster({{"127.0.0.1", server.port}})});
    rules_->tables().routes[service].flags = SL_ROUTE_PROXY;
    rules_->publish();
    EXPECT_EQ("v1 there", in_cgroup(cgroup_, [&] {
                  const Address to("127.10.0.1", there.port);
                  const Fd own(socket(AF_INET, SOCK_STREAM, 0));
                  if (!kernel_->mark_agent_socket(own.get()) || connect(own.get(), to.raw(), to.size) != 0) {
                      return std::string(std::strerror(errno));
                  }
                  return ask_once("127.10.0.1", there.port) + " " + ask(own.get());
              }));
}

TEST_F(Capture, WhatTheAgentMissedIsForgotten) {
    proxied("127.10.0.1", {SL_NONE}, SL_ROUTE_NO_FALLBACK);
    rules_->publish();
    Door agent(*kernel_);
    Child client(cgroup_, [](int) {
        const Fd fd(dial("127.10.0.1", 8080));
        return std::string(fd ? "connected" : "refused");
    });
    EXPECT_EQ("connected", client.hear());
    client.wait();
    EXPECT_EQ(1u, captures()) << "the agent may still accept it: its octets are there";
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const auto now_ns =
        static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
    EXPECT_TRUE(kernel_->forget_captures(now_ns - 60'000'000'000));
    EXPECT_EQ(1u, captures());
    EXPECT_TRUE(kernel_->forget_captures(now_ns));
    EXPECT_EQ(0u, captures());
    EXPECT_EQ("unknown", agent.accept_one());
}

TEST_F(Capture, AConnectThatFailsLeavesNothingBehind) {
    proxied("127.10.0.1", {SL_NONE}, SL_ROUTE_NO_FALLBACK);
    rules_->publish();
    std::uint16_t port = 0;
    const Fd full = listen_on("127.0.0.1", port);
    ASSERT_EQ(0, listen(full.get(), 0)) << "one more is taken, then SYNs are dropped";
    ASSERT_TRUE(kernel_->mark_agent_socket(full.get()));
    ASSERT_TRUE(kernel_->open_door(netns_cookie_of(full.get()), {htons(port), 0, htons(port), 0}));
    EXPECT_EQ("1 2 1", in_cgroup(cgroup_, [&] {
                  const Fd first(dial("127.10.0.1", 8080));
                  std::string seen = std::to_string(captures());
                  const Address to("127.10.0.1", 8080);
                  Fd second(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
                  connect(second.get(), to.raw(), to.size);
                  seen += " " + std::to_string(captures());
                  second.reset();
                  return seen + " " + std::to_string(captures());
              }));
}

class CaptureFull : public Capture {
  protected:
    void SetUp() override {
        options_.capacities.captures = 1;
        start();
    }
};

TEST_F(CaptureFull, IsCountedAndTheConnectionIsUnknown) {
    proxied("127.10.0.1", {SL_NONE}, SL_ROUTE_NO_FALLBACK);
    rules_->publish();
    Door agent(*kernel_);
    Child client(cgroup_, [](int) {
        const Fd first(dial("127.10.0.1", 8080));
        const Fd second(dial("127.10.0.1", 8080));
        return read_line(first.get()) + ", " + read_line(second.get());
    });
    ASSERT_TRUE(eventually([&] { return counted(SL_REASON_CAPTURED) == 2; }));
    EXPECT_EQ("proxy 0 127.10.0.1:8080 0 stranger", agent.accept_one());
    EXPECT_EQ("unknown", agent.accept_one());
    EXPECT_EQ("proxy 0 127.10.0.1:8080 0 stranger, unknown", client.hear());
    EXPECT_EQ(1u, counted(SL_REASON_CAPTURES_FULL));
}

}  // namespace
}  // namespace sluice::test
