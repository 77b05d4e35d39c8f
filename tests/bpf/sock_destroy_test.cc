// Connections are ended from outside: the right ones, in any network namespace, and nothing that had arrived is lost.
#include "bpf/sock_destroy.h"

#include <sys/capability.h>

#include "tests/bpf/world.h"

namespace sluice::test {
namespace {

using bpf::Ended;
using bpf::NetnsName;
using bpf::SockDestroyer;

void copy_address(const Address& from, __u8* address, __be16* port) {
    if (from.family() == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(&from.storage);
        std::memset(address, 0, 10);
        std::memset(address + 10, 0xff, 2);
        std::memcpy(address + 12, &v4->sin_addr, 4);
        *port = v4->sin_port;
    } else {
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&from.storage);
        std::memcpy(address, &v6->sin6_addr, 16);
        *port = v6->sin6_port;
    }
}

template <typename T>
T option_of(int fd, int name) {
    T value{};
    socklen_t size = sizeof value;
    EXPECT_EQ(getsockopt(fd, SOL_SOCKET, name, &value, &size), 0) << std::strerror(errno);
    return value;
}

// As the iterator would list it.
sl_connection listed(int fd) {
    sl_connection c{};
    Address local, remote;
    local.size = remote.size = sizeof local.storage;
    getsockname(fd, reinterpret_cast<sockaddr*>(&local.storage), &local.size);
    getpeername(fd, reinterpret_cast<sockaddr*>(&remote.storage), &remote.size);
    copy_address(local, c.local_address, &c.local_port);
    copy_address(remote, c.remote_address, &c.remote_port);
    c.family = static_cast<__u16>(option_of<int>(fd, SO_DOMAIN));
    c.cookie = option_of<std::uint64_t>(fd, SO_COOKIE);
    c.netns_cookie = option_of<std::uint64_t>(fd, SO_NETNS_COOKIE);
    return c;
}

// What reading gives after everything that arrived: "eof", an errno's text, or "open".
std::string end_of(int fd, std::size_t* bytes = nullptr) {
    char buffer[4096];
    for (;;) {
        const ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n == 0) {
            return "eof";
        }
        if (n < 0) {
            return errno == EAGAIN ? "open" : std::strerror(errno);
        }
        if (bytes) {
            *bytes += static_cast<std::size_t>(n);
        }
    }
}

struct Pair {
    Fd client, server;
    explicit Pair(const std::string& ip, int family = 0, const std::string& dialled = "") {
        std::uint16_t port = 0;
        const Fd listener = listen_on(ip, port);
        client = Fd(dial(dialled.empty() ? ip : dialled, port, family));
        server = Fd(accept(listener.get(), nullptr, nullptr));
        EXPECT_TRUE(client && server);
    }
};

TEST(SockDestroyTest, EndsTheConnectionAndNoOther) {
    const Pair one("127.0.0.1"), other("127.0.0.1");
    SockDestroyer destroyer;
    const sl_connection c = listed(one.client.get());
    const std::vector<NetnsName> names{{c.netns_cookie, 0}};
    ASSERT_TRUE(destroyer.reach(names).empty());
    auto ended = destroyer.destroy(c);
    ASSERT_TRUE(ended) << ended.error().text();
    EXPECT_EQ(*ended, Ended::kNow);
    EXPECT_EQ(end_of(one.client.get()), std::strerror(ECONNABORTED));
    EXPECT_TRUE(eventually([&] { return end_of(one.server.get()) == std::strerror(ECONNRESET); }));
    EXPECT_EQ(end_of(other.client.get()), "open");
    // A second time there is nothing to end, and that is no error.
    ended = destroyer.destroy(c);
    ASSERT_TRUE(ended) << ended.error().text();
    EXPECT_EQ(*ended, Ended::kBefore);
}

TEST(SockDestroyTest, TheCookieMustBeRightToo) {
    const Pair pair("127.0.0.1");
    SockDestroyer destroyer;
    sl_connection c = listed(pair.client.get());
    const std::vector<NetnsName> names{{c.netns_cookie, 0}};
    ASSERT_TRUE(destroyer.reach(names).empty());
    ++c.cookie;
    auto ended = destroyer.destroy(c);
    ASSERT_TRUE(ended) << ended.error().text();
    EXPECT_EQ(*ended, Ended::kBefore);
    EXPECT_EQ(end_of(pair.client.get()), "open");
}

TEST(SockDestroyTest, BothFamiliesAndIpv4OnDualStackSockets) {
    const Pair v6("::1"), mapped("127.0.0.1", AF_INET6, "::ffff:127.0.0.1");
    SockDestroyer destroyer;
    for (const Pair* pair : {&v6, &mapped}) {
        const sl_connection c = listed(pair->client.get());
        const std::vector<NetnsName> names{{c.netns_cookie, 0}};
        ASSERT_TRUE(destroyer.reach(names).empty());
        auto ended = destroyer.destroy(c);
        ASSERT_TRUE(ended) << ended.error().text();
        EXPECT_EQ(*ended, Ended::kNow);
        EXPECT_EQ(end_of(pair->client.get()), std::strerror(ECONNABORTED));
    }
}

TEST(SockDestroyTest, WhatHasArrivedCanStillBeRead) {
    const Pair pair("127.0.0.1");
    constexpr std::size_t kAnswer = 30'000;
    ASSERT_TRUE(write_all(pair.server.get(), std::string(kAnswer, 'x')));
    ASSERT_TRUE(eventually([&] {
        int waiting = 0;
        return ioctl(pair.client.get(), FIONREAD, &waiting) == 0 && waiting == kAnswer;
    }));
    SockDestroyer destroyer;
    const sl_connection c = listed(pair.client.get());
    const std::vector<NetnsName> names{{c.netns_cookie, 0}};
    ASSERT_TRUE(destroyer.reach(names).empty());
    ASSERT_TRUE(destroyer.destroy(c));
    std::size_t bytes = 0;
    EXPECT_EQ(end_of(pair.client.get(), &bytes), std::strerror(ECONNABORTED));
    EXPECT_EQ(bytes, kAnswer);
}

// A process with a connection inside a network namespace of its own.
class Far {
  public:
    explicit Far(const Cgroup& cgroup)
        : child_(cgroup, [](int talk) -> std::string {
              if (unshare(CLONE_NEWNET) != 0 || !bring_up_loopback()) {
                  return "namespace";
              }
              const Pair pair("127.0.0.1");
              struct stat status {};
              stat("/proc/self/ns/net", &status);
              const sl_connection c = listed(pair.client.get());
              std::string bytes(sizeof c + sizeof status.st_ino, '\0');
              std::memcpy(bytes.data(), &c, sizeof c);
              std::memcpy(bytes.data() + sizeof c, &status.st_ino, sizeof status.st_ino);
              std::string hex;
              for (const char byte : bytes) {
                  hex += "0123456789abcdef"[(byte >> 4) & 15];
                  hex += "0123456789abcdef"[byte & 15];
              }
              write_all(talk, hex + "\n");
              read_line(talk, 60s);
              return end_of(pair.client.get());
          }) {
        const std::string hex = child_.hear();
        std::string bytes;
        for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
            bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
        }
        if (bytes.size() == sizeof connection + sizeof(ino_t)) {
            std::memcpy(&connection, bytes.data(), sizeof connection);
            ino_t number = 0;
            std::memcpy(&number, bytes.data() + sizeof connection, sizeof number);
            inode = static_cast<std::uint32_t>(number);
        }
    }
    // How the connection looks from inside; the process ends.
    std::string state() {
        child_.say("?");
        return child_.hear();
    }
    std::string ns_file() const { return "/proc/" + std::to_string(child_.pid()) + "/ns/net"; }

    sl_connection connection{};
    std::uint32_t inode = 0;

  private:
    Child child_;
};

// Gives up all but what the agent keeps, for the calling process.
void as_the_agent() {
    const cap_value_t kept[] = {CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_ADMIN};
    cap_t caps = cap_init();
    cap_set_flag(caps, CAP_PERMITTED, 4, kept, CAP_SET);
    cap_set_flag(caps, CAP_EFFECTIVE, 4, kept, CAP_SET);
    cap_set_proc(caps);
    cap_free(caps);
}

std::string destroy_text(const sl_connection& c, std::uint32_t inode) {
    SockDestroyer destroyer;
    const std::vector<NetnsName> names{{c.netns_cookie, inode}};
    const auto unreached = destroyer.reach(names);
    if (!unreached.empty()) {
        return std::to_string(unreached.begin()->second.code) + " " + unreached.begin()->second.message;
    }
    const auto ended = destroyer.destroy(c);
    return !ended ? ended.error().text() : *ended == Ended::kNow ? "ended" : "gone";
}

class SockDestroyElsewhereTest : public testing::Test {
  protected:
    SockDestroyElsewhereTest() { EXPECT_NE(far_.connection.cookie, 0u); }
    Cgroup cgroup_;
    Far far_{cgroup_};
};

TEST_F(SockDestroyElsewhereTest, ANamespaceIsFoundByItsProcesses) {
    const std::uint64_t own = option_of<std::uint64_t>(Fd(socket(AF_INET, SOCK_STREAM, 0)).get(), SO_NETNS_COOKIE);
    ASSERT_NE(far_.connection.netns_cookie, own);
    EXPECT_EQ(destroy_text(far_.connection, 0), "ended");
    EXPECT_EQ(far_.state(), std::strerror(ECONNABORTED));
    EXPECT_EQ(option_of<std::uint64_t>(Fd(socket(AF_INET, SOCK_STREAM, 0)).get(), SO_NETNS_COOKIE), own)
        << "the caller was moved";
}

TEST_F(SockDestroyElsewhereTest, AMountedNamespaceIsFoundWithTheAgentsCapabilities) {
    const Bpffs own_mounts;
    const std::string point = std::filesystem::temp_directory_path() / (unique_name() + " with a blank");
    std::ofstream(point).flush();
    ASSERT_EQ(mount(far_.ns_file().c_str(), point.c_str(), nullptr, MS_BIND, nullptr), 0) << std::strerror(errno);
    const std::string said = in_cgroup(cgroup_, [&] {
        as_the_agent();
        return destroy_text(far_.connection, 0);
    });
    umount2(point.c_str(), MNT_DETACH);
    std::filesystem::remove(point);
    EXPECT_EQ(said, "ended");
    EXPECT_EQ(far_.state(), std::strerror(ECONNABORTED));
}

TEST_F(SockDestroyElsewhereTest, WithoutANameItIsSaidWhatIsMissing) {
    const std::string said = in_cgroup(cgroup_, [&] {
        as_the_agent();
        return destroy_text(far_.connection, 0);
    });
    EXPECT_THAT(said, testing::StartsWith(std::to_string(EACCES)));
    EXPECT_THAT(said, testing::HasSubstr("CAP_SYS_PTRACE"));
    EXPECT_EQ(far_.state(), "open");
}

TEST_F(SockDestroyElsewhereTest, AFileHandleNeedsNoName) {
    const std::string said = in_cgroup(cgroup_, [&] {
        as_the_agent();
        return destroy_text(far_.connection, far_.inode);
    });
    if (said != "ended") {
        GTEST_SKIP() << "namespaces have no file handles here (Linux 6.18 has): " << said;
    }
    EXPECT_EQ(far_.state(), std::strerror(ECONNABORTED));
}

TEST_F(SockDestroyElsewhereTest, ANamespaceThatIsGoneIsNotFound) {
    sl_connection c = far_.connection;
    c.netns_cookie = ~0ull;
    EXPECT_THAT(destroy_text(c, 0), testing::HasSubstr("not found"));
    // Its cookie names nobody else once it is gone.
    far_.state();
    EXPECT_TRUE(eventually([&] { return destroy_text(far_.connection, 0).find("not found") != std::string::npos; }));
}

TEST_F(SockDestroyElsewhereTest, ManyAreFoundInOneWalk) {
    std::vector<std::unique_ptr<Far>> more;
    std::vector<NetnsName> names{{far_.connection.netns_cookie, 0}};
    for (int i = 0; i < 20; ++i) {
        more.push_back(std::make_unique<Far>(cgroup_));
        names.push_back({more.back()->connection.netns_cookie, 0});
    }
    names.push_back({~0ull, 0});
    SockDestroyer destroyer;
    const auto unreached = destroyer.reach(names);
    ASSERT_EQ(unreached.size(), 1u);
    EXPECT_EQ(unreached.begin()->first, ~0ull);
    for (const auto& far : more) {
        auto ended = destroyer.destroy(far->connection);
        EXPECT_TRUE(ended && *ended == Ended::kNow);
    }
    destroyer.release();
    auto after = destroyer.destroy(more[0]->connection);
    ASSERT_FALSE(after);
    EXPECT_EQ(after.error().code, ESRCH);
}

}  // namespace
}  // namespace sluice::test
