#include <algorithm>

#include "compile/state.h"

namespace sluice::compile {

std::uint32_t Publisher::Impl::row_of(const sl_slot* slot) const {
    const std::uint64_t now = generation();
    std::uint32_t row = SL_NONE;
    std::uint64_t newest = 0;
    for (int i = 0; i < 2; ++i) {
        const std::uint64_t since = sl_load(&slot[i].generation);
        if (since <= now && since >= newest) {
            newest = since;
            row = sl_load(&slot[i].row);
        }
    }
    return row;
}

namespace {
// The slot that no reader of the generation in force chooses: an empty one, else the older.
int spare(const sl_slot* slot) {
    const std::uint64_t g0 = slot[0].generation, g1 = slot[1].generation;
    if (g0 == SL_GENERATION_EMPTY || g1 == SL_GENERATION_EMPTY) {
        return g0 == SL_GENERATION_EMPTY ? 0 : 1;
    }
    return g0 < g1 ? 0 : 1;
}

// A reader that began before `changed` was published may choose the spare slot.
bool readable(const sl_slot* slot, std::uint64_t changed, std::uint64_t settled) {
    return slot[spare(slot)].generation != SL_GENERATION_EMPTY && changed > settled;
}
}  // namespace

void Publisher::Impl::write_slot(sl_slot* slot, std::uint64_t generation, std::uint32_t row) {
    sl_slot& target = slot[spare(slot)];
    sl_store(&target.generation, SL_GENERATION_EMPTY);
    sl_store(&target.row, row);
    sl_store(&target.generation, generation);
}

bool Publisher::Impl::overwrites_readable(const Plan& p) const {
    return std::ranges::any_of(p.clusters,
                               [&](const ClusterPlan& c) {
                                   return c.publishes && !c.created &&
                                          readable(t.clusters[c.number].slot, clusters[c.number].changed, settled);
                               }) ||
           std::ranges::any_of(p.services, [&](const ServicePlan& s) {
               return s.publishes && !s.created &&
                      readable(t.services[s.number].slot, services[s.number].changed, settled);
           });
}

// Clusters before services, services before the generation: who sees a new route sees its clusters.
std::uint64_t Publisher::Impl::commit(Plan& p) {
    const bool visible = p.changes_generation();
    if (visible && overwrites_readable(p)) {
        run_grace();
    }
    for (ClusterPlan& c : p.clusters) {
        commit_cluster(c, p.generation);
    }
    for (const auto& [id, change] : p.references) {
        if (const auto known = cluster_by_id.find(id); known != cluster_by_id.end()) {
            clusters[known->second].references += static_cast<std::uint64_t>(change);
        }
    }
    for (const ServicePlan& s : p.services) {
        commit_service(s, p.generation);
    }
    if (visible) {
        sl_store(&t.control->generation, p.generation);
    }
    for (const ClusterPlan& c : p.clusters) {
        withdraw_unlisted(c);
    }
    commit_ports(p);
    return generation();
}

void Publisher::Impl::commit_cluster(ClusterPlan& c, std::uint64_t generation) {
    ClusterState& state = cluster_state(c.number);
    sl_cluster& record = t.clusters[c.number];
    for (const std::uint32_t slot : c.listed) {
        if ((t.endpoints[slot].flags & SL_ENDPOINT_LISTED) == 0) {
            sl_store(&t.endpoints[slot].since_ds, now_ds());
        }
        sl_store(&t.endpoints[slot].flags, static_cast<__u16>(t.endpoints[slot].flags | SL_ENDPOINT_LISTED));
    }
    for (const std::uint32_t slot : c.revived) {
        endpoint_stamp(slot) = 0;
    }
    for (const auto& [slot, workload] : c.workloads) {
        std::uint32_t unneeded = workload;
        if (t.endpoints[slot].workload != workload) {
            unneeded = t.endpoints[slot].workload;
            sl_store(&t.endpoints[slot].workload, workload);
        }
        identities.release(unneeded);
    }
    if (c.publishes) {
        const std::uint32_t old = c.created ? SL_NONE : row_of(record.slot);
        write_slot(record.slot, generation, c.row);
        state.changed = generation;
        if (old != SL_NONE) {
            const sl_cluster_row& row = t.cluster_rows[old];
            retire(Retired::kClusterRow, old);
            if ((c.new_list || !c.cluster) && row.endpoint_count != 0) {
                retire(Retired::kList, row.endpoint_first, row.endpoint_count);
            }
            if ((c.new_hash || !c.cluster) && row.hash_count != 0) {
                retire(Retired::kHash, row.hash_first, row.hash_count);
            }
        }
    }
    state.slots = std::move(c.slots);
    if (c.created) {
        state.id = Identity::from_abi(record.id);
        state.references = 0;
        cluster_by_id.emplace(state.id, c.number);
    }
    if (c.cluster) {
        state.life = Life::kLive;
        state.stamp = 0;
        state.cluster = c.cluster;
    } else {
        state.life = Life::kRemoved;
        state.stamp = ++stamps;
        retire(Retired::kCluster, c.number, 1, state.stamp);
    }
}

// After the generation store: who takes no new connections is no member for outlier detection any more.
void Publisher::Impl::withdraw_unlisted(const ClusterPlan& c) {
    for (const std::uint32_t slot : c.dropped) {
        endpoint_stamp(slot) = ++stamps;
        retire(Retired::kEndpoint, slot, 1, stamps);
    }
    std::size_t next = 0;
    for (const std::uint32_t slot : clusters[c.number].slots) {
        if (next < c.listed.size() && c.listed[next] == slot) {
            ++next;
            continue;
        }
        if ((t.endpoints[slot].flags & SL_ENDPOINT_LISTED) != 0) {
            sl_store(&t.endpoints[slot].flags, static_cast<__u16>(t.endpoints[slot].flags & ~SL_ENDPOINT_LISTED));
            retire(Retired::kUnlisted, slot);
        }
    }
}

void Publisher::Impl::commit_service(const ServicePlan& s, std::uint64_t generation) {
    ServiceState& state = service_state(s.number);
    sl_service& record = t.services[s.number];
    if (s.created) {
        state.key = record.key;
        state.older.clear();
        service_by_key.insert_or_assign(state.key, s.number);
    }
    if (s.publishes) {
        const std::uint32_t old = s.created ? SL_NONE : row_of(record.slot);
        write_slot(record.slot, generation, s.row);
        state.changed = generation;
        if (old != SL_NONE) {
            const sl_route& route = t.routes[old];
            state.older.push_back(old);
            retire(Retired::kRoute, old);
            retire(Retired::kDestinations, route.destination_first, route.destination_count);
        }
    }
    state.owner = s.port;
    if (s.port) {
        state.life = Life::kLive;
        state.stamp = 0;
    } else {
        state.life = Life::kRemoved;
        state.stamp = ++stamps;
        retire(Retired::kService, s.number, 1, state.stamp);
    }
}

void Publisher::Impl::commit_ports(Plan& p) {
    for (const PortPlan& plan : p.ports) {
        if (!plan.port) {
            ports.erase(plan.key);
            continue;
        }
        PortState& state = ports[plan.key];
        state.port = plan.port;
        state.records.clear();
    }
    for (const ServicePlan& s : p.services) {
        if (s.port) {
            ports[{s.port->scope, s.port->host, s.port->port}].records.push_back(s.number);
        }
    }
}

Result<std::uint64_t> Publisher::Impl::publish(std::span<const model::ServicePortPtr> changed,
                                               std::span<const model::ServicePortKey> removed, bool everything) {
    Result<Plan> p = plan(changed, removed, everything);
    if (!p && p.error().code == ENOSPC && !(retired.empty() && held.empty())) {
        settle();
        p = plan(changed, removed, everything);
    }
    if (!p) {
        return std::unexpected(std::move(p.error()));
    }
    // Clients of a scope that appears are told before it does (until then they find nothing there and use scope 0),
    // clients of one that disappears after it did.
    for (const auto& [name, change] : p->scope_references) {
        if (change > 0 && !name.empty()) {
            ScopeState& state = scopes[name];
            state.number = p->scope_numbers.at(name);
            state.references += static_cast<std::uint64_t>(change);
        }
    }
    const auto drop_scopes = [&](int sign) {
        for (const auto& [name, change] : p->scope_references) {
            const auto state = scopes.find(name);
            if (change * sign < 0 && state != scopes.end()) {
                state->second.references -= static_cast<std::uint64_t>(change * -sign);
            }
        }
    };
    if (auto told = push_clients(); !told) {
        drop_scopes(-1);
        undo(*p);
        forget_empty_scopes(false);
        return std::unexpected(std::move(told.error()).within("client index"));
    }
    const std::uint64_t result = commit(*p);
    drop_scopes(1);
    if (push_clients()) {  // else the next publication tries again; a scope without rows behaves as scope 0
        forget_empty_scopes(true);
    }
    return result;
}

void Publisher::Impl::forget_empty_scopes(bool release) {
    for (auto it = scopes.begin(); it != scopes.end();) {
        if (it->second.references != 0) {
            ++it;
            continue;
        }
        if (release) {
            identities.release(it->second.number);
        }
        it = scopes.erase(it);
    }
}

std::vector<std::pair<std::uint64_t, sl_client>> Publisher::Impl::wanted_clients() const {
    std::vector<std::pair<std::uint64_t, sl_client>> wanted;
    for (std::size_t i = 0; i < clients.size(); ++i) {
        wanted.emplace_back(clients[i].first, sl_client{client_identities[i], scope(clients[i].second.ns)});
    }
    return wanted;
}

// Tells the index when scopes moved. Before the first set_clients() it keeps what an earlier agent said.
Result<> Publisher::Impl::push_clients() {
    auto wanted = wanted_clients();
    const auto same = [](const auto& a, const auto& b) {
        return a.first == b.first && a.second.workload == b.second.workload && a.second.scope == b.second.scope;
    };
    if (wanted.empty() || (clients_pushed && std::ranges::equal(wanted, pushed_clients, same))) {
        return {};
    }
    clients_pushed = false;
    if (auto done = client_index.replace(wanted); !done) {
        return done;
    }
    clients_pushed = true;
    pushed_clients = std::move(wanted);
    return {};
}

}  // namespace sluice::compile
