// Small hand-made tables for tests of the decision core.
#pragma once

#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "bpf/lib/decide.h"

namespace sluice::test {

struct World {
    static constexpr std::uint64_t kSecond = 1'000'000'000;

    sl_control control{};
    std::vector<sl_service> services;
    std::vector<sl_route> routes;
    std::vector<sl_destination> destinations;
    std::vector<sl_cluster> clusters;
    std::vector<sl_cluster_row> cluster_rows;
    std::vector<__u32> list;
    std::vector<sl_endpoint> endpoints;
    std::vector<sl_health> health;
    std::vector<sl_hash_entry> entries;
    std::uint64_t seed = 1;
    std::uint64_t now = 1000 * kSecond;

    World() { control.generation = 1; }

    // A cluster of v4 + v6 endpoints; returns its number, which is also its row.
    std::uint32_t add_cluster(std::uint32_t v4, std::uint32_t v6 = 0, sl_load_balancer balancer = SL_LB_LEAST_REQUEST) {
        const auto number = static_cast<std::uint32_t>(clusters.size());
        sl_cluster record{};
        record.slot[0] = {1, number, 0};
        record.slot[1].generation = SL_GENERATION_EMPTY;
        clusters.push_back(record);
        sl_cluster_row row{};
        row.cluster = number;
        row.flags = SL_CLUSTER_OUTLIER;
        row.load_balancer = balancer;
        row.endpoint_first = static_cast<std::uint32_t>(list.size());
        row.endpoint_count = v4 + v6;
        row.endpoint_v4_count = v4;
        row.max_connections = SL_UNLIMITED;
        row.consecutive_5xx = 5;
        row.max_ejection_percent = 100;
        row.interval_ns = 10 * kSecond;
        row.base_ejection_ns = 30 * kSecond;
        row.max_ejection_ns = 300 * kSecond;
        cluster_rows.push_back(row);
        for (std::uint32_t i = 0; i < v4 + v6; ++i) {
            list.push_back(static_cast<std::uint32_t>(endpoints.size()));
            sl_endpoint endpoint{};
            endpoint.cluster = number;
            endpoint.flags = SL_ENDPOINT_LISTED;
            endpoints.push_back(endpoint);
            health.push_back({});
        }
        return number;
    }

    // One service whose columns are all equally likely; weights matter to spill only.
    std::uint32_t add_service(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& cluster_weights,
                              std::uint32_t flags = 0) {
        sl_route route{};
        route.destination_first = static_cast<std::uint32_t>(destinations.size());
        route.destination_count = static_cast<std::uint32_t>(cluster_weights.size());
        route.flags = flags;
        for (std::uint32_t i = 0; i < cluster_weights.size(); ++i) {
            destinations.push_back({cluster_weights[i].first, cluster_weights[i].second, 0xffffffffu, i});
        }
        sl_service service{};
        service.slot[0] = {1, static_cast<std::uint32_t>(routes.size()), 0};
        service.slot[1].generation = SL_GENERATION_EMPTY;
        routes.push_back(route);
        services.push_back(service);
        return static_cast<std::uint32_t>(services.size() - 1);
    }

    sl_tables tables() {
        sl_tables t{};
        t.control = &control;
        t.services = services.data();
        t.routes = routes.data();
        t.destinations = destinations.data();
        t.clusters = clusters.data();
        t.cluster_rows = cluster_rows.data();
        t.endpoint_list = list.data();
        t.endpoints = endpoints.data();
        t.health = health.data();
        t.hash_entries = entries.data();
        t.service_count = services.size();
        t.route_count = routes.size();
        t.destination_count = destinations.size();
        t.cluster_count = clusters.size();
        t.cluster_row_count = cluster_rows.size();
        t.endpoint_list_count = list.size();
        t.endpoint_count = endpoints.size();
        t.hash_entry_count = entries.size();
        return t;
    }

    sl_ask ask(std::uint32_t reach = SL_REACH_V4 | SL_REACH_V6) {
        sl_ask a{};
        a.reach = reach;
        a.now_ns = now;
        sl_random source{seed++ * 0x2545f4914f6cdd1dull};
        a.random.state = sl_random_next(&source);
        return a;
    }

    sl_choice choose(std::uint32_t service, const sl_ask& with) {
        const sl_tables t = tables();
        sl_ask a = with;
        sl_choice choice{};
        if (sl_choose_cluster(&t, service, &a, &choice) == SL_REASON_NONE && choice.route != SL_NONE) {
            sl_choose_endpoint(&t, &a, &choice);
        }
        return choice;
    }
    sl_choice choose(std::uint32_t service) { return choose(service, ask()); }

    // Puts an endpoint out until `until`, as an ejection does.
    void put_out(std::uint32_t endpoint, std::uint64_t until) {
        health[endpoint].ejected_until = until;
        ++clusters[endpoints[endpoint].cluster].ejected;
    }

    bool fail(std::uint32_t endpoint, sl_event* event = nullptr, std::uint32_t failure = SL_FAILURE_CONNECT) {
        const sl_tables t = tables();
        sl_event unused{};
        return sl_outlier_failure(&t, endpoints[endpoint].cluster, endpoint, failure, now, event ? event : &unused) !=
               0;
    }
    void succeed(std::uint32_t endpoint) {
        const sl_tables t = tables();
        sl_outlier_success(&t, endpoints[endpoint].cluster, endpoint);
    }
    bool answer(std::uint32_t endpoint, std::uint32_t status, sl_event* event = nullptr) {
        const sl_tables t = tables();
        sl_event unused{};
        return sl_outlier_answer(&t, endpoints[endpoint].cluster, endpoint, status, now, event ? event : &unused) != 0;
    }
    void connected(std::uint32_t endpoint) {
        const sl_tables t = tables();
        sl_outlier_connected(&t, endpoint);
    }
    bool bring_back(std::uint32_t endpoint, sl_event* event) {
        const sl_tables t = tables();
        return sl_outlier_return(&t, endpoints[endpoint].cluster, endpoint, now, event) != 0;
    }
};

}  // namespace sluice::test
