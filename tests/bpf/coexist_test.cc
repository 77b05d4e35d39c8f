// Other sockops programs, above and below, that set callback flags as if they were alone.
#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "tests/bpf/rules.h"
#include "tests/bpf/world.h"

namespace sluice::test {
namespace {

// At TCP_CONNECT and ACTIVE_ESTABLISHED: bpf_sock_ops_cb_flags_set(ctx, RTT), without regard for what is set.
Fd rude_program() {
    const auto insn = [](std::uint8_t code, std::uint8_t dst, std::uint8_t src, std::int16_t off, std::int32_t imm) {
        bpf_insn result{};
        result.code = code;
        result.dst_reg = dst & 0xf;
        result.src_reg = src & 0xf;
        result.off = off;
        result.imm = imm;
        return result;
    };
    const bpf_insn program[] = {
        insn(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0),
        insn(BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0),
        insn(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1, BPF_SOCK_OPS_TCP_CONNECT_CB),
        insn(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 3, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB),
        insn(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, BPF_SOCK_OPS_RTT_CB_FLAG),
        insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sock_ops_cb_flags_set),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1),
        insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    return Fd(bpf_prog_load(BPF_PROG_TYPE_SOCK_OPS, "rude", "GPL", program, std::size(program), nullptr));
}

Fd attach_rude(const Cgroup& cgroup) {
    const Fd program = rude_program();
    const Fd directory(open(cgroup.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return Fd(bpf_link_create(program.get(), directory.get(), BPF_CGROUP_SOCK_OPS, nullptr));
}

class Coexist : public MeshTest {
  protected:
    void SetUp() override {
        options_.cgroup = mesh_.path;
        MeshTest::SetUp();
        std::uint16_t unused = 0;
        listen_on("127.0.0.1", unused);
        rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", server_.port}})});
        rules_->service("127.10.0.2", 80, {rules_->cluster({{"127.0.0.1", unused}})});
        rules_->publish();
    }
    std::string traffic() {
        return in_cgroup(client_, [] {
            std::string seen;
            for (int i = 0; i < 3; ++i) {
                seen += ask_once("127.10.0.1", 80) + " ";
            }
            return seen + ask_once("127.10.0.2", 80);
        });
    }

    Cgroup mesh_{cgroup_.path};
    Cgroup client_{mesh_.path};
    Server server_{"v1", "127.0.0.1"};
};

TEST_F(Coexist, AProgramBelowRunsFirstAndLosesNothingForUs) {
    const Fd link = attach_rude(client_);
    ASSERT_TRUE(link);
    EXPECT_EQ("v1 v1 v1 Connection refused", traffic());
    EXPECT_TRUE(released());
    EXPECT_TRUE(closed(3));
    EXPECT_EQ(3u, counted(SL_REASON_ESTABLISHED));
    EXPECT_EQ(1u, counted(SL_REASON_REFUSED));
    EXPECT_GT(flow(SL_REASON_ESTABLISHED).sent_bytes, 0u);
}

TEST_F(Coexist, AProgramAboveTakesOurCallbacksAwayYetEveryPlaceIsFreed) {
    const Fd link = attach_rude(cgroup_);
    ASSERT_TRUE(link);
    EXPECT_EQ("v1 v1 v1 Connection refused", traffic());
    EXPECT_TRUE(released());
    EXPECT_TRUE(closed(3));
    EXPECT_EQ(3u, counted(SL_REASON_ESTABLISHED));
    // Nobody told why the connect failed, so it is not held against the endpoint.
    EXPECT_EQ(1u, counted(SL_REASON_CANCELLED));
    EXPECT_EQ(1u, flow(SL_REASON_CANCELLED).closed);
}

}  // namespace
}  // namespace sluice::test
