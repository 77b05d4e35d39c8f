#include "admin/views.h"

#include <algorithm>

#include <fmt/format.h>

#include "admin/explain_rules.h"
#include "admin/shares.h"

namespace sluice::admin {

namespace {

Json place_of(const config::ObjectPtr& object, const ViewContext& context) {
    if (!object) {
        return nullptr;
    }
    Where where = context.where ? context.where(*object) : Where{object->file, object->place.line};
    return where.line > 0 ? where.file + ":" + std::to_string(where.line) : where.file;
}

std::string scope_text(const std::string& scope) {
    return scope.empty() ? "*" : scope;
}

std::string subset_text(const model::Destination& destination) {
    if (!destination.cluster) {
        return destination.text;
    }
    return destination.cluster->subset;
}

const char* load_balancer_name(sl_load_balancer kind) {
    switch (kind) {
        case SL_LB_LEAST_REQUEST:
            return "LEAST_REQUEST";
        case SL_LB_ROUND_ROBIN:
            return "ROUND_ROBIN";
        case SL_LB_RANDOM:
            return "RANDOM";
        case SL_LB_RING_HASH:
            return "RING_HASH";
        case SL_LB_MAGLEV:
            return "MAGLEV";
    }
    return "";
}

Json head(const model::ServicePort& service) {
    return Json{{"host", service.host}, {"port", service.port}, {"scope", scope_text(service.scope)}};
}

std::size_t accepting(const model::Cluster& cluster) {
    return static_cast<std::size_t>(
        std::ranges::count_if(cluster.endpoints, [](const model::Endpoint& e) { return e.accepts_new; }));
}

std::string split_text(const std::vector<model::Destination>& destinations) {
    std::string split;
    for (const model::Destination& destination : destinations) {
        std::string name = subset_text(destination);
        split += (split.empty() ? "" : " ") + (name.empty() ? destination.text : name) + "=" +
                 std::to_string(destination.weight);
    }
    return split;
}

Json service_row(const model::ServicePort& service, const ViewContext& context) {
    Json row = head(service);
    row["protocol"] = config::protocol_name(service.protocol);
    std::string addresses;
    for (const IpAddress& address : service.addresses) {
        addresses += (addresses.empty() ? "" : " ") + address.text();
    }
    row["addresses"] = addresses;
    row["lane"] = model::lane_name(service.route->lane);
    const std::size_t rules = service.route->http.size();
    row["split"] = rules > 1 ? fmt::format("{} rules", rules) : split_text(service.route->destinations);
    row["rule"] = place_of(service.route->source, context);
    return row;
}

// One row a destination of each rule; one without destinations says what it does.
std::vector<Json> rule_rows(const model::ServicePort& service, const ViewContext& context) {
    std::vector<Json> out;
    for (const Json& rule : rules_json(service, context)) {
        std::string when;
        for (const Json& text : rule["when"]) {
            when += (when.empty() ? "" : " or ") + text.get<std::string>();
        }
        Json common = head(service);
        common["when"] = rule["only_for"].is_null() ? when : rule["only_for"].get<std::string>();
        Json destinations = rule["destinations"];
        if (destinations.empty()) {
            destinations.push_back({{"destination", rule["does"].empty() ? Json("") : rule["does"][0]},
                                    {"weight", nullptr},
                                    {"share", nullptr}});
        }
        for (const Json& destination : destinations) {
            Json row = common;
            for (const char* name : {"destination", "weight", "share"}) {
                row[name] = destination[name];
            }
            row["rule"] = rule["at"];
            out.push_back(std::move(row));
        }
    }
    return out;
}

std::vector<Json> route_rows(const model::ServicePort& service, const ViewContext& context) {
    std::optional<RouteLive> live = context.live ? context.live->route(service) : std::nullopt;
    const std::uint64_t sum = weight_sum(*service.route);
    const std::uint64_t picked = live ? total(live->picks) : 0;
    std::vector<Json> out;
    for (std::size_t i = 0; i < service.route->destinations.size(); ++i) {
        const model::Destination& destination = service.route->destinations[i];
        Json row = head(service);
        row["destination"] = destination.text;
        row["weight"] = destination.weight;
        row["share"] = share(destination.weight, sum);
        if (context.live) {
            bool known = live && i < live->picks.size();
            row["observed_share"] = known ? share(live->picks[i], picked) : Json(nullptr);
            row["generation"] = live ? Json(live->generation) : Json(nullptr);
        }
        row["rule"] = place_of(service.route->source, context);
        out.push_back(std::move(row));
    }
    return out;
}

// "5xx 3, interval 1s, base 3s, max 50%"; null without outlier detection.
Json outlier_text(const model::Cluster& cluster) {
    if (!cluster.outlier) {
        return nullptr;
    }
    const config::OutlierDetection& outlier = *cluster.outlier;
    auto seconds = [](std::chrono::nanoseconds time) {
        return fmt::format("{:g}s", std::chrono::duration<double>(time).count());
    };
    std::string text = fmt::format("5xx {}", outlier.consecutive_5xx.value_or(5));
    if (outlier.consecutive_gateway) {
        text += fmt::format(", gateway {}", *outlier.consecutive_gateway);
    }
    if (outlier.split_local_origin) {
        text += fmt::format(", local {}", outlier.consecutive_local.value_or(5));
    }
    return text + fmt::format(", interval {}, base {}, max {}%", seconds(outlier.interval),
                              seconds(outlier.base_ejection), outlier.max_ejection_percent);
}

std::vector<Json> subset_rows(const model::ServicePort& service, const ViewContext& context) {
    std::vector<Json> out;
    for (const model::ClusterPtr& cluster : model::clusters_of(*service.route)) {
        Json row = head(service);
        row["destination_host"] = cluster->host;
        row["subset"] = cluster->subset;
        row["endpoints"] = accepting(*cluster);
        if (context.live) {
            std::optional<ClusterLive> live = context.live->cluster(*cluster);
            ClusterLive now = live.value_or(ClusterLive{});
            row["ejected"] = now.ejected;
            row["active"] = now.active;
            row["picks"] = now.picks;
            row["ejections"] = now.ejections;
        }
        row["load_balancer"] = load_balancer_name(cluster->load_balancer);
        row["max_connections"] =
            cluster->max_connections == SL_UNLIMITED ? Json(nullptr) : Json(cluster->max_connections);
        row["connect_timeout_ms"] = cluster->connect_timeout_ms;
        row["outlier"] = outlier_text(*cluster);
        out.push_back(std::move(row));
    }
    return out;
}

void endpoint_columns(Json& row, const std::optional<EndpointLive>& live) {
    EndpointLive now = live.value_or(EndpointLive{});
    if (now.ejected) {
        row["state"] = "ejected";
    }
    row["active"] = now.active;
    row["picks"] = now.picks;
    row["failures"] = now.failures;
    row["consecutive_5xx"] = now.consecutive_5xx;
    row["consecutive_gateway"] = now.consecutive_gateway;
    row["consecutive_local"] = now.consecutive_local;
    row["times_ejected"] = now.times_ejected;
    row["ejected_for_s"] = now.ejected ? Json(now.ejected_for_s) : Json(nullptr);
}

std::vector<Json> endpoint_rows(const model::ServicePort& service, const ViewContext& context) {
    std::vector<Json> out;
    for (const model::ClusterPtr& cluster : model::clusters_of(*service.route)) {
        std::vector<std::optional<EndpointLive>> live;
        if (context.live) {
            live = context.live->endpoints(*cluster);
        }
        for (std::size_t i = 0; i < cluster->endpoints.size(); ++i) {
            const model::Endpoint& endpoint = cluster->endpoints[i];
            Json row = head(service);
            row["subset"] = cluster->subset;
            row["endpoint"] = endpoint_text(endpoint.address, endpoint.port);
            row["state"] = endpoint.accepts_new ? "in" : "draining";
            if (context.live) {
                endpoint_columns(row, i < live.size() ? live[i] : std::nullopt);
            }
            row["workload"] = endpoint.workload->name;
            row["version"] = endpoint.workload->version;
            out.push_back(std::move(row));
        }
    }
    return out;
}

}  // namespace

std::vector<Json> rows(List what, const model::ServicePort& service, const ViewContext& context) {
    switch (what) {
        case List::kServices:
            return {service_row(service, context)};
        case List::kRoutes:
            return service.route->lane == model::Lane::kProxy ? rule_rows(service, context)
                                                              : route_rows(service, context);
        case List::kSubsets:
            return subset_rows(service, context);
        case List::kEndpoints:
            return endpoint_rows(service, context);
    }
    return {};
}

}  // namespace sluice::admin
