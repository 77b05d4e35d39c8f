// Which open connections of a service the rules in force would not place where they are. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "config/objects.h"
#include "sluice/abi/http.h"
#include "sluice/abi/tables.h"

namespace sluice::daemon {

// A destination of a route: cluster record (SL_NONE: NC) and weight.
struct WeightedCluster {
    std::uint32_t cluster = SL_NONE;
    std::uint32_t weight = 0;
    bool operator==(const WeightedCluster&) const = default;
};

// What weighed from a generation on.
struct Weights {
    std::uint64_t generation = 0;
    std::vector<WeightedCluster> destinations;
};

// One service record.
struct DrainService {
    config::Drain drain = config::Drain::kNone;  // the route's
    // By generation; the last one is in force. Before the first there was one destination only.
    std::vector<Weights> weights;
    std::vector<std::pair<std::uint32_t, config::Drain>> ejections;  // by cluster: what ends connections to the ejected
    bool shares = false;                                             // lowered weights end their excess
    std::size_t base = 0;  // connections that the service had when its weights changed; 0: as many as now
};

enum class EndpointState { kIn, kLeft, kEjected };

struct DrainView {
    std::function<EndpointState(std::uint32_t endpoint)> state;
    // Cluster and endpoint records under which the route in force lists the address that a connection goes to, for one
    // whose own cluster is no destination any more.
    std::function<std::optional<std::pair<std::uint32_t, std::uint32_t>>(const DrainService&, const sl_connection&)>
        home;
};

struct DrainChoice {
    struct Chosen {
        std::size_t index;  // into the connections
        sl_drain_mode mode;
    };
    std::vector<Chosen> chosen;
    std::size_t unwatched = 0;   // idle would end them, but nobody sees when they are idle: they stay
    std::size_t for_shares = 0;  // of the chosen, new ones of lowered weights
};

// `connections`: all of this service's that are established. Chosen are those to a destination that is gone or weighs
// nothing, to an endpoint that left or is ejected, and of a cluster whose share was lowered the excess: what it has
// beyond its part of all connections, rounded up. The excess is taken from connections that a larger share placed, one
// client (workload and network namespace) after the other. Connections that were asked to end before are chosen again
// and count as gone, so a second look at the same connections chooses nobody else.
DrainChoice choose(const DrainService& service, std::span<const sl_connection> connections, const DrainView& view);

}  // namespace sluice::daemon
