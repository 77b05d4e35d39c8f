// Bytes are counted exactly, whoever ends the connection and how.
#include "tests/bpf/rules.h"
#include "tests/bpf/world.h"

namespace sluice::test {
namespace {

enum class End { kClientFirst, kServerFirst, kClientReset, kServerReset, kHalfClose };

struct BytesCase {
    const char* name;
    End end;
    std::size_t sent;
    std::size_t received;
};

class Bytes : public MeshTest, public testing::WithParamInterface<BytesCase> {};

void move(int from, int to, std::size_t bytes) {
    std::thread reader([=] {
        std::vector<char> buffer(65536);
        std::size_t left = bytes;
        while (left > 0) {
            const ssize_t n = read(to, buffer.data(), std::min(left, buffer.size()));
            if (n <= 0) {
                return;
            }
            left -= static_cast<std::size_t>(n);
        }
    });
    write_all(from, std::string(bytes, 'x'));
    reader.join();
}

void reset(int fd) {
    const linger now{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

TEST_P(Bytes, AreExact) {
    const BytesCase& c = GetParam();
    std::uint16_t port = 0;
    Fd listener = listen_on("127.0.0.1", port);
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", port}})});
    rules_->publish();
    // Both ends in the child, so that the order is exact.
    EXPECT_EQ("done", in_cgroup(cgroup_, [&]() -> std::string {
                  Fd client(dial("127.10.0.1", 80));
                  Fd server(accept(listener.get(), nullptr, nullptr));
                  char eof = 0;
                  move(client.get(), server.get(), c.sent);
                  move(server.get(), client.get(), c.received);
                  const auto acknowledged = [](int fd) {
                      tcp_info info{};
                      socklen_t size = sizeof info;
                      return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked == 0;
                  };
                  if (!eventually([&] { return acknowledged(client.get()) && acknowledged(server.get()); })) {
                      return "unacknowledged";
                  }
                  switch (c.end) {
                      case End::kClientFirst:
                          client.reset();
                          return read(server.get(), &eof, 1) == 0 ? "done" : "eof";
                      case End::kServerFirst:
                          server.reset();
                          return read(client.get(), &eof, 1) == 0 ? "done" : "eof";
                      case End::kClientReset:
                          reset(client.get());
                          client.reset();
                          return "done";
                      case End::kServerReset:
                          reset(server.get());
                          server.reset();
                          return read(client.get(), &eof, 1) == -1 && errno == ECONNRESET ? "done" : "no reset";
                      case End::kHalfClose:
                          shutdown(client.get(), SHUT_WR);
                          if (read(server.get(), &eof, 1) != 0) {
                              return "eof";
                          }
                          server.reset();
                          return read(client.get(), &eof, 1) == 0 ? "done" : "eof";
                  }
                  return "?";
              }));
    EXPECT_TRUE(closed(1));
    const sl_flow f = flow(SL_REASON_ESTABLISHED);
    EXPECT_EQ(c.sent, f.sent_bytes);
    EXPECT_EQ(c.received, f.received_bytes);
    EXPECT_GT(f.duration_ns, 0u);
    EXPECT_GT(f.connect_ns, 0u);
    std::uint64_t connects = 0;
    for (const std::uint64_t bucket : f.connect_latency) {
        connects += bucket;
    }
    EXPECT_EQ(1u, connects);
    EXPECT_TRUE(released());
}

INSTANTIATE_TEST_SUITE_P(All, Bytes,
                         testing::Values(BytesCase{"ClientFirst", End::kClientFirst, 1000, 30000},
                                         BytesCase{"ClientFirstNothing", End::kClientFirst, 0, 0},
                                         BytesCase{"ClientFirstBulk", End::kClientFirst, 5000000, 3000000},
                                         BytesCase{"ServerFirst", End::kServerFirst, 1000, 30000},
                                         BytesCase{"ServerFirstNothing", End::kServerFirst, 0, 0},
                                         BytesCase{"ClientReset", End::kClientReset, 1000, 30000},
                                         BytesCase{"ServerReset", End::kServerReset, 1000, 30000},
                                         BytesCase{"HalfClose", End::kHalfClose, 777, 888}),
                         [](const auto& tried) { return tried.param.name; });

using OpenConnections = MeshTest;

TEST_F(OpenConnections, ReportTheirBytesWhileTheyAreOpenAndNeverTwice) {
    Server server("v1", "127.0.0.1");
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", server.port}})});
    rules_->publish();
    Child child(cgroup_, [](int talk) -> std::string {
        const Fd fd(dial("127.10.0.1", 80));
        for (int i = 0; i < 2; ++i) {
            write_all(fd.get(), "0123456789\n");
            read_line(fd.get());
            write_all(talk, "asked\n");
            read_line(talk);
        }
        return "end";
    });
    for (int i = 1; i <= 2; ++i) {
        ASSERT_EQ("asked", child.hear());
        EXPECT_TRUE(eventually([&] {
            EXPECT_TRUE(kernel_->report_open_connections());
            return flow(SL_REASON_ESTABLISHED).sent_bytes == 11u * static_cast<unsigned>(i);
        }));
        EXPECT_EQ(0u, flow(SL_REASON_ESTABLISHED).closed);
        child.say("on");
    }
    ASSERT_EQ("end", child.hear());
    EXPECT_TRUE(closed(1));
    EXPECT_TRUE(kernel_->report_open_connections());
    EXPECT_EQ(22u, flow(SL_REASON_ESTABLISHED).sent_bytes);
    EXPECT_EQ(28u, flow(SL_REASON_ESTABLISHED).received_bytes);
}

}  // namespace
}  // namespace sluice::test
