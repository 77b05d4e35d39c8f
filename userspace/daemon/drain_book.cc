#include "daemon/drain_book.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "bpf/lib/pick.h"

namespace sluice::daemon {

using config::Drain;

namespace {

constexpr std::size_t kServicesAtOnce = 64;  // before others get through the gate
constexpr std::size_t kWeightsKept = 4;
constexpr auto kSettleTime = std::chrono::seconds(2);

}  // namespace

DrainBook::DrainBook(Controller& controller, const compile::Publisher& publisher)
    : controller_(controller), publisher_(publisher) {
    const sl_tables& t = publisher_.tables();
    for (std::uint32_t service = 0; service < t.service_count; ++service) {
        if (t.services[service].in_use == 0) {
            continue;
        }
        auto weights = in_force(service);
        if (weights && weights->destinations.size() > 1) {
            known_[service] = {{std::move(*weights)}, true, 0, {}};
        }
    }
}

std::optional<Weights> DrainBook::in_force(std::uint32_t service) const {
    const sl_tables& t = publisher_.tables();
    std::uint32_t row = SL_NONE;
    if (service >= t.service_count || !sl_slot_row(t.services[service].slot, sl_load(&t.control->generation), &row) ||
        row >= t.route_count) {
        return std::nullopt;
    }
    const sl_route& route = t.routes[row];
    Weights weights{route.generation, {}};
    for (std::uint64_t i = 0; i < route.destination_count && route.destination_first + i < t.destination_count; ++i) {
        const sl_destination& destination = t.destinations[route.destination_first + i];
        weights.destinations.push_back({destination.cluster, destination.weight});
    }
    return weights;
}

void DrainBook::remember(Known& known, Weights weights) {
    if (!known.weights.empty() && known.weights.back().destinations == weights.destinations) {
        return;
    }
    known.weights.push_back(std::move(weights));
    if (known.weights.size() > kWeightsKept) {
        known.weights.erase(known.weights.begin());
    }
    known.settled = false;
    known.base = 0;
    known.until = {};
}

void DrainBook::read() {
    services_.clear();
    std::unordered_set<std::uint32_t> seen;
    std::optional<model::ServicePortKey> last;
    bool more = true;
    while (more) {
        controller_.view([&](const model::Mesh& mesh, const admin::ViewContext&) {
            auto next = last ? mesh.services().upper_bound(*last) : mesh.services().begin();
            for (std::size_t i = 0; i < kServicesAtOnce && next != mesh.services().end(); ++i, ++next) {
                for (std::uint32_t service : publisher_.service_numbers(next->first)) {
                    seen.insert(service);
                    take(service, *next->second->route);
                }
                last = next->first;
            }
            more = next != mesh.services().end();
        });
    }
    std::erase_if(known_, [&](const auto& entry) { return !seen.contains(entry.first); });
}

void DrainBook::take(std::uint32_t service, const model::Route& route) {
    auto weights = in_force(service);
    if (!weights || weights->destinations.empty()) {
        return;
    }
    if (weights->destinations.size() > 1) {
        remember(known_[service], *weights);
    } else {
        known_.erase(service);
    }
    DrainService made{.drain = route.drain, .weights = {}, .ejections = {}, .shares = false, .base = 0};
    bool any = route.drain > Drain::kNone;
    for (const model::Destination& destination : route.destinations) {
        if (destination.cluster && destination.cluster->drain > Drain::kNone) {
            made.ejections.emplace_back(publisher_.cluster_number(destination.cluster->id), destination.cluster->drain);
            any = true;
        }
    }
    if (!any) {
        return;
    }
    if (auto known = known_.find(service); known != known_.end()) {
        made.weights = known->second.weights;
        made.shares = !known->second.settled && route.drain > Drain::kNone;
        made.base = known->second.base;
    } else {
        made.weights = {std::move(*weights)};
    }
    services_[service] = std::move(made);
}

const DrainService* DrainBook::find(std::uint32_t service) const {
    auto found = services_.find(service);
    return found == services_.end() ? nullptr : &found->second;
}

DrainView DrainBook::view(std::uint64_t now_ns) const {
    const sl_tables& t = publisher_.tables();
    DrainView view;
    view.state = [&t, now_ns](std::uint32_t number) {
        if (number >= t.endpoint_count) {
            return EndpointState::kLeft;
        }
        const sl_endpoint& endpoint = t.endpoints[number];
        if ((sl_load(&endpoint.flags) & SL_ENDPOINT_LISTED) == 0) {
            return EndpointState::kLeft;
        }
        if (!sl_outlier_is_out(&t.health[number], now_ns)) {
            return EndpointState::kIn;
        }
        sl_cluster* cluster = sl_cluster_at(&t, sl_load(&endpoint.cluster));
        const sl_cluster_row* policy = cluster ? sl_outlier_policy(&t, cluster) : nullptr;
        const bool panic = policy && sl_panics(policy, sl_load(&cluster->ejected));
        return panic ? EndpointState::kIn : EndpointState::kEjected;
    };
    view.home = [this, &t](const DrainService& service, const sl_connection& connection) {
        std::optional<std::pair<std::uint32_t, std::uint32_t>> home;
        IpAddress address;
        std::memcpy(address.bytes.data(), connection.remote_address, address.bytes.size());
        for (const WeightedCluster& destination : service.weights.back().destinations) {
            const std::uint32_t endpoint =
                publisher_.endpoint_number(destination.cluster, address, __builtin_bswap16(connection.remote_port));
            if (endpoint < t.endpoint_count && (sl_load(&t.endpoints[endpoint].flags) & SL_ENDPOINT_LISTED) != 0 &&
                (!home || destination.weight > 0)) {
                home = {destination.cluster, endpoint};
            }
        }
        return home;
    };
    return view;
}

void DrainBook::chosen(std::uint32_t service, std::size_t connections, std::size_t for_shares, Time now) {
    auto rule = services_.find(service);
    auto known = known_.find(service);
    if (rule == services_.end() || known == known_.end() || !rule->second.shares) {
        return;
    }
    if (for_shares > 0) {
        known->second.until = now + kSettleTime;
    }
    known->second.base = rule->second.base = std::max(known->second.base, connections);
}

void DrainBook::settle(Time now) {
    for (auto& [service, rule] : services_) {
        auto known = known_.find(service);
        if (!rule.shares || known == known_.end()) {
            continue;
        }
        if (known->second.until == Time{}) {
            known->second.until = now + kSettleTime;
        }
        known->second.settled = now >= known->second.until;
        rule.shares = !known->second.settled;
    }
}

bool DrainBook::settling() const {
    return std::ranges::any_of(services_, [](const auto& entry) { return entry.second.shares; });
}

}  // namespace sluice::daemon
