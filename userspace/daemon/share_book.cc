#include "daemon/share_book.h"

#include <algorithm>

namespace sluice::daemon {

namespace {

model::ServicePortKey key_of(const model::ServicePort& service) {
    return {service.scope, service.host, service.port};
}

}  // namespace

std::vector<std::uint64_t> ShareBook::picks_now(const model::Route& route) const {
    std::vector<std::uint64_t> picks;
    for (const model::Destination& destination : route.destinations) {
        std::uint32_t number = destination.cluster ? publisher_.cluster_number(destination.cluster->id) : SL_NONE;
        picks.push_back(number < publisher_.tables().cluster_count
                            ? sl_load(&publisher_.tables().clusters[number].picks_total)
                            : 0);
    }
    return picks;
}

void ShareBook::begin(std::span<const model::ServicePortPtr> services, std::uint64_t generation) {
    first_generation_ = generation;
    for (const model::ServicePortPtr& service : services) {
        if (service->route->destinations.size() < 2) {
            continue;
        }
        std::vector<std::uint64_t> picks = picks_now(*service->route);
        if (std::ranges::any_of(picks, [](std::uint64_t count) { return count != 0; })) {
            bases_[key_of(*service)] = {generation, std::move(picks)};
        }
    }
}

void ShareBook::changed(std::span<const model::ServicePortPtr> services, std::uint64_t generation) {
    for (const model::ServicePortPtr& service : services) {
        if (service->route->destinations.size() > 1) {
            bases_[key_of(*service)] = {generation, picks_now(*service->route)};
        } else {
            bases_.erase(key_of(*service));
        }
    }
}

void ShareBook::removed(std::span<const model::ServicePortKey> services) {
    for (const model::ServicePortKey& key : services) {
        bases_.erase(key);
    }
}

std::optional<Shares> ShareBook::since(const model::ServicePort& service) const {
    if (service.route->destinations.size() < 2) {
        return std::nullopt;
    }
    Shares shares{first_generation_, picks_now(*service.route)};
    auto base = bases_.find(key_of(service));
    if (base == bases_.end()) {
        return shares;
    }
    shares.generation = base->second.generation;
    for (std::size_t i = 0; i < shares.picks.size() && i < base->second.picks.size(); ++i) {
        std::uint64_t before = base->second.picks[i];
        shares.picks[i] -= std::min(before, shares.picks[i]);  // a cluster record made anew counts from 0
    }
    return shares;
}

}  // namespace sluice::daemon
