// What is pinned outlives the agent, is adopted, repaired and removed.
#include <bpf/bpf.h>
#include <linux/capability.h>
#include <sys/capability.h>
#include <sys/vfs.h>

#include <random>

#include "tests/bpf/rules.h"
#include "tests/bpf/world.h"

namespace sluice::test {
namespace {

std::uint32_t attached(const std::string& cgroup, bpf_attach_type hook) {
    const Fd fd(open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::uint32_t count = 0;
    std::uint32_t flags = 0;
    return bpf_prog_query(fd.get(), hook, 0, &flags, nullptr, &count) == 0 ? count : 999;
}

std::uint32_t attached_at_all(const std::string& cgroup) {
    std::uint32_t sum = 0;
    for (const bpf_attach_type hook :
         {BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_INET4_GETPEERNAME,
          BPF_CGROUP_INET6_GETPEERNAME, BPF_CGROUP_SOCK_OPS, BPF_CGROUP_INET_SOCK_RELEASE}) {
        sum += attached(cgroup, hook);
    }
    return sum;
}

class PinsTest : public MeshTest {
  protected:
    void SetUp() override {
        MeshTest::SetUp();
        rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", server_.port}})});
        rules_->publish();
    }
    std::string traffic(int connections = 1) {
        return in_cgroup(cgroup_, [&] {
            int bad = 0;
            for (int i = 0; i < connections; ++i) {
                bad += ask_once("127.10.0.1", 80) != "v1" ? 1 : 0;
            }
            return std::to_string(bad) + " bad";
        });
    }
    // Connections one after the other until it is told to stop; then how many, and how many of them failed.
    std::unique_ptr<Child> endless_traffic() {
        return std::make_unique<Child>(cgroup_, [](int talk) -> std::string {
            int count = 0, bad = 0;
            for (pollfd stop{talk, POLLIN, 0}; poll(&stop, 1, 0) == 0; ++count) {
                bad += ask_once("127.10.0.1", 80) != "v1" ? 1 : 0;
            }
            return (count > 0 ? "some, " : "none, ") + std::to_string(bad) + " bad";
        });
    }
    void reopen() {
        kernel_.reset();
        start();
        rules_->rebind(*kernel_);
    }

    Server server_{"v1", "127.0.0.1"};
};

TEST_F(PinsTest, NothingHappensWithoutTheAgentAndARestartAdopts) {
    EXPECT_FALSE(kernel_->adopted());
    EXPECT_EQ("0 bad", traffic(3));
    kernel_.reset();
    EXPECT_EQ("0 bad", traffic(4));
    start();
    EXPECT_TRUE(kernel_->adopted());
    rules_->rebind(*kernel_);
    EXPECT_EQ(7u, rules_->picks());
    EXPECT_EQ(7u, counted(SL_REASON_ESTABLISHED));
    EXPECT_TRUE(released());
    EXPECT_EQ(6u, attached_at_all(cgroup_.path));
    EXPECT_EQ("0 bad", traffic());
}

TEST_F(PinsTest, AgentKilledAndRestartedInMidTraffic) {
    kernel_.reset();
    const Cgroup elsewhere;
    auto traffic = endless_traffic();
    for (int i = 0; i < 3; ++i) {
        Child agent(elsewhere, [&](int talk) -> std::string {
            auto kernel = bpf::Kernel::open(options_);
            write_all(talk, kernel ? "open\n" : kernel.error().text() + "\n");
            pause();
            return "";
        });
        ASSERT_EQ("open", agent.hear());
        agent.kill_hard();
    }
    traffic->say("stop");
    EXPECT_EQ("some, 0 bad", traffic->hear());
    start();
    rules_->rebind(*kernel_);
    EXPECT_EQ(rules_->picks(), counted(SL_REASON_ESTABLISHED));
    EXPECT_TRUE(released());
}

TEST_F(PinsTest, ProgramsThatDifferAreReplacedInPlaceInMidTraffic) {
    kernel_.reset();  // a forked child would inherit its lock
    auto traffic = endless_traffic();
    for (int i = 0; i < 3; ++i) {
        // Without the pins of the programs nobody can tell that those in force are the same.
        std::filesystem::remove_all(bpffs_.path + "/sluice/v" + std::to_string(SL_ABI_VERSION) + "/progs/sl_connect4");
        std::filesystem::remove_all(bpffs_.path + "/sluice/v" + std::to_string(SL_ABI_VERSION) + "/progs/sl_sockops");
        reopen();
        EXPECT_EQ(6u, attached_at_all(cgroup_.path));
    }
    traffic->say("stop");
    EXPECT_EQ("some, 0 bad", traffic->hear());
}

TEST_F(PinsTest, AStartKilledAnywhereIsCompletedByTheNext) {
    detach();
    const Cgroup elsewhere;
    std::minstd_rand random(7);
    for (int i = 0; i < 12; ++i) {
        Child agent(elsewhere, [&](int) -> std::string {
            auto kernel = bpf::Kernel::open(options_);
            return kernel ? "open" : kernel.error().text();
        });
        const std::string seen = agent.hear(std::chrono::milliseconds(random() % 300));
        EXPECT_TRUE(seen.empty() || seen == "open") << seen;
        agent.kill_hard();
        if (i % 4 == 3) {
            ASSERT_TRUE(bpf::Kernel::uninstall(options_));
            EXPECT_EQ(0u, attached_at_all(cgroup_.path));
        }
    }
    rules_.reset();
    SetUp();
    EXPECT_EQ(6u, attached_at_all(cgroup_.path));
    EXPECT_EQ("0 bad", traffic(3));
}

TEST_F(PinsTest, UninstallLeavesNothing) {
    kernel_.reset();
    ASSERT_EQ(6u, attached_at_all(cgroup_.path));
    ASSERT_TRUE(bpf::Kernel::uninstall(options_));
    EXPECT_EQ(0u, attached_at_all(cgroup_.path));
    EXPECT_FALSE(std::filesystem::exists(bpffs_.path + "/sluice"));
    EXPECT_EQ("1 bad", traffic());
    EXPECT_TRUE(bpf::Kernel::uninstall(options_)) << "nothing there is fine";
}

TEST_F(PinsTest, ProgramsOfAnotherVersionPlaceConnectionsUntilTheyAreRetired) {
    const Server next("v2", "127.0.0.1");
    const auto answer = [&] { return in_cgroup(cgroup_, [] { return ask_once("127.10.0.1", 80); }); };
    rules_.reset();
    kernel_.reset();
    std::filesystem::rename(bpffs_.path + "/sluice/v" + std::to_string(SL_ABI_VERSION), bpffs_.path + "/sluice/v0");
    start();
    EXPECT_FALSE(kernel_->adopted());
    EXPECT_EQ("v1", answer());
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", next.port}})});
    rules_->publish();
    EXPECT_EQ("v1", answer());
    EXPECT_EQ(12u, attached_at_all(cgroup_.path));
    EXPECT_THAT(kernel_->retire_others(options_).value(), testing::ElementsAre("v0"));
    EXPECT_EQ("v2", answer());
    EXPECT_EQ(6u, attached_at_all(cgroup_.path));
    EXPECT_FALSE(std::filesystem::exists(bpffs_.path + "/sluice/v0"));
    EXPECT_THAT(kernel_->retire_others(options_).value(), testing::IsEmpty());
    EXPECT_EQ("v2", answer());
}

TEST_F(PinsTest, OneAgentAtATime) {
    auto second = bpf::Kernel::open(options_);
    ASSERT_FALSE(second);
    EXPECT_EQ(EBUSY, second.error().code);
    EXPECT_FALSE(bpf::Kernel::uninstall(options_));
    EXPECT_EQ("0 bad", traffic());
}

TEST_F(PinsTest, PinnedSizesWinOverWishes) {
    options_.capacities.services = 1000;
    reopen();
    EXPECT_EQ(256u, kernel_->capacities().services);
    EXPECT_EQ("0 bad", traffic());
}

TEST_F(PinsTest, AnotherCgroupTakesOver) {
    const Cgroup other;
    options_.cgroup = other.path;
    reopen();
    EXPECT_EQ(0u, attached_at_all(cgroup_.path));
    EXPECT_EQ(6u, attached_at_all(other.path));
    EXPECT_EQ("1 bad", traffic());
    EXPECT_EQ("v1", in_cgroup(other, [] { return ask_once("127.10.0.1", 80); }));
}

TEST_F(PinsTest, APinnedMapThatIsLostIsMadeAgainForAllPrograms) {
    kernel_.reset();
    ASSERT_TRUE(std::filesystem::remove(bpffs_.path + "/sluice/v" + std::to_string(SL_ABI_VERSION) + "/maps/counters"));
    start();
    EXPECT_EQ("0 bad", traffic(2));
    EXPECT_EQ(2u, counted(SL_REASON_ESTABLISHED)) << "programs and agent share it";
}

TEST_F(PinsTest, MountsABpffsWhereThereIsNoneAndTakesItAway) {
    detach();
    const std::string directory = std::filesystem::temp_directory_path() / unique_name();
    std::filesystem::create_directory(directory);
    options_.bpffs = directory;
    rules_.reset();
    SetUp();
    EXPECT_EQ("0 bad", traffic());
    detach();
    struct statfs info {};
    statfs(directory.c_str(), &info);
    EXPECT_NE(static_cast<long>(BPF_FS_MAGIC), static_cast<long>(info.f_type));
    EXPECT_TRUE(std::filesystem::remove(directory));
}

// Leaves exactly these in the calling process; false when it could not.
bool keep_capabilities(std::initializer_list<int> kept) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    for (const int capability : kept) {
        data[capability / 32].effective |= 1u << (capability % 32);
        data[capability / 32].permitted |= 1u << (capability % 32);
    }
    return capset(&header, data) == 0;
}

TEST_F(PinsTest, ThreeCapabilitiesAreEnoughToInstallAdoptAndUninstall) {
    detach();
    const Cgroup elsewhere;
    EXPECT_EQ("done", in_cgroup(elsewhere, [&]() -> std::string {
                  if (!keep_capabilities({CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON})) {
                      return "capset";
                  }
                  for (int i = 0; i < 2; ++i) {
                      auto kernel = bpf::Kernel::open(options_);
                      if (!kernel) {
                          return kernel.error().text();
                      }
                      if (auto done = kernel->report_open_connections(); !done) {
                          return done.error().text();
                      }
                      if (auto maps = kernel->maps(); !maps) {
                          return maps.error().text();
                      }
                  }
                  auto done = bpf::Kernel::uninstall(options_);
                  return done ? "done" : done.error().text();
              }));
    EXPECT_EQ("refused", in_cgroup(elsewhere, [&]() -> std::string {
                  keep_capabilities({CAP_NET_ADMIN});
                  return bpf::Kernel::open(options_) ? "opened" : "refused";
              }));
}

TEST_F(PinsTest, MapsAreListedAndDumped) {
    ASSERT_EQ("0 bad", traffic(2));
    auto maps = kernel_->maps();
    ASSERT_TRUE(maps) << maps.error().text();
    for (const bpf::MapInfo& map : *maps) {
        EXPECT_GT(map.max_entries + (map.type == "sk_storage" ? 1 : 0), 0u) << map.name;
        EXPECT_LE(map.used, map.max_entries) << map.name;
        const bool lists = map.type != "ringbuf" && map.type != "sk_storage";
        EXPECT_EQ(lists, kernel_->dump(map.name).has_value()) << map.name;
        if (map.name == "services" || map.name == "service_index" || map.name == "endpoints") {
            EXPECT_EQ(1u, map.used) << map.name;
        }
    }
    EXPECT_THAT(kernel_->dump("service_index").value(),
                testing::ElementsAre(testing::HasSubstr("address=127.10.0.1:80 scope=0 service=0")));
    auto unknown = kernel_->dump("nonsense");
    ASSERT_FALSE(unknown);
    EXPECT_THAT(unknown.error().text(), testing::HasSubstr("service_index"));
}

TEST_F(PinsTest, ProbeFindsAllOnThisMachineAndNamesWhoRunsBeforeUs) {
    for (const bpf::Probe& probe : bpf::probe(options_)) {
        EXPECT_TRUE(probe.ok) << probe.name << ": " << probe.found;
        EXPECT_TRUE(probe.remedy.empty());
    }
    EXPECT_EQ(6u, attached_at_all(cgroup_.path)) << "leaves nothing behind";
    bpf::KernelOptions wrong = options_;
    wrong.cgroup = "/tmp";
    wrong.bpffs = "/nonexistent";
    int missing = 0;
    for (const bpf::Probe& probe : bpf::probe(wrong)) {
        missing += probe.ok ? 0 : 1;
        EXPECT_EQ(probe.ok, probe.remedy.empty()) << probe.name;
    }
    EXPECT_EQ(2, missing);
    // A connect4 program in a child cgroup: any that lets all pass.
    const Cgroup child(cgroup_.path);
    const bpf_insn pass[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET4_CONNECT);
    const Fd program(bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "pass", "GPL", pass, std::size(pass), &opts));
    const Fd directory(open(child.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const Fd link(bpf_link_create(program.get(), directory.get(), BPF_CGROUP_INET4_CONNECT, nullptr));
    ASSERT_TRUE(link);
    for (const bpf::Probe& probe : bpf::probe(options_)) {
        EXPECT_EQ(probe.name != "order of connect4", probe.ok) << probe.name << ": " << probe.found;
    }
}

}  // namespace
}  // namespace sluice::test
