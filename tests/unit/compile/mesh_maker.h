// Model values made by hand, and decisions asked as a program asks them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bpf/lib/decide.h"
#include "compile/heap_tables.h"

namespace sluice::compile::test {

inline IpAddress ip(const std::string& text) {
    return *IpAddress::parse(text);
}

inline model::WorkloadPtr workload(const std::string& name) {
    auto result = std::make_shared<model::Workload>();
    result->name = name;
    result->ns = "default";
    result->id = Identity::of("workload/" + name);
    return result;
}

inline model::Endpoint endpoint(const std::string& address, std::uint16_t port = 80, bool accepts_new = true,
                                const std::string& who = "w") {
    return {ip(address), port, accepts_new, workload(who)};
}

inline std::shared_ptr<model::Cluster> cluster(const std::string& name, std::vector<model::Endpoint> endpoints) {
    auto result = std::make_shared<model::Cluster>();
    result->name = name;
    result->id = Identity::of("cluster/" + name);
    result->endpoints = std::move(endpoints);
    return result;
}

inline std::shared_ptr<model::ServicePort> service(
    const std::string& host, const std::vector<std::string>& addresses,
    const std::vector<std::pair<model::ClusterPtr, std::uint32_t>>& destinations, const std::string& scope = "") {
    auto route = std::make_shared<model::Route>();
    for (const auto& [to, weight] : destinations) {
        route->destinations.push_back({to, weight, to ? to->name : "missing"});
    }
    auto result = std::make_shared<model::ServicePort>();
    result->scope = scope;
    result->host = host;
    result->port = 8080;
    for (const std::string& address : addresses) {
        result->addresses.push_back(ip(address));
    }
    result->route = std::move(route);
    return result;
}

inline model::Delta changed(std::vector<model::ServicePortPtr> ports) {
    model::Delta delta;
    delta.changed = std::move(ports);
    return delta;
}

inline model::Delta removed(const std::string& host, const std::string& scope = "") {
    model::Delta delta;
    delta.removed.push_back({scope, host, 8080});
    return delta;
}

// Decisions over the tables of one HeapTables. One thread each.
class Decider {
  public:
    explicit Decider(HeapTables& tables, std::uint64_t seed = 1) : tables_(tables), t_(tables.tables()), seeds_{seed} {}

    sl_choice service(std::uint32_t number, std::uint64_t now_ns = 1) {
        sl_ask ask{};
        ask.reach = SL_REACH_V4 | SL_REACH_V6;
        ask.now_ns = now_ns;
        ask.random.state = sl_random_next(&seeds_);
        sl_choice choice{};
        if (sl_choose_cluster(&t_, number, &ask, &choice) == SL_REASON_NONE && choice.route != SL_NONE) {
            sl_choose_endpoint(&t_, &ask, &choice);
        }
        return choice;
    }
    // As a program: finds nothing in the client's scope, or nothing of this generation there: scope 0.
    sl_choice dial(const std::string& address, std::uint32_t scope = 0) {
        const std::uint32_t number = tables_.find(ip(address), 8080, scope);
        if (number == SL_NONE) {
            sl_choice nothing{};
            nothing.route = nothing.cluster = nothing.endpoint = SL_NONE;
            return nothing;
        }
        return service(number);
    }
    void hold(const sl_choice& choice) { sl_hold(&t_, &choice); }
    void release(const sl_choice& choice) { sl_release(&t_, choice.route, choice.cluster, choice.endpoint); }
    const sl_tables& tables() const { return t_; }
    std::string endpoint_of(const sl_choice& choice) const {
        const sl_endpoint& record = t_.endpoints[choice.endpoint];
        IpAddress address;
        std::copy_n(record.address, 16, address.bytes.begin());
        return endpoint_text(address, __builtin_bswap16(record.port));
    }

  private:
    HeapTables& tables_;
    sl_tables t_;
    sl_random seeds_;
};

}  // namespace sluice::compile::test
