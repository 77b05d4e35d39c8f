// Tables written by hand: the least that the programs need to steer, so that these tests fail for the programs'
// reasons.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/ip.h"
#include "bpf/kernel.h"
#include "tests/bpf/world.h"

namespace sluice::test {

struct Target {
    std::string ip;
    std::uint16_t port = 0;
};

// Appends rows; nothing is ever reused. publish() makes what was added visible.
class Rules {
  public:
    explicit Rules(bpf::Kernel& kernel) : kernel_(&kernel), t_(kernel.tables()) {}

    // After a restart: the same rules through another Kernel.
    void rebind(bpf::Kernel& kernel) {
        kernel_ = &kernel;
        t_ = kernel.tables();
    }

    // A cluster with random choice and no limits; `shape` may change its policy. IPv4 targets come first.
    std::uint32_t cluster(
        const std::vector<Target>& targets,
        const std::function<void(sl_cluster_row&)>& shape = [](sl_cluster_row&) {}) {
        const std::uint32_t number = clusters_++;
        sl_cluster_row& row = t_.cluster_rows[number];
        row = {};
        row.cluster = number;
        row.load_balancer = SL_LB_RANDOM;
        row.endpoint_first = listed_;
        row.max_connections = SL_UNLIMITED;
        row.interval_ns = 10'000'000;
        row.base_ejection_ns = 30'000'000'000;
        row.max_ejection_ns = 300'000'000'000;
        row.max_ejection_percent = 100;
        row.in_use = 1;
        for (const Target& target : targets) {
            const std::uint32_t index = endpoints_++;
            const IpAddress address = IpAddress::parse(target.ip).value();
            sl_endpoint& endpoint = t_.endpoints[index];
            endpoint = {};
            std::memcpy(endpoint.address, address.bytes.data(), 16);
            endpoint.port = htons(target.port);
            endpoint.flags = SL_ENDPOINT_LISTED;
            endpoint.cluster = number;
            endpoint.workload = 1000 + index;
            t_.endpoint_list[listed_++] = index;
            ++row.endpoint_count;
            row.endpoint_v4_count += address.is_v4() ? 1 : 0;
        }
        shape(row);
        sl_cluster& record = t_.clusters[number];
        record.in_use = 1;
        record.slot[0] = {generation() + 1, number, 0};
        record.slot[1] = {SL_GENERATION_EMPTY, SL_NONE, 0};
        return number;
    }

    // A dialled address that goes to these clusters in equal shares; SL_NONE is a destination without a cluster.
    std::uint32_t service(const std::string& ip, std::uint16_t port, const std::vector<std::uint32_t>& clusters,
                          std::uint32_t scope = 0) {
        const std::uint32_t number = services_++;
        const std::uint32_t route = routes_++;
        t_.routes[route] = {};
        t_.routes[route].service = number;
        t_.routes[route].destination_first = destinations_;
        t_.routes[route].destination_count = static_cast<__u32>(clusters.size());
        t_.routes[route].in_use = 1;
        for (std::uint32_t i = 0; i < clusters.size(); ++i) {
            t_.destinations[destinations_++] = {clusters[i], 1, 0xffffffffu, i};
        }
        sl_service& record = t_.services[number];
        record = {};
        record.key = key(ip, port, scope);
        record.in_use = 1;
        record.slot[0] = {generation() + 1, route, 0};
        record.slot[1] = {SL_GENERATION_EMPTY, SL_NONE, 0};
        if (auto done = kernel_->services().insert(record.key, number); !done) {
            throw std::runtime_error(done.error().text());
        }
        return number;
    }

    void publish() { sl_store(&t_.control->generation, generation() + 1); }

    static sl_service_key key(const std::string& ip, std::uint16_t port, std::uint32_t scope = 0) {
        sl_service_key result{};
        const IpAddress address = IpAddress::parse(ip).value();
        std::memcpy(result.address, address.bytes.data(), 16);
        result.port = htons(port);
        result.protocol = IPPROTO_TCP;
        result.scope = scope;
        return result;
    }

    // Connections held by all endpoints; clusters and routes must agree.
    std::int64_t active() const {
        std::int64_t endpoints = 0, clusters = 0, routes = 0;
        for (std::uint32_t i = 0; i < endpoints_; ++i) {
            endpoints += static_cast<std::int32_t>(sl_load(&t_.health[i].active));
        }
        for (std::uint32_t i = 0; i < clusters_; ++i) {
            clusters += static_cast<std::int32_t>(sl_load(&t_.clusters[i].active));
        }
        for (std::uint32_t i = 0; i < routes_; ++i) {
            routes += static_cast<std::int32_t>(sl_load(&t_.routes[i].open));
        }
        return endpoints == clusters && clusters == routes ? endpoints : -1000000;
    }

    std::uint64_t picks() const {
        std::uint64_t sum = 0;
        for (std::uint32_t i = 0; i < endpoints_; ++i) {
            sum += sl_load(&t_.health[i].picks_total);
        }
        return sum;
    }

    const sl_tables& tables() const { return t_; }

  private:
    __u64 generation() const { return sl_load(&t_.control->generation); }

    bpf::Kernel* kernel_;
    sl_tables t_;
    std::uint32_t services_ = 0, routes_ = 0, destinations_ = 0, clusters_ = 0, endpoints_ = 0, listed_ = 0;
};

// A mesh in force on a cgroup of the test's own.
class MeshTest : public testing::Test {
  protected:
    static bpf::KernelOptions small(const std::string& cgroup, const std::string& bpffs) {
        return {cgroup,
                bpffs,
                {.services = 256,
                 .routes = 256,
                 .destinations = 256,
                 .clusters = 256,
                 .cluster_rows = 256,
                 .endpoint_list = 1024,
                 .endpoints = 1024,
                 .hash_entries = 256,
                 .identities = 256,
                 .flows = 256,
                 .limits = 64,
                 .clients = 64,
                 .request_slots = 16,
                 .requests = 64}};
    }
    void SetUp() override { start(); }
    void start() {
        auto opened = bpf::Kernel::open(options_);
        ASSERT_TRUE(opened) << opened.error().text();
        kernel_.emplace(std::move(*opened));
        if (!rules_) {
            rules_.emplace(*kernel_);
        }
    }
    void detach() {
        kernel_.reset();
        const auto done = bpf::Kernel::uninstall(options_);
        ASSERT_TRUE(done) << done.error().text();
    }
    std::uint64_t counted(sl_reason reason) const { return kernel_->counters().value().at(reason); }
    // Sum over all rows with this outcome.
    sl_flow flow(sl_reason reason) const {
        sl_flow sum{};
        auto read = kernel_->for_each_flow([&](const sl_flow_key& key, const sl_flow& f) {
            if (key.workload != SL_NONE && key.reason == static_cast<__u32>(reason)) {
                sum.opened += f.opened;
                sum.closed += f.closed;
                sum.sent_bytes += f.sent_bytes;
                sum.received_bytes += f.received_bytes;
                sum.retransmits += f.retransmits;
                sum.duration_ns += f.duration_ns;
                sum.srtt_us += f.srtt_us;
                sum.connect_ns += f.connect_ns;
                for (std::size_t i = 0; i < SL_LATENCY_BUCKETS; ++i) {
                    sum.connect_latency[i] += f.connect_latency[i];
                }
            }
        });
        EXPECT_TRUE(read);
        return sum;
    }
    bool released() const {
        return eventually([&] { return rules_->active() == 0; });
    }
    bool closed(std::uint64_t connections) const {
        return eventually([&] { return flow(SL_REASON_ESTABLISHED).closed == connections; });
    }

    Cgroup cgroup_;
    Bpffs bpffs_;
    bpf::KernelOptions options_ = small(cgroup_.path, bpffs_.path);
    std::optional<bpf::Kernel> kernel_;
    std::optional<Rules> rules_;
};

}  // namespace sluice::test
