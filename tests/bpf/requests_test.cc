// Every request of a watched connection is counted once, by its status and by how it ended; what cannot be followed is
// counted under its reason, and never as a request.
#include "tests/bpf/http.h"

namespace sluice::test {
namespace {

using Requests = HttpTest;

TEST_F(Requests, OfAKeepAliveConnectionAreCountedByStatus) {
    const std::uint32_t cluster = serve();
    EXPECT_EQ("done", with_pair([](Pair& p) {
                  for (const int status : {200, 404, 200, 503, 200}) {
                      if (!p.ask(get()) || !p.answer(answer_of(status, 10))) {
                          return false;
                      }
                  }
                  return true;
              }));
    EXPECT_EQ("200x3 404x1 503x1", counts());
    const sl_request_counts row = rows().at({cluster, 200, 0});
    EXPECT_EQ(3 * get().size(), row.request_bytes);
    EXPECT_EQ(3 * answer_of(200, 10).size(), row.response_bytes);
    EXPECT_GT(row.first_byte_ns, 0u);
    EXPECT_LE(row.first_byte_ns, row.duration_ns);
    // All within 10 s of each other and within 5 KB: every histogram holds every request.
    for (const auto* histogram : {row.duration, row.first_byte, row.request_size, row.response_size}) {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < SL_HISTOGRAM_BUCKETS; ++i) {
            sum += histogram[i];
        }
        EXPECT_EQ(3u, sum);
    }
    EXPECT_EQ(3u, row.request_size[6]);  // 50 < 63 <= 100
}

TEST_F(Requests, TakeAsLongAsTheyTake) {
    const std::uint32_t cluster = serve();
    EXPECT_EQ("done", with_pair([](Pair& p) {
                  if (!p.ask(get())) {
                      return false;
                  }
                  std::this_thread::sleep_for(30ms);  // what is measured
                  if (!p.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")) {
                      return false;
                  }
                  std::this_thread::sleep_for(120ms);  // and this
                  return p.answer("ok");
              }));
    const sl_request_counts row = rows().at({cluster, 200, 0});
    EXPECT_GE(row.first_byte_ns, 30'000'000u);
    EXPECT_GE(row.duration_ns, row.first_byte_ns + 120'000'000u);
    EXPECT_EQ(0u, row.duration[0] + row.duration[1] + row.duration[2] + row.duration[3] + row.duration[4]);
}

struct Framing {
    const char* name;
    std::string request;
    std::string answer;
    const char* counted;
    bool close = false;  // the server ends the connection
};

class Framings : public HttpTest, public testing::WithParamInterface<Framing> {};

TEST_P(Framings, AreFollowedWholeAndOctetByOctet) {
    serve();
    const Framing& f = GetParam();
    for (const bool slowly : {false, true}) {
        EXPECT_EQ("done", with_pair([&](Pair& p) {
                      const bool asked = slowly ? p.ask_slowly(f.request) : p.ask(f.request);
                      const bool answered = slowly ? p.answer_slowly(f.answer) : p.answer(f.answer);
                      if (f.close) {
                          p.server.reset();
                          char end = 0;
                          return asked && answered && read(p.client.get(), &end, 1) == 0;
                      }
                      // The next one shows that the end was found.
                      return asked && answered && p.ask(get()) && p.answer(answer_of(418, 3));
                  }));
    }
    EXPECT_EQ(f.counted, counts());
}

INSTANTIATE_TEST_SUITE_P(
    All, Framings,
    testing::Values(
        Framing{"ContentLength", get(), answer_of(200, 700), "200x2 418x2"},
        Framing{"NoBody", get(), answer_of(200, 0), "200x2 418x2"},
        Framing{"Chunked", get(),
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1b\r\nHTTP/1.1 500 Not a status\r\n"
                "\r\n0\r\n\r\n",
                "200x2 418x2"},
        Framing{"UntilClose", get(), "HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 500 Not a status\r\n\r\n", "200x2", true},
        Framing{"CloseAfterLength", get(), answer_of(500, 9), "500x2", true},
        Framing{"Head", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
                "200x2 418x2"},
        Framing{"NoContent", get(), "HTTP/1.1 204 No Content\r\n\r\n", "204x2 418x2"},
        Framing{"NotModified", get(), "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n", "304x2 418x2"},
        Framing{"Continue", post("Content-Length: 4\r\nExpect: 100-continue\r\n", "body"),
                "HTTP/1.1 100 Continue\r\n\r\n" + answer_of(201, 5), "201x2 418x2"},
        Framing{"PostedChunks", post("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"), answer_of(200, 5),
                "200x2 418x2"}),
    [](const auto& tried) { return tried.param.name; });

struct Stranger {
    const char* name;
    std::string request;
    std::string answer;
    const char* counted;
};

class Unobserved : public HttpTest, public testing::WithParamInterface<Stranger> {};

TEST_P(Unobserved, PassesAndIsCountedOnceUnderItsReason) {
    const std::uint32_t cluster = serve([](sl_cluster_row& row) {
        row.flags |= SL_CLUSTER_OUTLIER;
        row.consecutive_5xx = 1;
    });
    const Stranger& s = GetParam();
    EXPECT_EQ("done", with_pair([&](Pair& p) {
                  return (s.request.empty() || p.ask(s.request)) && p.answer(s.answer) && p.ask(get()) &&
                         p.answer(answer_of(500, 5));
              }));
    EXPECT_EQ(s.counted, counts());
    EXPECT_EQ(0u, rules_->tables().clusters[cluster].ejected);
}

INSTANTIATE_TEST_SUITE_P(
    All, Unobserved,
    testing::Values(
        Stranger{"Http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", std::string("\0\0\0\4\0\0\0\0\0", 9), "0/http2x1"},
        Stranger{"Tls", "\x16\x03\x01\x02", "\x16\x03\x03\x02", "0/tlsx1"},
        Stranger{"Binary", "\x01\x02\x03\x04", "abc", "0/not_httpx1"},
        Stranger{"ServerFirst", "", "220 hello\r\n", "0/unaskedx1"},
        Stranger{"Pipelined", get() + get(), answer_of(200, 1) + answer_of(500, 1), "0/pipelinedx1"},
        Stranger{"PipelinedApart", get() + get("/2"), answer_of(500, 1), "0/pipelinedx1"},
        Stranger{"WebSocket", "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                 "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
                 "0/upgradedx1 101x1"},
        Stranger{"Connect", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
                 "0/upgradedx1 200x1"},
        Stranger{"TwoAnswers", get(), answer_of(200, 1) + answer_of(500, 1), "0/unaskedx1 200x1"},
        Stranger{"BadAnswer", get(), "HTTP/1.1 500 X\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
                 "0/malformedx1"},
        Stranger{"HugeHead", "GET / HTTP/1.1\r\nX: " + std::string(70000, 'x') + "\r\n\r\n", answer_of(500, 1),
                 "0/head_too_largex1"}),
    [](const auto& tried) { return tried.param.name; });

TEST_F(Requests, ThatAreBigAreFollowed) {
    const std::uint32_t cluster = serve();
    const std::string body(3'000'000, 'b');
    const std::string asked = post("Content-Length: 3000000\r\n", body);
    const std::string answered =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2DC6C0\r\n" + body + "\r\n0\r\n\r\n";
    EXPECT_EQ("done", with_pair([&](Pair& p) {
                  for (int i = 0; i < 5; ++i) {
                      if (!p.ask(asked) || !p.answer(answered)) {
                          return false;
                      }
                  }
                  return true;
              }));
    ASSERT_EQ("200x5", counts());
    EXPECT_EQ(5 * asked.size(), rows().at({cluster, 200, 0}).request_bytes);
    EXPECT_EQ(5 * answered.size(), rows().at({cluster, 200, 0}).response_bytes);
}

TEST_F(Requests, OverIPv6AndMappedAddressesAreCounted) {
    std::uint16_t port = 0;
    Fd v6 = listen_on("::1", port);
    const auto http = [](sl_cluster_row& row) { row.flags = SL_CLUSTER_HTTP; };
    rules_->service("fd00::1", 80, {rules_->cluster({{"::1", port}}, http)});
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", port_}}, http)});
    rules_->publish();
    const auto one = [&](const char* to, const Fd& listener) {
        return in_cgroup(cgroup_, [&]() -> std::string {
            Pair p;
            p.client = Fd(dial(to, 80));
            p.server = Fd(accept(listener.get(), nullptr, nullptr));
            return p.ask(get()) && p.answer(answer_of(200, 5)) ? "done" : "failed";
        });
    };
    EXPECT_EQ("done", one("fd00::1", v6));
    EXPECT_EQ("done", one("::ffff:127.10.0.1", listener_));
    EXPECT_EQ("200x2", counts());
}

// One connection's end: every tenth answer is a 503.
void answer_all(int fd) {
    char buffer[4096];
    for (int n = 0; read(fd, buffer, sizeof buffer) > 0; ++n) {
        write_all(fd, answer_of(n % 10 == 9 ? 503 : 200, 10));
    }
    close(fd);
}

TEST_F(Requests, OfManyClientsAtOnceAreCountedExactly) {
    constexpr int kClients = 8, kConnections = 5, kRequests = 100;
    serve();
    EXPECT_EQ("0 bad", in_cgroup(cgroup_, [&]() -> std::string {
                  std::vector<std::thread> threads;
                  std::atomic<int> bad = 0;
                  for (int i = 0; i < kClients; ++i) {
                      threads.emplace_back([&] {
                          for (int c = 0; c < kConnections; ++c) {
                              const Fd fd(dial("127.10.0.1", 80));
                              for (int n = 0; n < kRequests; ++n) {
                                  char buffer[4096];
                                  bad += !write_all(fd.get(), get()) || read(fd.get(), buffer, sizeof buffer) <= 0;
                              }
                          }
                      });
                  }
                  for (int i = 0; i < kClients * kConnections; ++i) {
                      threads.emplace_back(answer_all, accept(listener_.get(), nullptr, nullptr));
                  }
                  for (auto& thread : threads) {
                      thread.join();
                  }
                  return std::to_string(bad) + " bad";
              }));
    EXPECT_EQ("200x3600 503x400", counts());
}

TEST_F(Requests, WithoutRoomAreCountedInTheOverflowRow) {
    serve();
    // 16 slots and 64 rows (fewer as the kernel allots them by CPU): more statuses than that.
    EXPECT_EQ("done", with_pair([](Pair& p) {
                  for (int status = 200; status < 400; ++status) {
                      if (status != 204 && status != 304 && (!p.ask(get()) || !p.answer(answer_of(status, 1)))) {
                          return false;
                      }
                  }
                  return true;
              }));
    std::uint64_t all = 0, overflow = 0;
    EXPECT_TRUE(kernel_->for_each_request([&](const sl_request_key& key, const sl_request_counts& counts) {
        all += counts.requests;
        overflow += key.workload == SL_NONE ? counts.requests : 0;
    }));
    EXPECT_EQ(198u, all);
    EXPECT_GT(overflow, 100u);
    EXPECT_EQ(overflow, counted(SL_REASON_REQUESTS_FULL));
}

TEST_F(Requests, AreSampledWhileSomebodyWatches) {
    const std::uint32_t cluster = serve();
    std::vector<sl_sample> seen;
    const auto one = [&] {
        EXPECT_EQ("done", with_pair([](Pair& p) { return p.ask(get()) && p.answer(answer_of(404, 10)); }));
        EXPECT_TRUE(kernel_->poll_samples([&](const sl_sample& sample) { seen.push_back(sample); }));
    };
    one();
    EXPECT_TRUE(seen.empty());
    sl_store(&rules_->tables().control->sample_until_ns, ~__u64{0});
    one();
    ASSERT_EQ(1u, seen.size());
    EXPECT_EQ(404, seen[0].status);
    EXPECT_EQ(SL_METHOD_GET, seen[0].method);
    EXPECT_EQ(SL_REASON_NONE, seen[0].reason);
    EXPECT_EQ(cluster, seen[0].cluster);
    EXPECT_EQ(1000u, seen[0].destination_workload);
    EXPECT_EQ(get().size(), seen[0].request_bytes);
    EXPECT_EQ(answer_of(404, 10).size(), seen[0].response_bytes);
    EXPECT_NE(0u, seen[0].cookie);
}

TEST_F(Requests, EjectByTheFinalHeadAndOnlyAnAnswerEndsTheRun) {
    serve([](sl_cluster_row& row) {
        row.flags |= SL_CLUSTER_OUTLIER;
        row.consecutive_5xx = 3;
    });
    const auto ask = [&](int status) {
        EXPECT_EQ("done", with_pair([&](Pair& p) { return p.ask(get()) && p.answer(answer_of(status, 4)); }));
    };
    ask(500);
    ask(500);
    EXPECT_EQ(2u, rules_->tables().health[0].consecutive_5xx) << "a new connection is no success";
    ask(404);
    EXPECT_EQ(0u, rules_->tables().health[0].consecutive_5xx);
    ask(500);
    ask(502);
    EXPECT_EQ(0u, rules_->tables().health[0].ejected_until);
    EXPECT_EQ("done", with_pair([&](Pair& p) {
                  return p.ask(get()) && p.answer("HTTP/1.1 503 Bad\r\nContent-Length: 5\r\n\r\n");
              }));
    EXPECT_NE(0u, rules_->tables().health[0].ejected_until) << "the body is not waited for";
    const auto seen = events();
    ASSERT_EQ(1u, seen.size());
    EXPECT_EQ(static_cast<__u32>(SL_EVENT_EJECTED), seen[0].kind);
}

TEST_F(Requests, AreNotLookedAtOnOtherPortsOrWhenObservingIsOff) {
    rules_->service("127.10.0.1", 80, {rules_->cluster({{"127.0.0.1", port_}})});
    rules_->publish();
    const auto one = [&] { return with_pair([](Pair& p) { return p.ask(get()) && p.answer(answer_of(200, 10)); }); };
    EXPECT_EQ("done", one());
    EXPECT_EQ("", counts());
    serve();
    options_.observe = false;
    kernel_.reset();
    start();
    rules_->rebind(*kernel_);
    EXPECT_EQ("done", one());
    EXPECT_EQ("", counts());
    options_.observe = true;
    kernel_.reset();
    start();
    rules_->rebind(*kernel_);
    EXPECT_EQ("done", one());
    EXPECT_EQ("200x1", counts());
}

TEST_F(Requests, AreCountedOnAcrossARestartOfTheAgent) {
    serve();
    Child child(cgroup_, [&](int talk) -> std::string {
        kernel_.reset();  // its copy of the lock
        Pair p = connect();
        const bool before = p.ask(get()) && p.answer(answer_of(200, 5)) && p.ask(get());
        write_all(talk, "asked\n");
        read_line(talk);
        const bool after = p.answer(answer_of(201, 5)) && p.ask(get()) && p.answer(answer_of(202, 5));
        write_all(talk, before && after ? "done\n" : "failed\n");
        read_line(talk);
        return "end";
    });
    ASSERT_EQ("asked", child.hear());
    kernel_.reset();
    start();
    rules_->rebind(*kernel_);
    child.say("on");
    EXPECT_EQ("done", child.hear());
    EXPECT_EQ("200x1 201x1 202x1", counts());
    const auto open = connections();
    ASSERT_EQ(1u, open.size());
    EXPECT_EQ(3u, open[0].requests);
    EXPECT_EQ(SL_REASON_NONE, static_cast<int>(open[0].watched));
    child.say("on");
}

}  // namespace
}  // namespace sluice::test
