#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "admin/explain_rules.h"
#include "admin/shares.h"
#include "admin/views.h"

namespace sluice::admin {

namespace {

// More than this chance that a share sees no connection at all is worth a warning.
constexpr double kCoarseChance = 0.05;

const char* split_name(config::Split split) {
    switch (split) {
        case config::Split::kUnset:
            return "auto";
        case config::Split::kRequest:
            return "request";
        case config::Split::kConnection:
            return "connection";
    }
    return "";
}

// Endpoints that take new connections, and those of them that are not ejected.
std::pair<std::size_t, std::size_t> health_of(const model::Cluster& cluster, const Live* live) {
    std::vector<std::optional<EndpointLive>> now;
    if (live) {
        now = live->endpoints(cluster);
    }
    std::size_t endpoints = 0, healthy = 0;
    for (std::size_t i = 0; i < cluster.endpoints.size(); ++i) {
        if (cluster.endpoints[i].accepts_new) {
            ++endpoints;
            healthy += i < now.size() && now[i] && now[i]->ejected ? 0 : 1;
        }
    }
    return {endpoints, healthy};
}

// What is seen of the connections that a route places.
const char* watched_text(const model::Route& route) {
    if (route.lane == model::Lane::kProxy) {
        return "answers: each request, by the proxy";
    }
    bool http = false, http1 = true;
    for (const model::Destination& destination : route.destinations) {
        if (destination.cluster) {
            http = http || destination.cluster->http;
            http1 = http1 && destination.cluster->answers;
        }
    }
    if (!http) {
        return "connections only: not an HTTP port";
    }
    return http1 ? "answers: each HTTP/1 request is counted, and only an answer ends a run of failures"
                 : "answers where clients speak HTTP/1; HTTP/2 is counted as unobserved";
}

// What becomes of open connections to an ejected endpoint: as the route or the cluster says, whoever ends more.
const char* ejected_text(const model::Route& route, const model::Cluster& cluster) {
    return config::drain_name(std::max(route.drain, cluster.drain));
}

Json destinations_json(const model::ServicePort& service, const std::optional<RouteLive>& now,
                       const ViewContext& context) {
    const std::uint64_t sum = weight_sum(*service.route);
    const std::uint64_t picked = now ? total(now->picks) : 0;
    Json out = Json::array();
    for (std::size_t i = 0; i < service.route->destinations.size(); ++i) {
        const model::Destination& destination = service.route->destinations[i];
        Json row{{"destination", destination.text}};
        row["subset"] = destination.cluster ? Json(destination.cluster->subset) : Json(nullptr);
        row["weight"] = destination.weight;
        row["share"] = share(destination.weight, sum);
        if (destination.cluster) {
            auto [endpoints, healthy] = health_of(*destination.cluster, context.live);
            row["endpoints"] = endpoints;
            row["healthy"] = healthy;
            if (destination.cluster->outlier) {
                row["drain_ejected"] = ejected_text(*service.route, *destination.cluster);
            }
        } else {
            row["endpoints"] = 0;
            row["healthy"] = 0;
            row["refused_as"] = "NC";
        }
        if (context.live) {
            row["observed_share"] = now && i < now->picks.size() ? share(now->picks[i], picked) : Json(nullptr);
        }
        out.push_back(std::move(row));
    }
    return out;
}

std::string candidates_text(const std::vector<model::ServicePortPtr>& found) {
    std::string text;
    for (std::size_t i = 0; i < found.size() && i < 8; ++i) {
        text += fmt::format("{}{}:{}", text.empty() ? "" : ", ", found[i]->host, found[i]->port);
    }
    return found.size() > 8 ? text + ", …" : text;
}

}  // namespace

Json where_json(const config::ObjectPtr& object, const ViewContext& context) {
    if (!object) {
        return nullptr;
    }
    Where where = context.where ? context.where(*object) : Where{object->file, object->place.line};
    return Json{{"object", object->key.text()}, {"file", where.file}, {"line", where.line}};
}

bool means(const std::string& name, const model::ServicePort& service) {
    if (service.host == name || service.service_name == name) {
        return true;
    }
    if (service.host.size() > name.size() && service.host[name.size()] == '.' && service.host.starts_with(name)) {
        return true;
    }
    auto address = IpAddress::parse(name);
    return address && std::ranges::find(service.addresses, *address) != service.addresses.end();
}

Result<model::ServicePortPtr> find_service(const Services& services, const ExplainQuery& query) {
    std::vector<model::ServicePortPtr> found;
    bool exact = false;
    for (const auto& [key, service] : services) {
        if ((!key.scope.empty() && key.scope != query.client) || (query.port != 0 && key.port != query.port) ||
            !means(query.host, *service)) {
            continue;
        }
        if (key.host == query.host && !exact) {
            found.clear();  // a full name is not ambiguous
            exact = true;
        }
        if (!exact || key.host == query.host) {
            found.push_back(service);
        }
    }
    // The client's own view of a service port stands in for what all see.
    std::erase_if(found, [&](const model::ServicePortPtr& service) {
        return service->scope.empty() && std::ranges::any_of(found, [&](const model::ServicePortPtr& other) {
                   return !other->scope.empty() && other->host == service->host && other->port == service->port;
               });
    });
    std::string asked = query.port == 0 ? query.host : fmt::format("{}:{}", query.host, query.port);
    if (found.empty()) {
        return fail(fmt::format("no service '{}'{}", asked,
                                query.client.empty() ? "" : " for clients of namespace " + query.client));
    }
    if (found.size() > 1) {
        return fail(fmt::format("'{}' means several service ports: {}", asked, candidates_text(found)));
    }
    return found.front();
}

std::string coarse_split(const model::Route& route, std::uint64_t open) {
    const std::uint64_t sum = weight_sum(route);
    std::string text;
    for (const model::Destination& destination : route.destinations) {
        if (open == 0 || destination.weight == 0 || destination.weight == sum) {
            continue;
        }
        double part = static_cast<double>(destination.weight) / static_cast<double>(sum);
        double missed = std::pow(1 - part, static_cast<double>(open));
        if (missed > kCoarseChance) {
            text += fmt::format(
                "{}with {} open connections there is a chance of {:.0f}% that {} ({:.4g}%) sees none of them",
                text.empty() ? "" : "; ", open, missed * 100, destination.text, part * 100);
        }
    }
    return text;
}

Json explain(const model::ServicePort& service, const ExplainQuery& query, const ViewContext& context) {
    const model::Route& route = *service.route;
    std::optional<RouteLive> now = context.live ? context.live->route(service) : std::nullopt;
    Json out{{"host", service.host}, {"port", service.port}};
    out["client"] = query.client.empty() ? Json(nullptr) : Json(query.client);
    out["scope"] = service.scope.empty() ? "*" : service.scope;
    out["protocol"] = config::protocol_name(service.protocol);
    Json addresses = Json::array();
    for (const IpAddress& address : service.addresses) {
        addresses.push_back(address.text());
    }
    out["addresses"] = std::move(addresses);
    out["lane"] = model::lane_name(route.lane);
    out["reasons"] = route.lane_reasons;
    out["split"] = split_name(route.split);
    out["on_subset_down"] = route.spill ? "spill" : "fail";
    out["drain"] = config::drain_name(route.drain);
    out["watched"] = watched_text(route);
    if (route.lane == model::Lane::kProxy) {
        out["rules"] = rules_json(service, context);
        out["without_proxy"] =
            route.no_fallback.empty() ? "gets `destinations`, by connection" : "is refused: " + route.no_fallback;
    }
    out["destinations"] = destinations_json(service, now, context);
    out["rule"] = where_json(route.source, context);
    out["service"] = where_json(service.service, context);
    Json shaped = Json::array();
    for (const model::ClusterPtr& cluster : model::clusters_of(route)) {
        for (const config::ObjectPtr& source : cluster->sources) {
            Json entry = where_json(source, context);
            if (source->key.kind == config::Kind::kDestinationRule &&
                std::find(shaped.begin(), shaped.end(), entry) == shaped.end()) {
                shaped.push_back(std::move(entry));
            }
        }
    }
    out["shaped_by"] = std::move(shaped);
    if (now) {
        out["generation"] = now->generation;
        out["open_connections"] = now->open;
        out["older_generation_connections"] = now->open_older;
        std::string coarse = coarse_split(route, now->open + now->open_older);
        out["warnings"] = coarse.empty() ? Json::array() : Json::array({coarse});
    }
    return out;
}

}  // namespace sluice::admin
