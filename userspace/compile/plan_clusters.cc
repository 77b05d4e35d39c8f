#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "compile/state.h"

namespace sluice::compile {
namespace {

// Workers may still ask whether a number is what they knew: they read id and in_use, or cluster and in_use, and nothing
// else unless those fit. So these words are stored as shared ones, in_use last.
void take_over(sl_cluster& record, const Identity& id) {
    for (sl_slot& slot : record.slot) {
        sl_store(&slot.generation, SL_GENERATION_EMPTY);
        sl_store(&slot.row, SL_NONE);
    }
    std::memset(&record.active, 0, sizeof record - offsetof(sl_cluster, active));
    sl_store(&record.id.hi, id.hi);
    sl_store(&record.id.lo, id.lo);
    sl_store(&record.in_use, 1u);
}

void take_over(sl_cluster_row& target, const sl_cluster_row& row) {
    constexpr std::size_t kBegin = offsetof(sl_cluster_row, flags), kEnd = offsetof(sl_cluster_row, in_use);
    std::memcpy(reinterpret_cast<char*>(&target) + kBegin, reinterpret_cast<const char*>(&row) + kBegin, kEnd - kBegin);
    sl_store(&target.cluster, row.cluster);
    sl_store(&target.in_use, row.in_use);
}

}  // namespace

Result<> Publisher::Impl::plan_clusters(Plan& p, bool everything) {
    for (const auto& [id, cluster] : p.wanted_clusters) {
        if (auto done = plan_cluster(p, id, cluster); !done) {
            return std::unexpected(std::move(done.error()).within(cluster->name));
        }
    }
    const auto unused = [&](std::uint32_t number) {
        const ClusterState& state = clusters[number];
        const auto change = p.references.find(state.id);
        return state.life == Life::kLive &&
               static_cast<std::int64_t>(state.references) + (change == p.references.end() ? 0 : change->second) <= 0;
    };
    if (everything) {
        for (std::uint32_t number = 0; number < clusters.size(); ++number) {
            if (unused(number)) {
                plan_removed_cluster(p, number);
            }
        }
        return {};
    }
    for (const auto& [id, change] : p.references) {
        const auto known = cluster_by_id.find(id);
        if (known != cluster_by_id.end() && unused(known->second)) {
            plan_removed_cluster(p, known->second);
        }
    }
    return {};
}

void Publisher::Impl::plan_removed_cluster(Plan& p, std::uint32_t number) {
    ClusterPlan c;
    c.number = number;
    c.publishes = true;
    c.slots = clusters[number].slots;
    for (const std::uint32_t slot : c.slots) {
        if (endpoint_stamp(slot) == 0) {
            c.dropped.push_back(slot);
        }
    }
    p.clusters.push_back(std::move(c));
}

Result<> Publisher::Impl::plan_cluster(Plan& p, const Identity& id, const model::ClusterPtr& cluster) {
    ClusterPlan c;
    c.cluster = cluster;
    const auto known = cluster_by_id.find(id);
    if (known != cluster_by_id.end()) {
        c.number = known->second;
        p.cluster_numbers.emplace(id, c.number);
        if (clusters[c.number].life == Life::kLive && clusters[c.number].cluster == cluster) {
            return {};
        }
    } else {
        auto number = take_row(p, TableName::kClusters);
        if (!number) {
            return std::unexpected(number.error());
        }
        c.number = *number;
        c.created = true;
        p.cluster_numbers.emplace(id, c.number);
        take_over(t.clusters[c.number], id);
    }
    if (auto done = plan_endpoints(p, c); !done) {
        return done;
    }
    if (auto done = plan_cluster_row(p, c); !done) {
        return done;
    }
    p.clusters.push_back(std::move(c));
    return {};
}

Result<std::uint32_t> Publisher::Impl::new_endpoint(Plan& p, std::uint32_t cluster, const model::Endpoint& endpoint) {
    std::uint32_t workload = 0;
    if (endpoint.workload) {
        auto number = hold_identity(p, SL_IDENTITY_WORKLOAD, endpoint.workload->id);
        if (!number) {
            return number;
        }
        workload = *number;
        identities.name(workload, endpoint.workload);
    }
    auto slot = take_row(p, TableName::kEndpoints);
    if (!slot) {
        return slot;
    }
    sl_endpoint record{};
    std::ranges::copy(endpoint.address.bytes, record.address);
    record.port = htons(endpoint.port);
    record.flags = SL_ENDPOINT_LISTED;
    record.cluster = cluster;
    record.workload = workload;
    record.since_ds = now_ds();
    t.health[*slot] = {};
    t.endpoints[*slot] = record;
    endpoint_stamp(*slot) = 0;
    return slot;
}

// Merges what the cluster wants with the slots it has; both are in list order.
Result<> Publisher::Impl::plan_endpoints(Plan& p, ClusterPlan& c) {
    static const std::vector<std::uint32_t> kNone;
    const std::vector<std::uint32_t>& old = c.created ? kNone : clusters[c.number].slots;
    const std::vector<model::Endpoint>& wanted = c.cluster->endpoints;
    if (wanted.size() > SL_CLUSTER_ENDPOINTS_MAX) {
        return fail("a cluster has " + std::to_string(wanted.size()) + " endpoints, allowed are " +
                    std::to_string(SL_CLUSTER_ENDPOINTS_MAX));
    }
    std::size_t j = 0;
    const auto keep_old = [&] {
        c.slots.push_back(old[j]);
        if (endpoint_stamp(old[j]) == 0) {
            c.dropped.push_back(old[j]);
        }
        ++j;
    };
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const model::Endpoint& endpoint = wanted[i];
        if (i != 0 && !endpoint_before(wanted[i - 1].address, wanted[i - 1].port, endpoint.address, endpoint.port)) {
            return fail("endpoint " + endpoint_text(endpoint.address, endpoint.port) +
                        " is given twice or out of order");
        }
        while (j < old.size() && endpoint_before(address_of(t.endpoints[old[j]]), port_of(t.endpoints[old[j]]),
                                                 endpoint.address, endpoint.port)) {
            keep_old();
        }
        const bool known = j < old.size() && address_of(t.endpoints[old[j]]) == endpoint.address &&
                           port_of(t.endpoints[old[j]]) == endpoint.port;
        std::uint32_t slot = SL_NONE;
        if (known) {
            slot = old[j++];
            if (endpoint_stamp(slot) != 0) {
                c.revived.push_back(slot);
            }
            if (endpoint.workload) {
                auto number = hold_identity(p, SL_IDENTITY_WORKLOAD, endpoint.workload->id);
                if (!number) {
                    return std::unexpected(number.error());
                }
                identities.name(*number, endpoint.workload);
                c.workloads.emplace_back(slot, *number);
            }
        } else if (endpoint.accepts_new) {
            auto taken = new_endpoint(p, c.number, endpoint);
            if (!taken) {
                return std::unexpected(taken.error());
            }
            slot = *taken;
        } else {
            continue;  // never had a connection from here, and takes none
        }
        c.slots.push_back(slot);
        if (endpoint.accepts_new) {
            c.listed.push_back(slot);
        }
    }
    while (j < old.size()) {
        keep_old();
    }
    return {};
}

Result<> Publisher::Impl::plan_cluster_row(Plan& p, ClusterPlan& c) {
    sl_cluster_row row = policy_row(*c.cluster);
    const std::uint32_t old_number = c.created ? SL_NONE : row_of(t.clusters[c.number].slot);
    const sl_cluster_row* old = old_number == SL_NONE ? nullptr : &t.cluster_rows[old_number];
    const auto same_list = [&] {
        return old->endpoint_count == c.listed.size() &&
               std::equal(c.listed.begin(), c.listed.end(), t.endpoint_list + old->endpoint_first);
    };
    row.cluster = c.number;
    row.in_use = 1;
    row.endpoint_count = static_cast<std::uint32_t>(c.listed.size());
    row.endpoint_v4_count = static_cast<std::uint32_t>(
        std::ranges::count_if(c.listed, [&](std::uint32_t slot) { return address_of(t.endpoints[slot]).is_v4(); }));
    c.new_list = old == nullptr || !same_list();
    const std::size_t entries = hash_table_entries(*c.cluster, c.listed.size());
    c.new_hash = old == nullptr || c.new_list || old->load_balancer != row.load_balancer || old->hash_count != entries;
    if (old != nullptr && !c.new_list && !c.new_hash && same_policy(*old, row)) {
        c.row = old_number;
        return {};
    }
    c.publishes = true;
    auto number = take_row(p, TableName::kClusterRows);
    if (!number) {
        return std::unexpected(number.error());
    }
    c.row = *number;
    Result<std::uint32_t> list =
        c.new_list ? take_range(p, TableName::kEndpointList, c.listed.size()) : old->endpoint_first;
    if (!list) {
        return std::unexpected(list.error());
    }
    row.endpoint_first = *list;
    Result<std::uint32_t> hash = c.new_hash ? take_range(p, TableName::kHashEntries, entries) : old->hash_first;
    if (!hash) {
        return std::unexpected(hash.error());
    }
    row.hash_first = *hash;
    row.hash_count = static_cast<std::uint32_t>(entries);
    if (c.new_list) {
        std::ranges::copy(c.listed, t.endpoint_list + row.endpoint_first);
    }
    if (c.new_hash && entries != 0) {
        std::vector<std::string> keys;
        for (const std::uint32_t slot : c.listed) {
            keys.push_back(endpoint_text(address_of(t.endpoints[slot]), port_of(t.endpoints[slot])));
        }
        std::ranges::copy(hash_table(*c.cluster, keys), t.hash_entries + row.hash_first);
    }
    take_over(t.cluster_rows[c.row], row);
    return {};
}

}  // namespace sluice::compile
