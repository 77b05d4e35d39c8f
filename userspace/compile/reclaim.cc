#include <algorithm>

#include "compile/state.h"

namespace sluice::compile {

void Publisher::Impl::retire(Retired::Kind kind, std::uint32_t index, std::uint32_t count, std::uint64_t stamp) {
    retired.push_back({kind, index, count, stamp});
}

void Publisher::Impl::run_grace() {
    const std::uint64_t now = generation();
    grace();
    settled = std::max(settled, now);
}

// Before the grace period after which their numbers are free. A key that cannot be erased stays, and so does its
// record.
void Publisher::Impl::erase_removed_keys() {
    for (const Retired& r : retired) {
        if (r.kind != Retired::kService) {
            continue;
        }
        ServiceState& state = services[r.index];
        if (state.life != Life::kRemoved || state.stamp != r.stamp) {
            continue;
        }
        const auto known = service_by_key.find(state.key);
        const bool mine = known != service_by_key.end() && known->second == r.index;
        if (mine && !service_index.erase(state.key)) {
            continue;
        }
        state.life = Life::kErased;
    }
}

// What readers of older generations may still see, now and under the lock: for a writer that needs the room.
void Publisher::Impl::settle() {
    erase_removed_keys();
    std::vector<Retired> batch = std::exchange(retired, {});
    batch.insert(batch.end(), held.begin(), held.end());
    held.clear();
    run_grace();
    free_retired(std::move(batch));
}

void Publisher::Impl::free_retired(std::vector<Retired> batch) {
    // Endpoints first: a cluster record is free only when its endpoints are.
    std::ranges::stable_sort(batch, {}, &Retired::kind);
    std::vector<std::uint32_t> thinned;
    const auto thin_out = [&] {
        std::ranges::sort(thinned);
        thinned.erase(std::ranges::unique(thinned).begin(), thinned.end());
        for (const std::uint32_t number : thinned) {
            std::erase_if(clusters[number].slots,
                          [&](std::uint32_t slot) { return t.endpoints[slot].cluster != number; });
        }
        thinned.clear();
    };
    for (const Retired& r : batch) {
        if (r.kind > Retired::kEndpoint) {
            thin_out();
        }
        const std::uint32_t owner = r.kind == Retired::kEndpoint ? t.endpoints[r.index].cluster : SL_NONE;
        if (!free_one(r)) {
            held.push_back(r);
        } else if (owner != SL_NONE && t.endpoints[r.index].cluster == SL_NONE) {
            thinned.push_back(owner);
        }
    }
    thin_out();
}

bool Publisher::Impl::free_one(const Retired& r) {
    switch (r.kind) {
        case Retired::kRoute: {
            sl_route& route = t.routes[r.index];
            if (sl_load(&route.open) != 0) {
                return false;
            }
            sl_store(&route.in_use, 0u);
            if (route.service < services.size()) {
                std::erase(services[route.service].older, r.index);
            }
            route_rows.give_back(r.index);
            return true;
        }
        case Retired::kDestinations:
            destination_ranges.give_back(r.index, r.count);
            return true;
        case Retired::kClusterRow:
            sl_store(&t.cluster_rows[r.index].in_use, 0u);
            policy_rows.give_back(r.index);
            return true;
        case Retired::kList:
            list_ranges.give_back(r.index, r.count);
            return true;
        case Retired::kHash:
            hash_ranges.give_back(r.index, r.count);
            return true;
        case Retired::kUnlisted:
            unlist(r.index);
            return true;
        case Retired::kEndpoint:
            return free_endpoint(r);
        case Retired::kCluster:
            return free_cluster(r);
        case Retired::kService:
            return free_service(r);
    }
    return true;
}

// As Envoy does with a removed host: its ejection ends and no longer counts against the others.
void Publisher::Impl::unlist(std::uint32_t endpoint) {
    const sl_endpoint& record = t.endpoints[endpoint];
    if (record.cluster == SL_NONE || (record.flags & SL_ENDPOINT_LISTED) != 0) {
        return;
    }
    sl_health& health = t.health[endpoint];
    if (sl_xchg(&health.ejected_until, __u64{0}) != 0) {
        sl_sub(&t.clusters[record.cluster].ejected, 1u);
    }
    sl_store(&health.consecutive_5xx, 0u);
    sl_store(&health.consecutive_gateway, 0u);
    sl_store(&health.consecutive_local, 0u);
    sl_store(&health.backoff, 0u);
    sl_store(&health.last_return, __u64{0});
}

bool Publisher::Impl::free_endpoint(const Retired& r) {
    if (endpoint_stamp(r.index) != r.stamp) {
        return true;  // wanted again
    }
    unlist(r.index);
    if (sl_load(&t.health[r.index].active) != 0) {
        return false;
    }
    identities.release(t.endpoints[r.index].workload);
    sl_store(&t.endpoints[r.index].cluster, SL_NONE);
    endpoint_stamp(r.index) = 0;
    endpoint_rows.give_back(r.index);
    return true;
}

bool Publisher::Impl::free_cluster(const Retired& r) {
    ClusterState& state = clusters[r.index];
    if (state.stamp != r.stamp) {
        return true;
    }
    sl_cluster& record = t.clusters[r.index];
    if (sl_load(&record.active) != 0 || !state.slots.empty()) {
        return false;
    }
    for (sl_slot& slot : record.slot) {
        sl_store(&slot.generation, SL_GENERATION_EMPTY);
    }
    sl_store(&record.in_use, 0u);
    cluster_by_id.erase(state.id);
    state = {};
    freed_clusters.push_back(r.index);
    cluster_rows.give_back(r.index);
    return true;
}

bool Publisher::Impl::free_service(const Retired& r) {
    ServiceState& state = services[r.index];
    if (state.stamp != r.stamp) {
        return true;
    }
    if (state.life != Life::kErased) {
        retired.push_back(r);  // its key is still in the index: try again
        return true;
    }
    if (!state.older.empty()) {
        return false;
    }
    if (const auto known = service_by_key.find(state.key); known != service_by_key.end() && known->second == r.index) {
        service_by_key.erase(known);
    }
    for (sl_slot& slot : t.services[r.index].slot) {
        sl_store(&slot.generation, SL_GENERATION_EMPTY);
    }
    sl_store(&t.services[r.index].in_use, 0u);
    state = {};
    service_rows.give_back(r.index);
    return true;
}

std::size_t Publisher::reclaim() {
    std::unique_lock lock(impl_->mutex);
    impl_->erase_removed_keys();
    std::vector<Retired> batch = std::exchange(impl_->retired, {});
    const std::uint64_t now = impl_->generation();
    if (!batch.empty()) {
        lock.unlock();
        impl_->grace();
        lock.lock();
        impl_->settled = std::max(impl_->settled, now);
    }
    batch.insert(batch.end(), impl_->held.begin(), impl_->held.end());
    impl_->held.clear();
    impl_->free_retired(std::move(batch));
    return impl_->held.size() + impl_->retired.size();
}

}  // namespace sluice::compile
