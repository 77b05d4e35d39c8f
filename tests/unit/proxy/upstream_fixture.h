// Upstreams over tables in memory, with small HTTP servers on the same loop whose every octet the test decides.
#pragma once

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bpf/lib/outlier.h"
#include "proxy/upstream.h"
#include "tests/unit/compile/mesh_maker.h"
#include "tests/unit/proxy/bound_socket.h"

namespace sluice::proxy::upstream_test {

inline constexpr const char* kHello = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
inline constexpr const char* kError = "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n";
inline constexpr const char* kUnavailable = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";

// A server; tells `serve` of each request's head, on a connection of its own.
class Server final : public io::AcceptHandler {
  public:
    struct Peer final : io::StreamHandler {
        Peer(Server& of, io::Loop& loop, Fd fd) : server(of), stream(loop, std::move(fd), *this) { stream.read(true); }
        void on_data(io::Slice data) override {
            seen += data.text();
            for (std::size_t end; !raw && (end = seen.find("\r\n\r\n")) != std::string::npos;) {
                const std::string head = seen.substr(0, end + 4);
                seen.erase(0, end + 4);
                ++requests;
                ++server.requests;
                server.serve(*this, head);
            }
        }
        void on_end() override { ended = true; }
        void on_closed(int) override { closed = true; }
        void say(std::string_view text) { stream.write(text); }

        Server& server;
        io::Stream stream;
        std::string seen;  // behind the heads
        int requests = 0;
        bool raw = false, ended = false, closed = false;
    };

    explicit Server(io::Loop& loop) : loop_(loop) {
        Fd fd = bound_socket(port);
        EXPECT_EQ(listen(fd.get(), 128), 0);
        listener_.emplace(loop, std::move(fd), *this);
    }
    // Nobody listens any more; what is connected stays.
    void stop_listening() { listener_.reset(); }
    std::size_t accepted() const { return peers.size(); }
    Peer& peer(std::size_t i) { return *peers.at(i); }

    std::uint16_t port = 0;
    int requests = 0;
    std::function<void(Peer&, const std::string&)> serve = [](Peer& peer, const std::string&) { peer.say(kHello); };
    std::deque<std::unique_ptr<Peer>> peers;

  private:
    void on_accept(Fd socket) override { peers.push_back(std::make_unique<Peer>(*this, loop_, std::move(socket))); }
    void on_accept_error(int error) override { ADD_FAILURE() << strerror(error); }

    io::Loop& loop_;
    std::optional<io::Listener> listener_;
};

// One try with what became of it.
struct Call final : TryHandler {
    void begin(Upstreams& upstreams, const TryRequest& request) {
        attempt = upstreams.start(request, *this);
        if (attempt->ready()) {
            on_ready(*attempt);
        }
    }
    void on_ready(Try& t) override {
        ready = true;
        address = t.address();
        if (when_ready) {
            when_ready(t);
        } else if (!text.empty()) {
            t.write(text);
            t.request_end();
        }
    }
    void on_head(Try& t, http::ResponseHead& head) override {
        statuses.push_back(head.status);
        if (when_head) {
            when_head(t);
        }
    }
    void on_body(Try& t, io::Slice data) override {
        body += data.text();
        if (when_body) {
            when_body(t);
        }
    }
    void on_end(Try&, http::ResponseHead&) override {
        ended = true;
        ++endings;
        if (when_over) {
            when_over();
        }
    }
    void on_failed(Try&, Failure what, bool was_sent, int errno_value) override {
        failure = what;
        ++endings;
        sent = was_sent;
        error = errno_value;
        if (when_over) {
            when_over();
        }
    }
    void on_drained(Try&) override { drained = true; }
    void on_raw(Try&, io::Slice data) override { raw += data.text(); }
    void on_raw_end(Try&) override { raw_ended = true; }
    bool over() const { return ended || failure.has_value(); }

    std::string text = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    std::function<void(Try&)> when_ready, when_head, when_body;
    std::function<void()> when_over;
    std::vector<int> statuses;
    std::string body, raw, address;
    bool ready = false, ended = false, sent = false, drained = false, raw_ended = false;
    int error = 0, endings = 0;
    std::optional<Failure> failure;
    std::unique_ptr<Try> attempt;
};

// The parameter is the loop's back end.
class UpstreamTest : public testing::TestWithParam<io::Backend> {
  protected:
    UpstreamTest() {
        auto opened = io::Loop::open({.backend = GetParam()});
        if (opened) {
            loop = std::move(*opened);
        }
    }
    void SetUp() override {
        if (!loop) {
            GTEST_SKIP() << "this machine has no " << io::backend_name(GetParam());
        }
    }
    // Nothing is held once all is over.
    void TearDown() override {
        calls.clear();
        for (const ClusterPtr& cluster : clusters) {
            EXPECT_EQ(rows.clusters[cluster->number()].active, 0u);
            EXPECT_EQ(cluster->breakers(7)->pending, 0u);
            EXPECT_EQ(cluster->breakers(7)->requests, 0u);
        }
        for (std::uint64_t i = 0; i < rows.endpoint_count; ++i) {
            EXPECT_EQ(rows.health[i].active, 0u);
        }
        upstreams.reset();
        for (const ClusterPtr& cluster : clusters) {
            EXPECT_EQ(cluster->breakers(7)->connections, 0u);
        }
    }

    Server& server() { return *servers.emplace_back(std::make_unique<Server>(*loop)); }

    std::shared_ptr<model::Cluster> model(const std::vector<std::uint16_t>& ports, const std::string& name = "c") {
        std::vector<model::Endpoint> endpoints;
        for (const std::uint16_t port : ports) {
            endpoints.push_back(compile::test::endpoint("127.0.0.1", port));
        }
        std::ranges::sort(endpoints, {}, &model::Endpoint::port);
        auto result = compile::test::cluster(name, endpoints);
        result->http = result->answers = true;
        return result;
    }
    ClusterPtr publish(std::shared_ptr<model::Cluster> of) {
        const auto done =
            publisher.publish(compile::test::changed({compile::test::service(of->name, {"10.0.0.1"}, {{of, 1}})}));
        EXPECT_TRUE(done) << done.error().text();
        const Cluster* previous =
            clusters.empty() || clusters.back()->model().id != of->id ? nullptr : clusters.back().get();
        return clusters.emplace_back(std::make_shared<const Cluster>(of, publisher.cluster_number(of->id), previous));
    }
    std::uint32_t endpoint(const ClusterPtr& cluster, std::uint16_t port) {
        return publisher.endpoint_number(cluster->number(), compile::test::ip("127.0.0.1"), port);
    }
    sl_health& health(const ClusterPtr& cluster, const Server& at) { return rows.health[endpoint(cluster, at.port)]; }

    Upstreams& pools() {
        if (!upstreams) {
            upstreams = std::make_unique<Upstreams>(*loop, rows, options, sockets,
                                                    [this](const sl_event& event) { events.push_back(event); });
        }
        return *upstreams;
    }
    TryRequest request(const ClusterPtr& cluster) { return {.cluster = &cluster, .client = 7}; }

    // Starts a call and leaves it to the loop.
    Call& begin(const TryRequest& what, const std::function<void(Call&)>& prepare = {}) {
        Call& call = *calls.emplace_back(std::make_unique<Call>());
        if (prepare) {
            prepare(call);
        }
        call.begin(pools(), what);
        return call;
    }
    Call& begin(const ClusterPtr& cluster, const std::function<void(Call&)>& prepare = {}) {
        return begin(request(cluster), prepare);
    }
    // A call to its end.
    Call& call(const TryRequest& what, const std::function<void(Call&)>& prepare = {}) {
        Call& made = begin(what, prepare);
        until([&] { return made.over(); });
        return made;
    }
    Call& call(const ClusterPtr& cluster, const std::function<void(Call&)>& prepare = {}) {
        return call(request(cluster), prepare);
    }

    // Runs the loop until the condition holds, at most ten seconds.
    void until(const std::function<bool()>& condition) {
        bool late = false, done = false;
        if (condition()) {
            return;
        }
        loop->set_turn([&](bool) {
            if (!done && condition()) {
                done = true;
                loop->stop();
            }
        });
        Deadline deadline{*loop, late};
        deadline.timer.start(std::chrono::seconds(10));
        loop->run();
        loop->set_turn([](bool) {});
        ASSERT_FALSE(late) << "it did not happen in time";
    }
    void pass(std::chrono::milliseconds time) {
        const std::uint64_t end = loop->now_ns() + static_cast<std::uint64_t>(time.count()) * 1'000'000;
        Ticker ticker{*loop};
        ticker.timer.start(std::chrono::milliseconds(1));
        until([&] { return loop->now_ns() >= end; });
    }

    struct Deadline {
        io::Loop& loop;
        bool& late;
        io::Timer timer{loop, *this, +[](Deadline& d) {
                            d.late = true;
                            d.loop.stop();
                        }};
    };
    struct Ticker {
        io::Loop& loop;
        io::Timer timer{loop, *this, +[](Ticker& t) { t.timer.start(std::chrono::milliseconds(1)); }};
    };

    std::unique_ptr<io::Loop> loop;
    compile::HeapTables tables{{.services = 8,
                                .routes = 16,
                                .destinations = 32,
                                .clusters = 8,
                                .cluster_rows = 16,
                                .endpoint_list = 64,
                                .endpoints = 24,
                                .hash_entries = 8192,
                                .identities = 8}};
    sl_tables rows = tables.tables();
    compile::Publisher publisher{rows, tables.identities(), tables.services(), tables.clients(), [] {}};
    std::deque<ClusterPtr> clusters;
    Upstreams::Options options;
    Upstreams::Sockets sockets;
    std::vector<sl_event> events;
    std::unique_ptr<Upstreams> upstreams;
    std::deque<std::unique_ptr<Server>> servers;
    std::deque<std::unique_ptr<Call>> calls;
};

inline std::string backend_of(const testing::TestParamInfo<io::Backend>& info) {
    return io::backend_name(info.param);
}
#define ON_BOTH_BACK_ENDS(suite) \
    INSTANTIATE_TEST_SUITE_P(Loops, suite, testing::Values(io::Backend::kEpoll, io::Backend::kIoUring), backend_of)

}  // namespace sluice::proxy::upstream_test
