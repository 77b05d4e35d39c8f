// A real proxy on 127.0.0.1 over tables in memory, with rules made by hand, and what it recorded.
#pragma once

#include <condition_variable>
#include <memory>
#include <vector>

#include "compile/heap_tables.h"
#include "engine_peer.h"
#include "proxy/proxy.h"
#include "routes.h"

namespace sluice::proxy::engine {

using test::Service;

// What was told of one request, or one try.
struct Seen {
    int status = 0;
    std::string flags, details, response_field;
    std::uint32_t attempts = 0;
    bool mirror = false;
    std::uint64_t duration_ms = 0, received_body = 0, sent_body = 0, request_bytes = 0, response_bytes = 0;
    std::string upstream;
};

// All that the workers' recorders were told.
class Book {
  public:
    std::unique_ptr<Recorder> recorder();
    // The request that ended as number `i`, from 0; waits for it.
    Seen request(std::size_t i = 0) { return wait(requests_, i); }
    Seen tried(std::size_t i = 0) { return wait(tries_, i); }
    std::string refused(std::size_t i = 0) { return wait(refused_, i); }
    std::string skipped(std::size_t i = 0) { return wait(skipped_, i); }
    std::size_t tries() const {
        const std::lock_guard lock(mutex_);
        return tries_.size();
    }
    std::size_t skips() const {
        const std::lock_guard lock(mutex_);
        return skipped_.size();
    }

  private:
    class Writer;
    template <typename T>
    T wait(const std::vector<T>& list, std::size_t i) {
        std::unique_lock lock(mutex_);
        const bool there = changed_.wait_for(lock, 10s, [&] { return list.size() > i; });
        EXPECT_TRUE(there) << "only " << list.size();
        return there ? list[i] : T{};
    }
    template <typename T>
    void add(std::vector<T>& list, T value) {
        const std::lock_guard lock(mutex_);
        list.push_back(std::move(value));
        changed_.notify_all();
    }
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Seen> requests_, tries_;
    std::vector<std::string> refused_, skipped_;
};

class Book::Writer final : public Recorder {
  public:
    explicit Writer(Book& book) : book_(book) {}
    void finished(const Record& record) override {
        Seen seen;
        seen.status = record.status;
        seen.details = record.details;
        seen.attempts = record.attempts;
        seen.duration_ms = (record.ended_ns - record.started_ns) / 1'000'000;
        seen.received_body = record.received_body;
        seen.sent_body = record.sent_body;
        seen.request_bytes = record.request_bytes;
        seen.response_bytes = record.response_bytes;
        seen.upstream = record.upstream_address;
        if (record.response != nullptr && record.response->find("x-who") != nullptr) {
            seen.response_field = *record.response->find("x-who");
        }
        write_flags(record.flags, seen.flags);
        book_.add(book_.requests_, std::move(seen));
    }
    void tried(const TryRecord& record) override {
        Seen seen;
        seen.status = record.status;
        seen.mirror = record.mirror;
        write_flags(record.flags, seen.flags);
        book_.add(book_.tries_, std::move(seen));
    }
    void mirror_skipped(const VirtualHost&, const Cluster*, const char* why) override {
        book_.add(book_.skipped_, std::string(why));
    }
    void refused(const VirtualHost*, const char* why) override { book_.add(book_.refused_, std::string(why)); }

  private:
    Book& book_;
};

inline std::unique_ptr<Recorder> Book::recorder() {
    return std::make_unique<Writer>(*this);
}

// An endpoint of a subset of the service.
inline void serve(Service& service, const std::string& subset, std::uint16_t port) {
    auto workload = std::make_shared<model::Workload>();
    workload->name = subset;
    workload->id = Identity::of("workload/" + subset);
    auto& endpoints = service.cluster(subset)->endpoints;
    endpoints.push_back({*IpAddress::parse("127.0.0.1"), port, true, workload});
    std::ranges::sort(endpoints, {}, &model::Endpoint::port);
}

class Engine {
  public:
    // Recorders other than the book's, over the tables of the publisher.
    using MakeRecorder = std::function<std::unique_ptr<Recorder>(const sl_tables& tables)>;
    explicit Engine(Service& service, io::Backend backend = io::Backend::kAuto, Limits limits = {},
                    std::uint32_t workers = 1, bool recorded = true, const MakeRecorder& recorder = {})
        : publisher_(heap_.tables(), heap_.identities(), heap_.services(), heap_.clients(), [this] {
              if (proxy_ != nullptr) {
                  proxy_->quiesce();
              }
          }) {
        Options options;
        options.workers = workers;
        options.backend = backend;
        options.limits = limits;
        if (recorded) {
            options.recorder = [this](std::uint32_t) { return book.recorder(); };
        }
        if (recorder) {
            options.recorder = [this, &recorder](std::uint32_t) { return recorder(publisher_.tables()); };
        }
        auto started = Proxy::start(std::move(options), publisher_.tables());
        EXPECT_TRUE(started.has_value()) << started.error().text();
        proxy_ = std::move(*started);
        publish(service);
        listen(workers);
    }

    // The service as it is now becomes the rules in force.
    void publish(Service& service) {
        auto port = std::make_shared<model::ServicePort>(*service.port());
        auto route = std::make_shared<model::Route>(*port->route);
        route->no_fallback = "rules by request";
        port->route = route;
        if (port->addresses.empty()) {
            port->addresses.push_back(*IpAddress::parse("10.0.0.1"));
        }
        model::Delta delta;
        delta.changed.push_back(port);
        const auto generation = publisher_.publish(delta);
        EXPECT_TRUE(generation.has_value()) << generation.error().text();
        auto table =
            Table::build(table_.get(), test::listed({port}),
                         {[this](const Identity& id) { return publisher_.cluster_number(id); },
                          [this](const model::ServicePortKey& key) { return publisher_.service_number(key); }});
        EXPECT_TRUE(table.has_value()) << table.error().text();
        table_ = *table;
        proxy_->publish(table_);
    }
    void reclaim() { publisher_.reclaim(); }
    Peer dial() const { return Peer::dial(port_); }
    // One request on a connection of its own.
    Message ask(const std::string& request) const {
        Peer peer = dial();
        peer.send(request);
        return peer.read(request.starts_with("HEAD")).value_or(Message{});
    }
    Message get(const std::string& path = "/", const std::string& fields = "") const {
        return ask("GET " + path + " HTTP/1.1\r\nhost: ranker.ml\r\n" + fields + "\r\n");
    }
    Proxy& proxy() { return *proxy_; }
    std::uint16_t port() const { return port_; }
    void stop() { proxy_.reset(); }
    // Requests under way that an endpoint of the subset holds.
    std::uint32_t active() {
        std::uint32_t sum = 0;
        const sl_tables tables = heap_.tables();
        for (std::uint64_t i = 0; i < tables.endpoint_count; ++i) {
            sum += __atomic_load_n(&tables.health[i].active, __ATOMIC_RELAXED);
        }
        return sum;
    }

    Book book;

  private:
    void listen(std::uint32_t workers) {
        ListenerOptions listener;
        listener.name = "test";
        listener.dialled.host = "ranker.ml.svc.cluster.local";
        listener.dialled.port = 8080;
        listener.dialled.client = std::make_shared<const Client>(test::client_in("ml"));
        for (std::uint32_t i = 0; i < workers; ++i) {
            Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            const int on = 1;
            ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
            sockaddr_in at{};
            at.sin_family = AF_INET;
            at.sin_port = htons(port_);
            at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            socklen_t length = sizeof(at);
            EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
            EXPECT_EQ(::listen(socket.get(), 256), 0);
            ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &length);
            port_ = ntohs(at.sin_port);
            listener.sockets.push_back(std::move(socket));
        }
        const auto listening = proxy_->listen(std::move(listener));
        EXPECT_TRUE(listening.has_value()) << listening.error().text();
    }

    compile::HeapTables heap_;
    compile::Publisher publisher_;
    TablePtr table_;
    std::uint16_t port_ = 0;
    std::unique_ptr<Proxy> proxy_;
};

// Every behaviour holds on both back ends.
class OnBoth : public testing::TestWithParam<io::Backend> {
  protected:
    void SetUp() override {
        io::LoopOptions options;
        options.backend = GetParam();
        if (const auto loop = io::Loop::open(options); !loop) {
            GTEST_SKIP() << loop.error().text();
        }
    }
};
#define ON_BOTH(suite)                                                                               \
    INSTANTIATE_TEST_SUITE_P(Io, suite, testing::Values(io::Backend::kEpoll, io::Backend::kIoUring), \
                             [](const auto& each) { return std::string(io::backend_name(each.param)); })

}  // namespace sluice::proxy::engine
