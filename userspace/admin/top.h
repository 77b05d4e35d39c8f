// Counters behind `sluice top`: services, where their rules send, and what the requests there did. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "admin/backend.h"
#include "admin/live.h"
#include "model/mesh.h"
#include "sluice/abi/conn.h"
#include "sluice/abi/http.h"
#include "telemetry/reading.h"

namespace sluice::admin {

// Sums over clients, destination workloads and codes of one cluster. Only ever grow.
struct ClusterRequests {
    std::uint64_t requests = 0;    // finished, and connects that never got that far
    std::uint64_t failed = 0;      // of these: 5xx, no whole answer by the endpoint's doing, or no connection
    std::uint64_t unobserved = 0;  // connections
    std::array<std::uint64_t, SL_HISTOGRAM_BUCKETS> duration{};

    void add(const sl_request_key& key, const sl_request_counts& counts);
    // Connects of an HTTP port: those that failed are requests without an answer.
    void add(const sl_flow_key& key, const sl_flow& flow);
    // Requests of the proxy lane. What the client gave up is nobody's failure here either.
    void add(const telemetry::ProxiedLabels& labels, const sl_request_counts& counts);
};

// What requests did: in a cluster, and of a service those that came to no cluster (no rule matched, or the one that did
// names a host or subset that does not exist).
struct RequestsOf {
    std::function<ClusterRequests(const model::Cluster&)> cluster;
    std::function<ClusterRequests(const model::ServicePort&)> unrouted;
};
// By what labels of unrouted requests and services are compared: scope, host and port.
std::string service_key(const telemetry::ServiceNames& names);
std::string service_key(const model::ServicePort& service);

// {host, port, scope, http, generation, connections, older_generation_connections, unrouted_requests, unrouted_failed,
// destinations: [{destination, subset, cluster (its name), weight, share, observed_share, picks, connections,
// endpoints, ejected, ejections, requests, failed, unobserved, duration}]}. `duration` counts per bucket of
// SL_HISTOGRAM_BOUNDS_X2, [] before the first request. A destination without a cluster has only its names, weight and
// share. Behind the destinations of the route come those that only other rules of a request lane name, each cluster
// once, without weight and share: their weights are of their rules.
Json top_row(const model::ServicePort& service, const Live& live, const RequestsOf& requests);

// How much ever happened at the service: where not all are shown, the busiest are.
std::uint64_t activity(const Json& top_row);

}  // namespace sluice::admin
