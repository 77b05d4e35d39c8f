#include "compile/heap_tables.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace sluice::compile {

bool HeapTables::KeyLess::operator()(const sl_service_key& a, const sl_service_key& b) const {
    return std::memcmp(&a, &b, sizeof a) < 0;
}

HeapTables::HeapTables(const HeapCapacities& capacities)
    : service_rows_(capacities.services),
      routes_(capacities.routes),
      destinations_(capacities.destinations),
      clusters_(capacities.clusters),
      cluster_rows_(capacities.cluster_rows),
      endpoint_list_(capacities.endpoint_list),
      endpoints_(capacities.endpoints),
      health_(capacities.endpoints),
      hash_entries_(capacities.hash_entries),
      identities_(capacities.identities) {}

sl_tables HeapTables::tables() {
    sl_tables t{};
    t.control = &control_;
    t.services = service_rows_.data();
    t.routes = routes_.data();
    t.destinations = destinations_.data();
    t.clusters = clusters_.data();
    t.cluster_rows = cluster_rows_.data();
    t.endpoint_list = endpoint_list_.data();
    t.endpoints = endpoints_.data();
    t.health = health_.data();
    t.hash_entries = hash_entries_.data();
    t.service_count = service_rows_.size();
    t.route_count = routes_.size();
    t.destination_count = destinations_.size();
    t.cluster_count = clusters_.size();
    t.cluster_row_count = cluster_rows_.size();
    t.endpoint_list_count = endpoint_list_.size();
    t.endpoint_count = endpoints_.size();
    t.hash_entry_count = hash_entries_.size();
    return t;
}

std::uint32_t HeapTables::find(const IpAddress& address, std::uint16_t port, std::uint32_t scope) const {
    sl_service_key key{};
    std::ranges::copy(address.bytes, key.address);
    key.port = htons(port);
    key.protocol = IPPROTO_TCP;
    const std::lock_guard lock(services_.mutex);
    for (const std::uint32_t candidate : {scope, 0u}) {
        key.scope = candidate;
        if (const auto known = services_.entries.find(key); known != services_.entries.end()) {
            return known->second;
        }
    }
    return SL_NONE;
}

sl_client HeapTables::client(std::uint64_t cgroup) const {
    const std::lock_guard lock(clients_.mutex);
    const auto known = clients_.entries.find(cgroup);
    return known == clients_.entries.end() ? sl_client{0, 0} : known->second;
}

std::size_t HeapTables::keys() const {
    const std::lock_guard lock(services_.mutex);
    return services_.entries.size();
}

Result<> HeapTables::Services::insert(const sl_service_key& key, std::uint32_t service) {
    const std::lock_guard lock(mutex);
    if (entries.size() >= most && !entries.contains(key)) {
        return fail_errno(E2BIG, "the index is full");
    }
    entries.insert_or_assign(key, service);
    return {};
}

Result<> HeapTables::Services::erase(const sl_service_key& key) {
    const std::lock_guard lock(mutex);
    entries.erase(key);
    return {};
}

Result<> HeapTables::Clients::replace(const std::vector<std::pair<std::uint64_t, sl_client>>& clients) {
    const std::lock_guard lock(mutex);
    entries = {clients.begin(), clients.end()};
    return {};
}

}  // namespace sluice::compile
