#include "compile/publisher.h"

#include <algorithm>
#include <mutex>

#include "bpf/lib/outlier.h"
#include "compile/state.h"

namespace sluice::compile {

Publisher::Impl::Impl(sl_tables tables, std::span<sl_identity> identity_table, ServiceIndex& index,
                      ClientIndex& client_map, GracePeriod grace_period)
    : t(tables),
      service_index(index),
      client_index(client_map),
      grace(std::move(grace_period)),
      identities(identity_table),
      service_rows(t.service_count),
      route_rows(t.route_count),
      cluster_rows(t.cluster_count),
      policy_rows(t.cluster_row_count),
      endpoint_rows(t.endpoint_count),
      destination_ranges(t.destination_count),
      list_ranges(t.endpoint_list_count),
      hash_ranges(t.hash_entry_count) {
    if (sl_load(&t.control->abi_version) != 0) {
        return;
    }
    for (std::uint64_t i = 0; i < t.service_count; ++i) {
        t.services[i].slot[0].generation = t.services[i].slot[1].generation = SL_GENERATION_EMPTY;
    }
    for (std::uint64_t i = 0; i < t.cluster_count; ++i) {
        t.clusters[i].slot[0].generation = t.clusters[i].slot[1].generation = SL_GENERATION_EMPTY;
    }
    for (std::uint64_t i = 0; i < t.endpoint_count; ++i) {
        t.endpoints[i].cluster = SL_NONE;
    }
    sl_store(&t.control->abi_version, __u64{SL_ABI_VERSION});
}

RowAllocator& Publisher::Impl::rows(TableName table) {
    switch (table) {
        case TableName::kServices:
            return service_rows;
        case TableName::kRoutes:
            return route_rows;
        case TableName::kClusters:
            return cluster_rows;
        case TableName::kClusterRows:
            return policy_rows;
        default:
            return endpoint_rows;
    }
}

RangeAllocator& Publisher::Impl::ranges(TableName table) {
    switch (table) {
        case TableName::kDestinations:
            return destination_ranges;
        case TableName::kEndpointList:
            return list_ranges;
        default:
            return hash_ranges;
    }
}

std::uint32_t Publisher::Impl::scope(const std::string& name) const {
    const auto known = scopes.find(name);
    return known == scopes.end() || known->second.references == 0 ? 0 : known->second.number;
}

ServiceState& Publisher::Impl::service_state(std::uint32_t number) {
    if (services.size() <= number) {
        services.resize(number + 1);
    }
    return services[number];
}

ClusterState& Publisher::Impl::cluster_state(std::uint32_t number) {
    if (clusters.size() <= number) {
        clusters.resize(number + 1);
    }
    return clusters[number];
}

std::uint64_t& Publisher::Impl::endpoint_stamp(std::uint32_t number) {
    if (endpoint_stamps.size() <= number) {
        endpoint_stamps.resize(number + 1);
    }
    return endpoint_stamps[number];
}

Publisher::Publisher(sl_tables tables, std::span<sl_identity> identities, ServiceIndex& services, ClientIndex& clients,
                     GracePeriod grace)
    : impl_(std::make_unique<Impl>(tables, identities, services, clients, std::move(grace))) {}
Publisher::~Publisher() = default;

Result<> Publisher::adopt() {
    const std::unique_lock lock(impl_->mutex);
    return impl_->adopt();
}

Result<std::uint64_t> Publisher::publish(const model::Delta& delta) {
    const std::unique_lock lock(impl_->mutex);
    return impl_->publish(delta.changed, delta.removed, false);
}

Result<std::uint64_t> Publisher::publish_all(std::span<const model::ServicePortPtr> services) {
    const std::unique_lock lock(impl_->mutex);
    return impl_->publish(services, {}, true);
}

Result<std::uint64_t> Publisher::publish_all(const model::Mesh& mesh) {
    std::vector<model::ServicePortPtr> services;
    for (const auto& [key, port] : mesh.services()) {
        services.push_back(port);
    }
    return publish_all(services);
}

Result<> Publisher::set_clients(std::span<const std::pair<std::uint64_t, model::Client>> clients) {
    const std::unique_lock lock(impl_->mutex);
    std::vector<std::uint32_t> numbers;
    for (const auto& [cgroup, client] : clients) {
        const std::uint32_t number =
            client.workload ? impl_->identities.hold(SL_IDENTITY_WORKLOAD, client.workload->id) : 0;
        if (number == SL_NONE) {
            for (const std::uint32_t taken : numbers) {
                impl_->identities.release(taken);
            }
            return impl_->full(TableName::kIdentities, 1);
        }
        if (number != 0) {
            impl_->identities.name(number, client.workload);
        }
        numbers.push_back(number);
    }
    auto old_clients = std::exchange(impl_->clients, {clients.begin(), clients.end()});
    auto old_numbers = std::exchange(impl_->client_identities, numbers);
    impl_->clients_pushed = false;
    const Result<> done = impl_->client_index.replace(impl_->wanted_clients());
    if (!done) {
        std::swap(old_clients, impl_->clients);
        std::swap(old_numbers, impl_->client_identities);
    } else {
        impl_->pushed_clients = impl_->wanted_clients();
        impl_->clients_pushed = true;
    }
    for (const std::uint32_t number : old_numbers) {
        impl_->identities.release(number);
    }
    return done;
}

std::vector<std::uint32_t> Publisher::take_freed_clusters() {
    const std::unique_lock lock(impl_->mutex);
    return std::exchange(impl_->freed_clusters, {});
}

void Publisher::sweep(std::uint64_t now_ns, const std::function<void(const sl_event&)>& on_event) const {
    const std::shared_lock lock(impl_->mutex);
    for (std::uint32_t number = 0; number < impl_->clusters.size(); ++number) {
        if (impl_->clusters[number].life == Life::kFree || sl_load(&impl_->t.clusters[number].ejected) == 0) {
            continue;
        }
        for (const std::uint32_t slot : impl_->clusters[number].slots) {
            sl_event event{};
            if (sl_outlier_return(&impl_->t, number, slot, now_ns, &event)) {
                on_event(event);
            }
        }
    }
}

std::uint64_t Publisher::generation() const {
    return impl_->generation();
}
const sl_tables& Publisher::tables() const {
    return impl_->t;
}

std::vector<Occupancy> Publisher::occupancy() const {
    const std::shared_lock lock(impl_->mutex);
    std::vector<Occupancy> result;
    for (const TableName table : {TableName::kServices, TableName::kRoutes, TableName::kClusters,
                                  TableName::kClusterRows, TableName::kEndpoints}) {
        const RowAllocator& rows = impl_->rows(table);
        result.push_back({table_name(table), rows.used(), rows.capacity()});
    }
    for (const TableName table : {TableName::kDestinations, TableName::kEndpointList, TableName::kHashEntries}) {
        const RangeAllocator& ranges = impl_->ranges(table);
        result.push_back({table_name(table), ranges.used(), ranges.capacity()});
    }
    result.push_back({table_name(TableName::kIdentities), impl_->identities.used(), impl_->identities.capacity()});
    return result;
}

model::ClusterPtr Publisher::cluster(std::uint32_t number) const {
    const std::shared_lock lock(impl_->mutex);
    return number < impl_->clusters.size() ? impl_->clusters[number].cluster : nullptr;
}

std::uint32_t Publisher::cluster_number(const Identity& id) const {
    const std::shared_lock lock(impl_->mutex);
    const auto known = impl_->cluster_by_id.find(id);
    return known == impl_->cluster_by_id.end() ? SL_NONE : known->second;
}

std::vector<std::uint32_t> Publisher::cluster_numbers() const {
    const std::shared_lock lock(impl_->mutex);
    std::vector<std::uint32_t> result;
    for (std::uint32_t number = 0; number < impl_->clusters.size(); ++number) {
        if (impl_->clusters[number].life == Life::kLive) {
            result.push_back(number);
        }
    }
    return result;
}

std::vector<std::uint32_t> Publisher::endpoints(std::uint32_t cluster) const {
    const std::shared_lock lock(impl_->mutex);
    return cluster < impl_->clusters.size() ? impl_->clusters[cluster].slots : std::vector<std::uint32_t>{};
}

std::uint32_t Publisher::endpoint_number(std::uint32_t cluster, const IpAddress& address, std::uint16_t port) const {
    const std::shared_lock lock(impl_->mutex);
    if (cluster >= impl_->clusters.size()) {
        return SL_NONE;
    }
    const std::vector<std::uint32_t>& slots = impl_->clusters[cluster].slots;
    const sl_endpoint* endpoints = impl_->t.endpoints;
    const auto found = std::ranges::partition_point(slots, [&](std::uint32_t slot) {
        return endpoint_before(address_of(endpoints[slot]), port_of(endpoints[slot]), address, port);
    });
    const bool known =
        found != slots.end() && address_of(endpoints[*found]) == address && port_of(endpoints[*found]) == port;
    return known ? *found : SL_NONE;
}

std::uint32_t Publisher::workload_number(const Identity& id) const {
    const std::shared_lock lock(impl_->mutex);
    return impl_->identities.find(SL_IDENTITY_WORKLOAD, id);
}

model::WorkloadPtr Publisher::workload(std::uint32_t number) const {
    const std::shared_lock lock(impl_->mutex);
    return impl_->identities.workload(number);
}

std::uint32_t Publisher::scope_number(const std::string& scope) const {
    const std::shared_lock lock(impl_->mutex);
    return impl_->scope(scope);
}

model::ServicePortPtr Publisher::service(std::uint32_t number) const {
    const std::shared_lock lock(impl_->mutex);
    return number < impl_->services.size() ? impl_->services[number].owner : nullptr;
}

std::vector<std::uint32_t> Publisher::service_numbers(const model::ServicePortKey& key) const {
    const std::shared_lock lock(impl_->mutex);
    const auto known = impl_->ports.find(key);
    return known == impl_->ports.end() ? std::vector<std::uint32_t>{} : known->second.records;
}

std::uint32_t Publisher::service_number(const model::ServicePortKey& key) const {
    const std::vector<std::uint32_t> numbers = service_numbers(key);
    return numbers.empty() ? SL_NONE : numbers.front();
}

ServiceConnections Publisher::connections(std::uint32_t service) const {
    const std::shared_lock lock(impl_->mutex);
    ServiceConnections result;
    if (service >= impl_->services.size() || impl_->services[service].life == Life::kFree) {
        return result;
    }
    const std::uint32_t row = impl_->row_of(impl_->t.services[service].slot);
    result.current = row == SL_NONE ? 0 : sl_load(&impl_->t.routes[row].open);
    for (const std::uint32_t older : impl_->services[service].older) {
        result.older += sl_load(&impl_->t.routes[older].open);
    }
    return result;
}

}  // namespace sluice::compile
