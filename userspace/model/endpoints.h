// The endpoints of a service port, wherever they are written: inline, WorkloadEntries, EndpointSlices.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "model/index.h"
#include "model/workload.h"

namespace sluice::model {

// One endpoint as its object says it.
struct FoundEndpoint {
    const config::Endpoint& endpoint;
    std::uint16_t port;
    const config::Object& owner;  // the object that writes it
};

// `service` is a ServiceEntry or Service, `port` one of its ports.
void for_each_endpoint(const Index& index, const config::Object& service, const config::ServicePort& port,
                       const std::function<void(const FoundEndpoint&)>& visit);

// As a cluster keeps them: IPv4 first, then by address and port, unique (of equals one that accepts connections stays).
// `subset`: only endpoints with these labels; null: all.
std::vector<Endpoint> cluster_endpoints(const Index& index, Workloads& workloads, const config::Object& service,
                                        const config::ServicePort& port, const config::Labels* subset);

}  // namespace sluice::model
