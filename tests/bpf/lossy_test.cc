// On a path that loses segments, what is counted is still right: every request of a connection that is watched to its
// end, and none twice.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>

#include "tests/bpf/http.h"

namespace sluice::test {
namespace {

// A tc program that drops one of 64 packets of more than 200 octets.
Fd load_dropper() {
    const bpf_insn drop[] = {
        {BPF_LDX | BPF_MEM | BPF_W, 6, 1, offsetof(__sk_buff, len), 0},
        {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, TC_ACT_OK},
        {BPF_JMP | BPF_JLT | BPF_K, 6, 0, 6, 200},
        {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32},
        {BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, 63},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0},
        {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, TC_ACT_OK},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
        {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, TC_ACT_SHOT},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
    };
    return Fd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "dropper", "GPL", drop, std::size(drop), nullptr));
}

// Segments of one packet each on that device: else TCP hands on, and the dropper drops, 64 KB at a time.
bool cut_small(int index) {
    struct {
        nlmsghdr header;
        ifinfomsg info;
        nlattr attribute;
        __u32 segments;
    } request{};
    request.header = {sizeof request, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0};
    request.info.ifi_index = index;
    request.attribute = {sizeof(nlattr) + sizeof(__u32), IFLA_GSO_MAX_SEGS};
    request.segments = 1;
    struct {
        nlmsghdr header;
        nlmsgerr error;
        char rest[256];
    } answer{};
    const Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    return send(fd.get(), &request, sizeof request, 0) == sizeof request &&
           recv(fd.get(), &answer, sizeof answer, 0) > 0 && answer.error.error == 0;
}

// The calling process gets a network of its own whose loopback has small segments and loses some. Empty when it works.
std::string enter_lossy_network() {
    const Fd dropper = load_dropper();
    if (!dropper || unshare(CLONE_NEWNET) != 0 || !bring_up_loopback()) {
        return "network namespace";
    }
    const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_mtu = 1500;
    const int index = static_cast<int>(if_nametoindex("lo"));
    if (ioctl(fd.get(), SIOCSIFMTU, &request) != 0 || !cut_small(index)) {
        return "small segments";
    }
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = index, .attach_point = BPF_TC_INGRESS);
    LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = dropper.get());
    if (bpf_tc_hook_create(&hook) != 0 || bpf_tc_attach(&hook, &opts) != 0) {
        return "tc";
    }
    return {};
}

using Lossy = HttpTest;

TEST_F(Lossy, ConnectionsAreCountedRightOrNotFollowedByName) {
    constexpr int kConnections = 12, kRequests = 30;
    // The endpoint has no listener here: the child's network has its own.
    serve();
    const std::string body(60'000, 'b');
    const std::string fixed = "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + body;
    std::string chunked = "HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 20; ++i) {
        chunked += "BB8\r\n" + body.substr(0, 3000) + "\r\n";
    }
    chunked += "0\r\n\r\n";
    const std::string upload = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n" + body;
    const std::string told = in_cgroup(cgroup_, [&]() -> std::string {
        if (const std::string failed = enter_lossy_network(); !failed.empty()) {
            return "no " + failed;
        }
        std::uint16_t port = port_;
        listener_ = listen_on("127.0.0.1", port);
        std::vector<std::thread> threads;
        std::atomic<int> bad = 0;
        for (int c = 0; c < kConnections; ++c) {
            threads.emplace_back([&, c, pair = std::make_shared<Pair>(connect())] {
                for (int n = 0; n < kRequests; ++n) {
                    bad += !pair->ask(c % 3 == 2 ? upload : get()) || !pair->answer(c % 3 == 1 ? chunked : fixed);
                }
            });
        }
        for (auto& thread : threads) {
            thread.join();
        }
        return std::to_string(bad) + " bad";
    });
    if (told.starts_with("no ")) {
        GTEST_SKIP() << told << " (CONFIG_NET_CLS_ACT and CONFIG_NET_SCH_INGRESS are needed)";
    }
    ASSERT_EQ("0 bad", told);
    std::uint64_t requests = 0, gaps = 0;
    for (const auto& [key, row] : rows()) {
        ASSERT_TRUE(key.reason == SL_REASON_NONE || key.reason == SL_REASON_UNOBSERVED_GAP) << counts();
        (key.reason == SL_REASON_NONE ? requests : gaps) += row.requests;
        if (key.status == 200 || key.status == 201) {
            const std::uint64_t size = key.status == 200 ? fixed.size() : chunked.size();
            EXPECT_EQ(row.requests * size, row.response_bytes);
        }
    }
    EXPECT_LE(requests, std::uint64_t{kConnections * kRequests});
    EXPECT_GE(requests, (kConnections - gaps) * kRequests) << counts();
    // Only chunked answers have lines between them that may be lost together with others.
    EXPECT_LE(gaps, std::uint64_t{kConnections / 3}) << counts();
    EXPECT_TRUE(counts().contains("200x" + std::to_string(kConnections / 3 * 2 * kRequests))) << counts();
    EXPECT_TRUE(closed(kConnections));
    EXPECT_GT(flow(SL_REASON_ESTABLISHED).retransmits, 0u) << "nothing was lost";
}

}  // namespace
}  // namespace sluice::test
