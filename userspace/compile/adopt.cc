#include <algorithm>

#include "compile/state.h"

namespace sluice::compile {
namespace {

// One past the last index of [0, count) for which `used` holds.
template <typename Used>
std::uint32_t end_of(std::uint64_t count, Used used) {
    while (count != 0 && !used(count - 1)) {
        --count;
    }
    return static_cast<std::uint32_t>(count);
}

std::unexpected<Error> damaged(const char* what, std::uint32_t row) {
    return fail("the tables that were left behind are damaged: " + std::string(what) + " " + std::to_string(row));
}

// A slot of a generation that was never published: the publisher died before the last store.
void take_back(sl_slot* slot, std::uint64_t generation) {
    for (int i = 0; i < 2; ++i) {
        if (slot[i].generation > generation) {
            sl_store(&slot[i].generation, SL_GENERATION_EMPTY);
        }
    }
}

}  // namespace

Result<> Publisher::Impl::adopt() {
    const auto ejected = [&] {
        std::vector<std::pair<std::uint32_t, std::uint32_t>> counts(t.cluster_count);
        for (std::uint64_t i = 0; i < t.cluster_count; ++i) {
            counts[i].first = sl_load(&t.clusters[i].ejected);
        }
        for (std::uint64_t i = 0; i < t.endpoint_count; ++i) {
            if (t.endpoints[i].cluster < t.cluster_count && sl_load(&t.health[i].ejected_until) != 0) {
                ++counts[t.endpoints[i].cluster].second;
            }
        }
        return counts;
    };
    const auto before = ejected();
    run_grace();
    const auto after = ejected();
    for (std::uint32_t i = 0; i < before.size(); ++i) {
        // Too high and not moving: the agent died between the two writes of a return.
        if (before[i] == after[i] && before[i].first > before[i].second) {
            sl_cas(&t.clusters[i].ejected, before[i].first, before[i].second);
        }
    }
    identities.adopt();
    std::vector<bool> routes;
    if (auto done = adopt_services(routes); !done) {
        return done;
    }
    adopt_route_rows(routes);
    if (auto done = adopt_clusters(); !done) {
        return done;
    }
    adopt_endpoints();
    return {};
}

Result<> Publisher::Impl::adopt_services(std::vector<bool>& routes) {
    const std::uint32_t end = end_of(t.service_count, [&](std::uint64_t i) { return t.services[i].in_use != 0; });
    routes.assign(end_of(t.route_count, [&](std::uint64_t i) { return t.routes[i].in_use != 0; }), false);
    std::vector<bool> taken(end, false);
    services.assign(end, {});
    service_by_key.clear();
    for (std::uint32_t i = 0; i < end; ++i) {
        sl_service& record = t.services[i];
        if (record.in_use == 0) {
            continue;
        }
        taken[i] = true;
        take_back(record.slot, generation());
        ServiceState& state = services[i];
        state.key = record.key;
        state.changed = generation();
        const std::uint32_t row = row_of(record.slot);
        if (row == SL_NONE) {
            state.life = Life::kRemoved;
            state.stamp = ++stamps;
            retire(Retired::kService, i, 1, state.stamp);
            continue;
        }
        if (row >= routes.size() || routes[row]) {
            return damaged("route row", row);
        }
        const sl_route& route = t.routes[row];
        if (!destination_ranges.reserve(route.destination_first, route.destination_count)) {
            return damaged("destinations of route row", row);
        }
        routes[row] = true;
        state.life = Life::kLive;
        if (!service_by_key.emplace(state.key, i).second) {
            return damaged("second service record of one key", i);
        }
    }
    for (std::uint32_t i = 0; i < end; ++i) {
        if (services[i].life == Life::kRemoved) {
            service_by_key.emplace(services[i].key, i);  // unless a live record has the key now
        }
    }
    service_rows.adopt(taken);
    return {};
}

void Publisher::Impl::adopt_route_rows(std::vector<bool>& routes) {
    for (std::uint32_t row = 0; row < routes.size(); ++row) {
        sl_route& route = t.routes[row];
        if (routes[row] || route.in_use == 0) {
            continue;
        }
        if (sl_load(&route.open) == 0) {
            sl_store(&route.in_use, 0u);
            continue;
        }
        routes[row] = true;
        held.push_back({Retired::kRoute, row, 1, 0});
        if (route.service < services.size() && services[route.service].life != Life::kFree) {
            services[route.service].older.push_back(row);
        }
    }
    route_rows.adopt(routes);
}

Result<> Publisher::Impl::adopt_clusters() {
    const std::uint32_t end = end_of(t.cluster_count, [&](std::uint64_t i) { return t.clusters[i].in_use != 0; });
    std::vector<bool> taken(end, false);
    std::vector<bool> rows_taken(
        end_of(t.cluster_row_count, [&](std::uint64_t i) { return t.cluster_rows[i].in_use != 0; }));
    clusters.assign(end, {});
    cluster_by_id.clear();
    for (std::uint32_t i = 0; i < end; ++i) {
        sl_cluster& record = t.clusters[i];
        if (record.in_use == 0) {
            continue;
        }
        taken[i] = true;
        take_back(record.slot, generation());
        ClusterState& state = clusters[i];
        state.id = Identity::from_abi(record.id);
        state.changed = generation();
        if (!cluster_by_id.emplace(state.id, i).second) {
            return damaged("second cluster record of one identity", i);
        }
        const std::uint32_t row = row_of(record.slot);
        if (row == SL_NONE) {
            state.life = Life::kRemoved;
            state.stamp = ++stamps;
            retire(Retired::kCluster, i, 1, state.stamp);
            continue;
        }
        if (row >= rows_taken.size() || rows_taken[row]) {
            return damaged("cluster row", row);
        }
        const sl_cluster_row& policy = t.cluster_rows[row];
        if (!list_ranges.reserve(policy.endpoint_first, policy.endpoint_count) ||
            !hash_ranges.reserve(policy.hash_first, policy.hash_count)) {
            return damaged("endpoints of cluster row", row);
        }
        rows_taken[row] = true;
        state.life = Life::kLive;
    }
    for (std::uint32_t row = 0; row < rows_taken.size(); ++row) {
        if (!rows_taken[row]) {
            sl_store(&t.cluster_rows[row].in_use, 0u);
        }
    }
    cluster_rows.adopt(taken);
    policy_rows.adopt(rows_taken);
    return {};
}

void Publisher::Impl::adopt_endpoints() {
    const std::uint32_t end =
        end_of(t.endpoint_count, [&](std::uint64_t i) { return t.endpoints[i].cluster != SL_NONE; });
    std::vector<bool> taken(end, false);
    for (std::uint32_t i = 0; i < end; ++i) {
        sl_endpoint& record = t.endpoints[i];
        if (record.cluster == SL_NONE) {
            continue;
        }
        const bool orphan = record.cluster >= clusters.size() || clusters[record.cluster].life == Life::kFree;
        if (orphan) {
            sl_store(&record.cluster, SL_NONE);
            continue;
        }
        taken[i] = true;
        if (!identities.hold(record.workload)) {
            sl_store(&record.workload, 0u);
        }
        ClusterState& state = clusters[record.cluster];
        state.slots.push_back(i);
        if (state.life == Life::kRemoved) {
            endpoint_stamp(i) = ++stamps;
            sl_store(&record.flags, static_cast<__u16>(record.flags & ~SL_ENDPOINT_LISTED));
            retire(Retired::kEndpoint, i, 1, stamps);
        }
    }
    for (ClusterState& state : clusters) {
        std::ranges::sort(state.slots, [&](std::uint32_t a, std::uint32_t b) {
            return endpoint_before(address_of(t.endpoints[a]), port_of(t.endpoints[a]), address_of(t.endpoints[b]),
                                   port_of(t.endpoints[b]));
        });
    }
    endpoint_rows.adopt(taken);
}

}  // namespace sluice::compile
