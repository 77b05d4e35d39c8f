#include "compile/plan.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "compile/state.h"

namespace sluice::compile {
namespace {

model::ServicePortKey key_of(const model::ServicePort& port) {
    return {port.scope, port.host, port.port};
}

std::unordered_map<Identity, model::ClusterPtr, IdentityHash> clusters_of(const model::ServicePort& port) {
    std::unordered_map<Identity, model::ClusterPtr, IdentityHash> result;
    for (model::ClusterPtr& cluster : model::clusters_of(*port.route)) {
        const Identity id = cluster->id;
        result.insert_or_assign(id, std::move(cluster));
    }
    return result;
}

bool proxied(const model::ServicePort& port) {
    return port.route->lane == model::Lane::kProxy;
}

std::uint32_t route_flags(const model::Route& route) {
    return (route.spill ? SL_ROUTE_SPILL : 0) | (route.lane == model::Lane::kProxy ? SL_ROUTE_PROXY : 0) |
           (route.no_fallback.empty() ? 0 : SL_ROUTE_NO_FALLBACK);
}

sl_service_key dialled_key(const IpAddress& address, std::uint16_t port, std::uint32_t scope) {
    sl_service_key key{};
    std::ranges::copy(address.bytes, key.address);
    key.scope = scope;
    key.port = htons(port);
    key.protocol = IPPROTO_TCP;
    return key;
}

}  // namespace

const char* table_name(TableName table) {
    switch (table) {
        case TableName::kServices:
            return "services";
        case TableName::kRoutes:
            return "routes";
        case TableName::kDestinations:
            return "destinations";
        case TableName::kClusters:
            return "clusters";
        case TableName::kClusterRows:
            return "cluster_rows";
        case TableName::kEndpointList:
            return "endpoint_list";
        case TableName::kEndpoints:
            return "endpoints";
        case TableName::kHashEntries:
            return "hash_entries";
        case TableName::kIdentities:
            return "identities";
    }
    return "";
}

bool Plan::changes_generation() const {
    return rules_changed || std::ranges::any_of(clusters, &ClusterPlan::publishes) ||
           std::ranges::any_of(services, &ServicePlan::publishes);
}

std::unexpected<Error> Publisher::Impl::full(TableName table, std::uint64_t needed) const {
    const std::string name = table_name(table);
    std::uint64_t used = 0, capacity = 0;
    auto* self = const_cast<Impl*>(this);
    if (table == TableName::kIdentities) {
        used = identities.used();
        capacity = identities.capacity();
    } else if (table == TableName::kDestinations || table == TableName::kEndpointList ||
               table == TableName::kHashEntries) {
        used = self->ranges(table).used();
        capacity = self->ranges(table).capacity();
    } else {
        used = self->rows(table).used();
        capacity = self->rows(table).capacity();
    }
    return fail_errno(ENOSPC, "table " + name + " is full: " + std::to_string(used) + " of " +
                                  std::to_string(capacity) + " rows are used and " + std::to_string(needed) +
                                  " more are needed in one piece; raise it with --capacity " + name + "=N");
}

Result<std::uint32_t> Publisher::Impl::take_row(Plan& p, TableName table) {
    const std::uint32_t row = rows(table).take();
    if (row == SL_NONE) {
        return full(table, 1);
    }
    p.taken_rows.emplace_back(table, row);
    return row;
}

Result<std::uint32_t> Publisher::Impl::take_range(Plan& p, TableName table, std::uint64_t count) {
    if (count == 0) {
        return 0;
    }
    const std::uint32_t first = ranges(table).take(count);
    if (first == SL_NONE) {
        return full(table, count);
    }
    p.taken_ranges.push_back({table, first, static_cast<std::uint32_t>(count)});
    return first;
}

Result<std::uint32_t> Publisher::Impl::hold_identity(Plan& p, sl_identity_kind kind, const Identity& id) {
    const std::uint32_t number = identities.hold(kind, id);
    if (number == SL_NONE) {
        return full(TableName::kIdentities, 1);
    }
    p.held_identities.push_back(number);
    return number;
}

Result<Plan> Publisher::Impl::plan(std::span<const model::ServicePortPtr> changed,
                                   std::span<const model::ServicePortKey> removed, bool everything) {
    Plan p;
    p.generation = generation() + 1;
    Result<> done = plan_ports(p, changed, removed, everything);
    if (done) {
        done = plan_clusters(p, everything);
    }
    if (done) {
        done = plan_services(p, everything);
    }
    if (done) {
        done = insert_keys(p);
    }
    if (!done) {
        undo(p);
        return std::unexpected(done.error());
    }
    return p;
}

Result<> Publisher::Impl::plan_ports(Plan& p, std::span<const model::ServicePortPtr> changed,
                                     std::span<const model::ServicePortKey> removed, bool everything) {
    std::map<model::ServicePortKey, model::ServicePortPtr> wanted;
    for (const model::ServicePortKey& key : removed) {
        wanted.insert_or_assign(key, nullptr);
    }
    for (const model::ServicePortPtr& port : changed) {
        wanted.insert_or_assign(key_of(*port), port);
    }
    if (everything) {
        for (const auto& [key, state] : ports) {
            wanted.try_emplace(key, nullptr);
        }
    }
    for (auto& [key, port] : wanted) {
        const auto old = ports.find(key);
        const model::ServicePortPtr before = old == ports.end() ? nullptr : old->second.port;
        if (before == port) {
            continue;
        }
        p.rules_changed = p.rules_changed || (before && port && (proxied(*before) || proxied(*port)));
        if (before) {
            for (const auto& [id, cluster] : clusters_of(*before)) {
                --p.references[id];
            }
            --p.scope_references[before->scope];
        }
        if (port) {
            for (auto& [id, cluster] : clusters_of(*port)) {
                ++p.references[id];
                p.wanted_clusters.insert_or_assign(id, cluster);
            }
            ++p.scope_references[port->scope];
            const auto known = scopes.find(port->scope);
            if (port->scope.empty()) {
                p.scope_numbers.emplace(port->scope, 0);
            } else if (known != scopes.end()) {
                p.scope_numbers.emplace(port->scope, known->second.number);
            } else if (!p.scope_numbers.contains(port->scope)) {
                auto number = hold_identity(p, SL_IDENTITY_SCOPE, Identity::of(port->scope));
                if (!number) {
                    return std::unexpected(number.error());
                }
                p.scope_numbers.emplace(port->scope, *number);
            }
        }
        p.ports.push_back({key, port});
    }
    return {};
}

Result<> Publisher::Impl::plan_services(Plan& p, bool everything) {
    std::unordered_set<sl_service_key, ServiceKeyHash, ServiceKeyEqual> wanted;
    for (const PortPlan& plan : p.ports) {
        if (!plan.port) {
            continue;
        }
        std::vector<std::uint32_t> numbers;
        for (const model::Destination& destination : plan.port->route->destinations) {
            numbers.push_back(destination.cluster ? p.cluster_numbers.at(destination.cluster->id) : SL_NONE);
        }
        auto destinations = route_destinations(*plan.port->route, numbers);
        if (!destinations) {
            return std::unexpected(
                std::move(destinations.error()).within(plan.key.host + ":" + std::to_string(plan.key.port)));
        }
        for (const IpAddress& address : plan.port->addresses) {
            const sl_service_key key = dialled_key(address, plan.port->port, p.scope_numbers.at(plan.port->scope));
            if (!wanted.insert(key).second) {
                continue;
            }
            if (auto done = plan_service(p, key, plan.port, *destinations); !done) {
                return done;
            }
        }
    }
    const auto remove = [&](std::uint32_t number) {
        if (services[number].life == Life::kLive && !wanted.contains(services[number].key)) {
            p.services.push_back({.number = number, .port = nullptr, .publishes = true});
        }
    };
    for (const PortPlan& plan : p.ports) {
        const auto old = ports.find(plan.key);
        if (old == ports.end()) {
            continue;
        }
        for (const std::uint32_t number : old->second.records) {
            if (services[number].owner == old->second.port) {
                remove(number);
            }
        }
    }
    if (everything) {
        for (std::uint32_t number = 0; number < services.size(); ++number) {
            if (!services[number].owner) {
                remove(number);
            }
        }
    }
    return {};
}

Result<> Publisher::Impl::plan_service(Plan& p, const sl_service_key& key, const model::ServicePortPtr& port,
                                       const std::vector<sl_destination>& destinations) {
    ServicePlan s;
    s.port = port;
    const std::uint32_t flags = route_flags(*port->route);
    const auto known = service_by_key.find(key);
    if (known != service_by_key.end()) {
        s.number = known->second;
        s.indexes = services[s.number].life != Life::kLive;
        const std::uint32_t row = row_of(t.services[s.number].slot);
        if (row != SL_NONE) {
            const sl_route& route = t.routes[row];
            const sl_destination* first = t.destinations + route.destination_first;
            const auto same = [](const sl_destination& a, const sl_destination& b) {
                return a.cluster == b.cluster && a.weight == b.weight && a.threshold == b.threshold &&
                       a.alias == b.alias;
            };
            if (route.flags == flags && route.destination_count == destinations.size() &&
                std::equal(destinations.begin(), destinations.end(), first, same)) {
                p.services.push_back(std::move(s));
                return {};
            }
        }
    } else {
        auto number = take_row(p, TableName::kServices);
        if (!number) {
            return std::unexpected(number.error());
        }
        s.number = *number;
        s.created = s.indexes = true;
        sl_service& record = t.services[s.number];
        record = {};
        record.slot[0].generation = record.slot[1].generation = SL_GENERATION_EMPTY;
        record.key = key;
        record.in_use = 1;
    }
    s.publishes = true;
    auto row = take_row(p, TableName::kRoutes);
    if (!row) {
        return std::unexpected(row.error());
    }
    auto first = take_range(p, TableName::kDestinations, destinations.size());
    if (!first) {
        return std::unexpected(first.error());
    }
    s.row = *row;
    std::ranges::copy(destinations, t.destinations + *first);
    t.routes[s.row] = {p.generation, s.number, *first, static_cast<std::uint32_t>(destinations.size()), flags, 0, 1};
    p.services.push_back(std::move(s));
    return {};
}

// A key may be found before its generation is: the record has no slot that a reader may choose yet.
Result<> Publisher::Impl::insert_keys(Plan& p) {
    for (const ServicePlan& s : p.services) {
        if (!s.indexes) {
            continue;
        }
        const sl_service_key& key = t.services[s.number].key;
        if (auto done = service_index.insert(key, s.number); !done) {
            return std::unexpected(std::move(done.error()).within("service index"));
        }
        p.inserted_keys.push_back(key);
    }
    return {};
}

void Publisher::Impl::undo(Plan& p) {
    bool erased = true;
    for (const sl_service_key& key : p.inserted_keys) {
        erased = service_index.erase(key).has_value() && erased;
    }
    if (!p.inserted_keys.empty()) {
        run_grace();  // readers may have found the numbers that are given back below
    }
    for (const auto& range : p.taken_ranges) {
        ranges(range.table).give_back(range.first, range.count);
    }
    for (const auto& [table, row] : p.taken_rows) {
        switch (table) {
            case TableName::kServices:
                if (!erased) {
                    continue;  // a key may still lead to it: lost until the next start
                }
                sl_store(&t.services[row].in_use, 0u);
                break;
            case TableName::kClusters:
                sl_store(&t.clusters[row].in_use, 0u);
                break;
            case TableName::kRoutes:
                sl_store(&t.routes[row].in_use, 0u);
                break;
            case TableName::kClusterRows:
                sl_store(&t.cluster_rows[row].in_use, 0u);
                break;
            case TableName::kEndpoints:
                sl_store(&t.endpoints[row].cluster, SL_NONE);
                break;
            default:
                break;
        }
        rows(table).give_back(row);
    }
    for (const std::uint32_t number : p.held_identities) {
        identities.release(number);
    }
}

}  // namespace sluice::compile
