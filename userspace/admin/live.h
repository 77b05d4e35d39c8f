// What runs now, beside what the rules say: counters and health of what is in force. Offline there is none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/mesh.h"

namespace sluice::admin {

struct ClusterLive {
    std::uint32_t active = 0;
    std::uint32_t ejected = 0;
    std::uint64_t picks = 0;
    std::uint64_t ejections = 0;
    std::uint64_t ejections_overflow = 0;
};

struct EndpointLive {
    std::uint32_t active = 0;
    std::uint32_t consecutive_5xx = 0;
    std::uint32_t consecutive_gateway = 0;
    std::uint32_t consecutive_local = 0;
    std::uint32_t times_ejected = 0;
    std::uint64_t picks = 0;
    std::uint64_t failures = 0;
    bool ejected = false;
    double ejected_for_s = 0;  // until it may return
};

struct RouteLive {
    std::uint64_t generation = 0;        // that put this route in force
    std::uint64_t open = 0;              // connections placed by it
    std::uint64_t open_older = 0;        // connections that follow an older generation's weights
    std::vector<std::uint64_t> picks{};  // since `generation`, one a destination
};

class Live {
  public:
    virtual ~Live() = default;
    // Empty: not in the tables.
    virtual std::optional<ClusterLive> cluster(const model::Cluster& cluster) const = 0;
    // One value an endpoint of cluster.endpoints, in its order.
    virtual std::vector<std::optional<EndpointLive>> endpoints(const model::Cluster& cluster) const = 0;
    virtual std::optional<RouteLive> route(const model::ServicePort& service) const = 0;
};

// Where an object's document stands: file and line from 1.
struct Where {
    std::string file{};
    int line = 0;
};

}  // namespace sluice::admin
