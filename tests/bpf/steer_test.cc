// Where a connection goes, and what the application sees of it.
#include "tests/bpf/rules.h"
#include "tests/bpf/world.h"

namespace sluice::test {
namespace {

class Steer : public MeshTest {};

TEST_F(Steer, ConnectionToAVirtualAddressReachesAnEndpoint) {
    Server server("v1", "127.0.0.1");
    rules_->service("127.10.0.1", 8080, {rules_->cluster({{"127.0.0.1", server.port}})});
    const auto run = [] { return ask_once("127.10.0.1", 8080); };
    EXPECT_NE("v1", in_cgroup(cgroup_, run)) << "not published yet";
    rules_->publish();
    EXPECT_EQ("v1", in_cgroup(cgroup_, run));
    EXPECT_TRUE(released());
    EXPECT_EQ(1u, rules_->picks());
    EXPECT_NE("v1", run()) << "this process is not in the cgroup";
    detach();
    EXPECT_NE("v1", in_cgroup(cgroup_, run)) << "detached";
}

TEST_F(Steer, OtherTrafficIsUntouchedWhateverTheTablesSay) {
    Server server("plain", "127.0.0.1");
    const auto plain = [&] { return ask_once("127.0.0.1", server.port); };
    const std::uint32_t service = rules_->service("127.10.0.1", server.port, {rules_->cluster({{"127.0.0.2", 1}})});
    rules_->publish();
    EXPECT_EQ("plain", in_cgroup(cgroup_, plain));
    // A route out of bounds: the virtual address is left alone, and what was dialled answers.
    rules_->tables().services[service].slot[0].row = 0x7fffffff;
    EXPECT_EQ("plain", in_cgroup(cgroup_, plain));
    Server there("there", "127.10.0.1", server.port);
    EXPECT_EQ("there", in_cgroup(cgroup_, [&] { return ask_once("127.10.0.1", server.port); }));
    EXPECT_EQ(1u, counted(SL_REASON_TABLE_CORRUPT));
    EXPECT_EQ(0, rules_->active());
}

TEST_F(Steer, UdpToTheSameAddressIsUntouched) {
    rules_->service("127.10.0.1", 8080, {rules_->cluster({{"127.0.0.1", 9}})});
    rules_->publish();
    EXPECT_EQ("127.10.0.1 8080", in_cgroup(cgroup_, [] {
                  const Address to("127.10.0.1", 8080);
                  const Fd fd(socket(AF_INET, SOCK_DGRAM, 0));
                  return connect(fd.get(), to.raw(), to.size) == 0 ? peer_of(fd.get()) : "failed";
              }));
    EXPECT_EQ(0u, rules_->picks());
}

// Socket family, what it dials, what it may reach: the answer and the peer's name.
struct FamilyCase {
    const char* name;
    int family;
    bool v6only;
    const char* bound;  // or ""
    const char* dialled;
    const char* expected;  // version that must answer, or the error's text
};
class Families : public MeshTest, public testing::WithParamInterface<FamilyCase> {};

TEST_P(Families, ReachesWhatTheSocketCanAndSeesWhatItDialled) {
    const FamilyCase& c = GetParam();
    Server four("four", "127.0.0.1");
    Server six("six", "::1");
    rules_->service("127.10.0.4", 80, {rules_->cluster({{"127.0.0.1", four.port}})});
    rules_->service("127.10.0.6", 80, {rules_->cluster({{"::1", six.port}})});
    rules_->service("fd00::4", 80, {rules_->cluster({{"127.0.0.1", four.port}})});
    rules_->service("fd00::6", 80, {rules_->cluster({{"::1", six.port}})});
    rules_->publish();
    const std::string result = in_cgroup(cgroup_, [&]() -> std::string {
        const Fd fd(socket(c.family, SOCK_STREAM, 0));
        const int on = c.v6only ? 1 : 0;
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        if (*c.bound != 0) {
            const Address source(c.bound, 0);
            if (bind(fd.get(), source.raw(), source.size) != 0) {
                return "bind";
            }
        }
        const Address to(c.dialled, 80);
        if (connect(fd.get(), to.raw(), to.size) != 0) {
            return std::strerror(errno);
        }
        const std::string version = ask(fd.get());
        return peer_of(fd.get()) == to.text() ? version : "peer is " + peer_of(fd.get());
    });
    EXPECT_EQ(c.expected, result);
    EXPECT_TRUE(released());
}

constexpr const char* kRefused = "Connection refused";
INSTANTIATE_TEST_SUITE_P(
    All, Families,
    testing::Values(FamilyCase{"V4", AF_INET, false, "", "127.10.0.4", "four"},
                    FamilyCase{"V4ToV6Only", AF_INET, false, "", "127.10.0.6", kRefused},
                    FamilyCase{"V6", AF_INET6, false, "", "fd00::6", "six"},
                    FamilyCase{"V6VipToV4Endpoint", AF_INET6, false, "", "fd00::4", "four"},
                    FamilyCase{"V6OnlyVipToV4Endpoint", AF_INET6, true, "", "fd00::4", kRefused},
                    FamilyCase{"V6OnlyVipToV6Endpoint", AF_INET6, true, "", "fd00::6", "six"},
                    FamilyCase{"Mapped", AF_INET6, false, "", "::ffff:127.10.0.4", "four"},
                    FamilyCase{"MappedToV6Endpoint", AF_INET6, false, "", "::ffff:127.10.0.6", "six"},
                    FamilyCase{"BoundMappedToV6Endpoint", AF_INET6, false, "::ffff:127.0.0.9", "::ffff:127.10.0.6",
                               kRefused},
                    FamilyCase{"BoundMapped", AF_INET6, false, "::ffff:127.0.0.9", "::ffff:127.10.0.4", "four"},
                    FamilyCase{"BoundV6ToV4Endpoint", AF_INET6, false, "::1", "fd00::4", kRefused},
                    FamilyCase{"BoundV4", AF_INET, false, "127.0.0.9", "127.10.0.4", "four"}),
    [](const auto& tried) { return tried.param.name; });

TEST_F(Steer, PeerNameOfOtherConnectionsIsTheirOwnAlsoOnAReusedSocket) {
    Server mesh("mesh", "127.0.0.1");
    Server plain("plain", "127.0.0.2");
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", mesh.port}})});
    rules_->publish();
    EXPECT_EQ("mesh 127.10.0.1 80 plain 127.0.0.2 " + std::to_string(plain.port), in_cgroup(cgroup_, [&] {
                  const Fd fd(dial("127.10.0.1", 80));
                  std::string seen = ask(fd.get()) + " " + peer_of(fd.get());
                  sockaddr nobody{};
                  nobody.sa_family = AF_UNSPEC;
                  connect(fd.get(), &nobody, sizeof nobody);
                  const Address to("127.0.0.2", plain.port);
                  connect(fd.get(), to.raw(), to.size);
                  return seen + " " + ask(fd.get()) + " " + peer_of(fd.get());
              }));
    EXPECT_TRUE(released());
}

TEST_F(Steer, MixedFamiliesOnOneReusedSocket) {
    Server four("four", "127.0.0.1");
    Server six("six", "::1");
    rules_->service("fd00::4", 80, {rules_->cluster({{"127.0.0.1", four.port}})});
    rules_->service("fd00::6", 80, {rules_->cluster({{"::1", six.port}})});
    rules_->publish();
    const auto twice = [](const char* first, const char* second) {
        const Fd fd(dial(first, 80));
        const std::string seen = ask(fd.get());
        sockaddr nobody{};
        nobody.sa_family = AF_UNSPEC;
        connect(fd.get(), &nobody, sizeof nobody);
        const Address to(second, 80);
        const bool again = connect(fd.get(), to.raw(), to.size) == 0;
        return seen + " " + (again ? ask(fd.get()) : std::strerror(errno));
    };
    EXPECT_EQ("six four", in_cgroup(cgroup_, [&] { return twice("fd00::6", "fd00::4"); }));
    // The kernel keeps a socket that once was IPv4 so: an IPv6 endpoint is out of its reach, refused instead of
    // hanging.
    EXPECT_EQ("four Connection refused", in_cgroup(cgroup_, [&] { return twice("fd00::4", "fd00::6"); }));
    EXPECT_EQ("four four", in_cgroup(cgroup_, [&] { return twice("fd00::4", "fd00::4"); }));
    EXPECT_TRUE(released());
}

TEST_F(Steer, TwoNetworkNamespacesAtOnce) {
    // The same endpoint address in both: each client reaches the one of its own namespace.
    // Forked before this process has threads, as it makes one of its own.
    Child inner(cgroup_, [&](int talk) -> std::string {
        if (unshare(CLONE_NEWNET) != 0 || !bring_up_loopback()) {
            return "unshare";
        }
        Server there("there", "127.0.0.1", static_cast<std::uint16_t>(std::stoi(read_line(talk))));
        write_all(talk, "ready\n");
        read_line(talk);
        return ask_once("127.10.0.1", 80);
    });
    Server here("here", "127.0.0.1");
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", here.port}})});
    rules_->publish();
    inner.say(std::to_string(here.port));
    ASSERT_EQ("ready", inner.hear());
    EXPECT_EQ("here", in_cgroup(cgroup_, [] { return ask_once("127.10.0.1", 80); }));
    inner.say("go");
    EXPECT_EQ("there", inner.hear());
    EXPECT_TRUE(released());
}

TEST_F(Steer, AScopesRecordThatIsNotInForceLeavesWhatAllSee) {
    Server all("all", "127.0.0.1");
    Server own("own", "127.0.0.2");
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", all.port}})});
    rules_->publish();
    ASSERT_TRUE(kernel_->clients().replace({{cgroup_.id(), {42, 7}}}));
    const auto run = [] { return ask_once("127.10.0.1", 80); };
    // Its key is in the index before its generation is.
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.2", own.port}})}, 7);
    EXPECT_EQ("all", in_cgroup(cgroup_, run));
    rules_->publish();
    EXPECT_EQ("own", in_cgroup(cgroup_, run));
    EXPECT_TRUE(released());
}

TEST_F(Steer, ClientsOfTwoCgroupsSeeTheirOwnScopeAndNestedCgroupsInherit) {
    Server all("all", "127.0.0.1");
    Server own("own", "127.0.0.2");
    const Cgroup client(cgroup_.path);
    const Cgroup nested(client.path);
    const Cgroup other(cgroup_.path);
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", all.port}})});
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.2", own.port}})}, 7);
    rules_->service("127.10.0.2", 80, {rules_->cluster({{"127.0.0.1", all.port}})});
    rules_->publish();
    ASSERT_TRUE(kernel_->clients().replace({{client.id(), {42, 7}}}));
    const auto run = [] { return ask_once("127.10.0.1", 80) + " " + ask_once("127.10.0.2", 80); };
    EXPECT_EQ("own all", in_cgroup(client, run));
    EXPECT_EQ("own all", in_cgroup(nested, run));
    EXPECT_EQ("all all", in_cgroup(other, run));
    std::uint64_t of_client = 0;
    ASSERT_TRUE(kernel_->for_each_flow(
        [&](const sl_flow_key& key, const sl_flow& f) { of_client += key.workload == 42 ? f.opened : 0; }));
    EXPECT_EQ(4u, of_client);
    ASSERT_TRUE(kernel_->clients().replace({}));
    EXPECT_EQ("all all", in_cgroup(client, run));
    EXPECT_TRUE(released());
}

TEST_F(Steer, NothingToPickIsRefusedAndNamed) {
    rules_->service("127.10.0.1", 80, {rules_->cluster({})});
    rules_->service("127.10.0.2", 80, {SL_NONE});
    rules_->publish();
    EXPECT_EQ(kRefused, in_cgroup(cgroup_, [] { return ask_once("127.10.0.1", 80); }));
    EXPECT_EQ(kRefused, in_cgroup(cgroup_, [] { return ask_once("127.10.0.2", 80); }));
    EXPECT_EQ(1u, counted(SL_REASON_NO_HEALTHY_UPSTREAM));
    EXPECT_EQ(1u, flow(SL_REASON_NO_HEALTHY_UPSTREAM).opened);
    EXPECT_EQ(1u, counted(SL_REASON_NO_CLUSTER));
    EXPECT_EQ(1u, flow(SL_REASON_NO_CLUSTER).closed);
}

TEST_F(Steer, ConnectionsOverTheLimitAreRefusedUntilOneEnds) {
    Server server("v1", "127.0.0.1");
    rules_->service(
        "127.10.0.1", 80,
        {rules_->cluster({{"127.0.0.1", server.port}}, [](sl_cluster_row& row) { row.max_connections = 2; })});
    rules_->publish();
    EXPECT_EQ("v1 v1 Connection refused v1", in_cgroup(cgroup_, [] {
                  Fd first(dial("127.10.0.1", 80));
                  const Fd second(dial("127.10.0.1", 80));
                  std::string seen = ask(first.get()) + " " + ask(second.get());
                  seen += " " + ask_once("127.10.0.1", 80);
                  first.reset();
                  return seen + " " + ask_once("127.10.0.1", 80);
              }));
    EXPECT_EQ(1u, counted(SL_REASON_OVERFLOW));
    EXPECT_TRUE(released());
    std::uint32_t held = 1;
    ASSERT_TRUE(kernel_->for_each_limit([&](const sl_limit_key&, const sl_limit& limit) { held = limit.active; }));
    EXPECT_EQ(0u, held);
}

TEST_F(Steer, MptcpIsSteeredWithoutAccount) {
    Server server("v1", "127.0.0.1");
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", server.port}})});
    rules_->publish();
    EXPECT_EQ("v1", in_cgroup(cgroup_, []() -> std::string {
                  const Fd fd(socket(AF_INET, SOCK_STREAM, 262));
                  const Address to("127.10.0.1", 80);
                  if (!fd || connect(fd.get(), to.raw(), to.size) != 0) {
                      return std::strerror(errno);
                  }
                  return ask(fd.get());
              }));
    EXPECT_TRUE(released());
}

}  // namespace
}  // namespace sluice::test
