// Connections are ended between a whole answer and the next request, and never a request with them.
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "tests/bpf/http.h"

namespace sluice::test {
namespace {

class Gate : public HttpTest {
  protected:
    void close_gates(sl_drain_mode mode) {
        std::vector<std::pair<std::uint64_t, sl_drain_mode>> all;
        for (const sl_connection& c : connections()) {
            all.emplace_back(c.cookie, mode);
        }
        const auto done = kernel_->close_gates(all);
        ASSERT_TRUE(done) << done.error().text();
    }
    std::uint32_t gate() const {
        const auto open = connections();
        EXPECT_EQ(1u, open.size());
        return open.empty() ? ~0u : open[0].gate;
    }
    void beat() const {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        sl_store(&rules_->tables().control->heartbeat_ns,
                 static_cast<__u64>(now.tv_sec) * 1'000'000'000 + static_cast<__u64>(now.tv_nsec));
    }
};

// A client that does one step a line: "ask", "answer" (the server's), "both".
std::string steps(const Pair& p, int talk) {
    for (;;) {
        const std::string step = read_line(talk, 60s);
        bool ok = false;
        if (step == "ask") {
            ok = p.ask(get());
        } else if (step == "answer") {
            ok = p.answer(answer_of(200, 5));
        } else if (step == "send") {
            ok = write_all(p.client.get(), get());
        } else {
            return "end";
        }
        write_all(talk, ok ? "ok\n" : "failed\n");
    }
}

TEST_F(Gate, OfAnIdleConnectionClosesAtOnceAndHoldsTheNextRequestBack) {
    serve();
    Child child(cgroup_, [&](int talk) { return steps(connect(), talk); });
    for (const char* step : {"ask", "answer"}) {
        child.say(step);
        ASSERT_EQ("ok", child.hear());
    }
    EXPECT_EQ(0u, gate());
    close_gates(SL_DRAIN_IDLE);
    EXPECT_EQ(SL_GATE_CLOSED, gate());
    child.say("send");
    ASSERT_EQ("ok", child.hear());
    EXPECT_TRUE(eventually([&] { return counted(SL_REASON_GATED) > 0; }));
    EXPECT_EQ("200x1", counts());
    // Nobody ends the connection: the request goes on after a while.
    EXPECT_TRUE(eventually([&] { return gate() == SL_GATE_BUSY; }));
    child.say("answer");
    EXPECT_EQ("ok", child.hear());
    EXPECT_EQ("200x2", counts());
    EXPECT_EQ(0u, gate());
}

TEST_F(Gate, OfABusyConnectionClosesWhenTheAnswerIsWhole) {
    const std::uint32_t cluster = serve();
    beat();
    Child child(cgroup_, [&](int talk) { return steps(connect(), talk); });
    child.say("ask");
    ASSERT_EQ("ok", child.hear());
    close_gates(SL_DRAIN_IDLE);
    EXPECT_EQ(SL_GATE_BUSY | SL_GATE_WANTED, gate());
    EXPECT_TRUE(events().empty());
    beat();
    child.say("answer");
    ASSERT_EQ("ok", child.hear());
    EXPECT_EQ(SL_GATE_CLOSED, gate());
    const auto seen = events();
    ASSERT_EQ(1u, seen.size());
    EXPECT_EQ(static_cast<__u32>(SL_EVENT_GATED), seen[0].kind);
    EXPECT_EQ(cluster, seen[0].cluster);
}

TEST_F(Gate, OfABusyConnectionOpensWhenNoAgentIsThereToEndIt) {
    serve();
    Child child(cgroup_, [&](int talk) { return steps(connect(), talk); });
    child.say("ask");
    ASSERT_EQ("ok", child.hear());
    close_gates(SL_DRAIN_IDLE);
    child.say("answer");
    ASSERT_EQ("ok", child.hear());
    EXPECT_EQ(0u, gate());
}

TEST_F(Gate, IsRenewedByEachCall) {
    serve();
    Child child(cgroup_, [&](int talk) { return steps(connect(), talk); });
    for (const char* step : {"ask", "answer"}) {
        child.say(step);
        ASSERT_EQ("ok", child.hear());
    }
    close_gates(SL_DRAIN_IDLE);
    child.say("send");
    ASSERT_EQ("ok", child.hear());
    const auto until = std::chrono::steady_clock::now() + 2500ms;
    while (std::chrono::steady_clock::now() < until) {
        ASSERT_EQ(SL_GATE_CLOSED, gate());
        close_gates(SL_DRAIN_IDLE);
        std::this_thread::sleep_for(100ms);  // well within the second that a gate stays closed by itself
    }
    EXPECT_EQ("200x1", counts());
}

struct EjectedCase {
    const char* name;
    __u32 flags;
    __u32 min_health_percent;
    __u32 gate;
};
class OfAnEjectedEndpoint : public Gate, public testing::WithParamInterface<EjectedCase> {};

TEST_P(OfAnEjectedEndpoint, ClosesByItselfIfItDrains) {
    serve([](sl_cluster_row& row) {
        row.flags |= SL_CLUSTER_OUTLIER | GetParam().flags;
        row.min_health_percent = GetParam().min_health_percent;
    });
    beat();
    rules_->tables().health[0].ejected_until = 0;
    Child child(cgroup_, [&](int talk) { return steps(connect(), talk); });
    child.say("ask");
    ASSERT_EQ("ok", child.hear());
    sl_store(&rules_->tables().health[0].ejected_until, ~__u64{0} >> 1);
    rules_->tables().clusters[0].ejected = 1;
    beat();
    child.say("answer");
    ASSERT_EQ("ok", child.hear());
    EXPECT_EQ(GetParam().gate, gate());
    EXPECT_EQ(GetParam().gate ? 1u : 0u, events().size());
}

INSTANTIATE_TEST_SUITE_P(All, OfAnEjectedEndpoint,
                         testing::Values(EjectedCase{"None", 0, 0, 0},
                                         EjectedCase{"Idle", SL_CLUSTER_DRAIN_IDLE, 0, SL_GATE_CLOSED},
                                         EjectedCase{"Now", SL_CLUSTER_DRAIN_NOW, 0, SL_GATE_CLOSED},
                                         EjectedCase{"Panic", SL_CLUSTER_DRAIN_IDLE, 50, 0}),
                         [](const auto& tried) { return tried.param.name; });

// SOCK_DESTROY of a TCP socket over IPv4, in this network namespace.
bool destroy(const sl_connection& c) {
    struct {
        nlmsghdr header;
        inet_diag_req_v2 ask;
    } request{};
    request.header = {sizeof request, SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, 1, 0};
    request.ask.sdiag_family = AF_INET;
    request.ask.sdiag_protocol = IPPROTO_TCP;
    request.ask.idiag_states = ~0u;
    request.ask.id.idiag_sport = c.local_port;
    request.ask.id.idiag_dport = c.remote_port;
    std::memcpy(request.ask.id.idiag_src, c.local_address + 12, 4);
    std::memcpy(request.ask.id.idiag_dst, c.remote_address + 12, 4);
    request.ask.id.idiag_cookie[0] = static_cast<__u32>(c.cookie);
    request.ask.id.idiag_cookie[1] = static_cast<__u32>(c.cookie >> 32);
    const Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    struct {
        nlmsghdr header;
        nlmsgerr error;
        char rest[256];
    } answer{};
    return send(fd.get(), &request, sizeof request, 0) == sizeof request &&
           recv(fd.get(), &answer, sizeof answer, 0) > 0 && answer.error.error == 0;
}

TEST_F(Gate, ARequestThatTheDrainCutIsCountedAsSuch) {
    serve([](sl_cluster_row& row) {
        row.flags |= SL_CLUSTER_OUTLIER;
        row.consecutive_5xx = 1;
    });
    Child child(cgroup_, [&](int talk) { return steps(connect(), talk); });
    child.say("ask");
    ASSERT_EQ("ok", child.hear());
    close_gates(SL_DRAIN_NOW);
    EXPECT_EQ(SL_GATE_BUSY | SL_GATE_CLOSED, gate());
    if (!destroy(connections().at(0))) {
        GTEST_SKIP() << "this kernel has no SOCK_DESTROY (CONFIG_INET_DIAG_DESTROY)";
    }
    EXPECT_TRUE(eventually([&] { return counts() == "0/drainedx1"; })) << counts();
    EXPECT_EQ(0u, rules_->tables().health[0].failures_total);
    EXPECT_TRUE(connections().empty());
}

using Listing = Gate;

TEST_F(Listing, TellsWhereConnectionsAreAndWhatIsWatched) {
    const std::uint32_t cluster = serve();
    rules_->service("127.10.0.2", 81, {rules_->cluster({{"127.0.0.1", port_}})});
    rules_->publish();
    Child http(cgroup_, [&](int talk) {
        Pair p = connect();
        write_all(talk, p.ask(get()) && p.answer(answer_of(200, 1)) ? "ok\n" : "failed\n");
        read_line(talk);
        return "end";
    });
    ASSERT_EQ("ok", http.hear());
    Child tcp(cgroup_, [&](int talk) {
        const Fd fd(dial("127.10.0.2", 81));
        write_all(talk, "ok\n");
        read_line(talk);
        return "end";
    });
    ASSERT_EQ("ok", tcp.hear());
    Child tls(cgroup_, [&](int talk) {
        Pair p;
        p.client = Fd(dial("127.10.0.1", 80));
        write_all(p.client.get(), "\x16\x03\x01");
        write_all(talk, "ok\n");
        read_line(talk);
        return "end";
    });
    ASSERT_EQ("ok", tls.hear());
    std::map<int, sl_connection> by_watched;
    for (const sl_connection& c : connections()) {
        by_watched[static_cast<int>(c.watched)] = c;
    }
    ASSERT_EQ(3u, by_watched.size());
    ASSERT_TRUE(by_watched.contains(SL_REASON_NONE));
    ASSERT_TRUE(by_watched.contains(SL_REASON_ESTABLISHED));
    ASSERT_TRUE(by_watched.contains(SL_REASON_UNOBSERVED_TLS));
    const sl_connection c = by_watched[SL_REASON_NONE];
    EXPECT_EQ(cluster, c.cluster);
    EXPECT_EQ(1u, c.requests);
    EXPECT_EQ(AF_INET, c.family);
    EXPECT_EQ(htons(80), c.dialled_port);
    EXPECT_EQ(htons(port_), c.remote_port);
    EXPECT_EQ("127.0.0.1", IpAddress{std::to_array(c.remote_address)}.text());
    EXPECT_EQ("127.0.0.1", IpAddress{std::to_array(c.local_address)}.text());
    EXPECT_EQ("127.10.0.1", IpAddress{std::to_array(c.dialled_address)}.text());
    struct stat here {};
    ASSERT_EQ(0, stat("/proc/self/ns/net", &here));
    EXPECT_EQ(here.st_ino, c.netns_inode);
    EXPECT_NE(0u, c.netns_cookie);
    EXPECT_GE(c.established_ns, c.started_ns);
}

}  // namespace
}  // namespace sluice::test
