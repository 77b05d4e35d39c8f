// What the sockets of connections to endpoints are told.
#include <netinet/tcp.h>

#include "upstream_fixture.h"

namespace sluice::proxy::upstream_test {
namespace {

using UpstreamSocket = UpstreamTest;
ON_BOTH_BACK_ENDS(UpstreamSocket);

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof(value);
    EXPECT_EQ(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

TEST_P(UpstreamSocket, HasTheKeepaliveOfItsCluster) {
    int made = -1;  // the upstreams' own
    sockets = [&](std::uint32_t, int family) -> Result<Fd> {
        Fd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        made = fd.get();
        return fd;
    };
    Server& s = server();
    call(publish(model({s.port}, "without")));
    EXPECT_EQ(option(made, SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_EQ(option(made, IPPROTO_TCP, TCP_NODELAY), 1);

    auto of = model({s.port}, "all");
    of->keepalive = config::TcpKeepalive{3, std::chrono::seconds(60), std::chrono::milliseconds(1500)};
    call(publish(of));
    EXPECT_EQ(option(made, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option(made, IPPROTO_TCP, TCP_KEEPCNT), 3);
    EXPECT_EQ(option(made, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    EXPECT_EQ(option(made, IPPROTO_TCP, TCP_KEEPINTVL), 2) << "whole seconds, rounded up";

    // What is not given is the system's.
    const Fd plain(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto some = model({s.port}, "some");
    some->keepalive = config::TcpKeepalive{};
    call(publish(some));
    EXPECT_EQ(option(made, SOL_SOCKET, SO_KEEPALIVE), 1);
    for (const int name : {TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL}) {
        EXPECT_EQ(option(made, IPPROTO_TCP, name), option(plain.get(), IPPROTO_TCP, name)) << name;
    }
}

}  // namespace
}  // namespace sluice::proxy::upstream_test
