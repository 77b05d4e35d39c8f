#include "admin/top.h"

#include <algorithm>
#include <set>

#include "admin/shares.h"
#include "config/objects.h"
#include "telemetry/reading.h"

namespace sluice::admin {

namespace {

Json destination_json(const model::Destination& destination) {
    return Json{{"destination", destination.text},
                {"subset", destination.cluster ? Json(destination.cluster->subset) : Json(nullptr)},
                {"cluster", destination.cluster ? Json(destination.cluster->name) : Json(nullptr)}};
}

// Those of rules, each cluster once, that the route itself does not send to.
std::vector<const model::Destination*> of_other_rules(const model::Route& route) {
    std::vector<const model::Destination*> out;
    std::set<const model::Cluster*> known;
    for (const model::Destination& destination : route.destinations) {
        known.insert(destination.cluster.get());
    }
    for (const model::HttpRoute& rule : route.http) {
        for (const model::Destination& destination : rule.destinations) {
            if (destination.cluster && known.insert(destination.cluster.get()).second) {
                out.push_back(&destination);
            }
        }
    }
    return out;
}

void cluster_columns(Json& row, const model::Cluster& cluster, const Live& live, const ClusterRequests& requests) {
    const ClusterLive now = live.cluster(cluster).value_or(ClusterLive{});
    row["picks"] = now.picks;
    row["connections"] = now.active;
    row["endpoints"] = std::ranges::count_if(cluster.endpoints, [](const model::Endpoint& e) { return e.accepts_new; });
    row["ejected"] = now.ejected;
    row["ejections"] = now.ejections;
    row["requests"] = requests.requests;
    row["failed"] = requests.failed;
    row["unobserved"] = requests.unobserved;
    row["duration"] =
        total({requests.duration.begin(), requests.duration.end()}) == 0 ? Json::array() : Json(requests.duration);
}

}  // namespace

void ClusterRequests::add(const sl_request_key& key, const sl_request_counts& counts) {
    if (SL_REASON_IS_UNOBSERVED(key.reason)) {
        unobserved += counts.requests;
        return;
    }
    requests += counts.requests;
    // What the client gave up is nobody's failure.
    const bool given_up = key.reason == SL_REASON_DOWNSTREAM_CLOSED && key.status < 500;
    const bool whole = key.reason == SL_REASON_NONE && key.status < 500;
    failed += whole || given_up ? 0 : counts.requests;
    for (std::size_t i = 0; i < duration.size(); ++i) {
        duration[i] += counts.duration[i];
    }
}

void ClusterRequests::add(const telemetry::ProxiedLabels& labels, const sl_request_counts& counts) {
    requests += counts.requests;
    const bool given_up = labels.status < 500 && labels.flags.find("DC") != std::string::npos;
    const bool whole = labels.status != 0 && labels.status < 500 && labels.flags.find("UC") == std::string::npos &&
                       labels.flags.find("UPE") == std::string::npos;
    failed += whole || given_up ? 0 : counts.requests;
    for (std::size_t i = 0; i < duration.size(); ++i) {
        duration[i] += counts.duration[i];
    }
}

std::string service_key(const telemetry::ServiceNames& names) {
    return names.scope + "|" + names.host + "|" + names.port;
}

std::string service_key(const model::ServicePort& service) {
    return service.scope + "|" + service.host + "|" + std::to_string(service.port);
}

void ClusterRequests::add(const sl_flow_key& key, const sl_flow& flow) {
    if (telemetry::is_refusal(key.reason) || telemetry::is_connect_failure(key.reason)) {
        requests += flow.opened;
        failed += flow.opened;
    }
}

Json top_row(const model::ServicePort& service, const Live& live, const RequestsOf& requests) {
    const RouteLive now = live.route(service).value_or(RouteLive{});
    Json row{{"host", service.host}, {"port", service.port}, {"scope", service.scope.empty() ? "*" : service.scope}};
    const bool http = config::is_http(service.protocol);
    row["http"] = http;
    row["generation"] = now.generation;
    row["connections"] = now.open + now.open_older;
    row["older_generation_connections"] = now.open_older;
    const std::uint64_t weights = weight_sum(*service.route);
    const std::uint64_t picked = total(now.picks);
    const ClusterRequests unrouted = http ? requests.unrouted(service) : ClusterRequests{};
    row["unrouted_requests"] = unrouted.requests;
    row["unrouted_failed"] = unrouted.failed;
    const auto columns = [&](Json& one, const model::ClusterPtr& cluster) {
        cluster_columns(one, *cluster, live, http ? requests.cluster(*cluster) : ClusterRequests{});
    };
    Json& destinations = row["destinations"] = Json::array();
    for (std::size_t i = 0; i < service.route->destinations.size(); ++i) {
        const model::Destination& destination = service.route->destinations[i];
        Json& one = destinations.emplace_back(destination_json(destination));
        one["weight"] = destination.weight;
        one["share"] = share(destination.weight, weights);
        one["observed_share"] = i < now.picks.size() ? share(now.picks[i], picked) : Json(nullptr);
        if (destination.cluster) {
            columns(one, destination.cluster);
        }
    }
    for (const model::Destination* destination : of_other_rules(*service.route)) {
        Json& one = destinations.emplace_back(destination_json(*destination));
        one["weight"] = one["share"] = one["observed_share"] = nullptr;
        columns(one, destination->cluster);
    }
    return row;
}

std::uint64_t activity(const Json& row) {
    std::uint64_t sum = row["connections"].get<std::uint64_t>() + row["unrouted_requests"].get<std::uint64_t>();
    for (const Json& one : row["destinations"]) {
        sum += one.value("picks", std::uint64_t{0}) + one.value("requests", std::uint64_t{0});
    }
    return sum;
}

}  // namespace sluice::admin
