#include "model/route.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace sluice::model {

using config::ObjectPtr;
using config::Place;
using config::Split;

// A route while its lane is still open.
struct Routes::Draft {
    std::string host;
    ServiceRef service;
    bool http = false;
    const config::WeightedRule* rule = nullptr;  // null: the plain service
    std::string field;                           // "spec.http[0]"
    std::vector<Policies> policies;              // of the destinations' hosts, in order
    std::vector<ObjectPtr> outliers;             // for each destination the rule that gives outlierDetection, or null
    std::shared_ptr<Route> route = std::make_shared<Route>();

    std::size_t weighted() const {
        return static_cast<std::size_t>(
            std::ranges::count_if(route->destinations, [](auto& d) { return d.weight > 0; }));
    }
    // What the first of VirtualService, DestinationRules and service says; `read` returns true where it is set.
    template <typename Read>
    ObjectPtr annotated(const Read& read) const {
        if (route->source != nullptr && read(route->source->meta.annotations)) {
            return route->source;
        }
        for (const Policies& merged : policies) {
            for (const ObjectPtr& policy : merged.rules) {
                if (read(policy->meta.annotations)) {
                    return policy;
                }
            }
        }
        return read(service.object->meta.annotations) ? service.object : nullptr;
    }
};

namespace {

// What keeps a route from the direct lane.
struct Blocker {
    std::string why;  // a clause; empty: nothing
    std::string field;
    ObjectPtr object;
    Place place;
    bool split_helps = false;
};

const char* lane_choice_name(config::LaneChoice lane) {
    switch (lane) {
        case config::LaneChoice::kDirect:
            return "direct";
        case config::LaneChoice::kKernel:
            return "kernel";
        case config::LaneChoice::kProxy:
            return "proxy";
        case config::LaneChoice::kAuto:
            break;
    }
    return "auto";
}

std::string lanes_text(const std::vector<Lane>& lanes) {
    std::string text;
    for (const Lane lane : lanes) {
        text.append(text.empty() ? "" : ", ").append(lane_name(lane));
    }
    return text.empty() ? "none" : text;
}

std::string destination_text(const config::RouteDestination& destination) {
    return destination.subset.empty() ? destination.host : destination.host + "/" + destination.subset;
}

}  // namespace

const char* lane_name(Lane lane) {
    switch (lane) {
        case Lane::kDirect:
            return "direct";
        case Lane::kKernel:
            return "kernel";
        case Lane::kProxy:
            break;
    }
    return "proxy";
}

bool same_route(const Route& a, const Route& b) {
    const auto same_destination = [](const Destination& x, const Destination& y) {
        return x.weight == y.weight &&
               (x.cluster == y.cluster || (x.cluster && y.cluster && same_cluster(*x.cluster, *y.cluster)));
    };
    return a.spill == b.spill && a.lane == b.lane && a.split == b.split &&
           std::ranges::equal(a.destinations, b.destinations, same_destination);
}

bool same_service_port(const ServicePort& a, const ServicePort& b) {
    const auto plain = [](const ServicePort& p) {
        return std::tie(p.host, p.service_name, p.service_namespace, p.addresses, p.port, p.protocol);
    };
    return plain(a) == plain(b) && same_route(*a.route, *b.route);
}

void Routes::add_destination(const View& view, Draft& draft, std::size_t i) {
    const config::RouteDestination& destination = draft.rule->destinations[i];
    const config::Object& source = *draft.route->source;
    const std::string host = view.index().resolve(destination.host, source.key.ns);
    std::uint16_t port = destination.port;
    if (port == 0) {
        port = view.default_port(host, draft.service.port->number);
    }
    if (port == 0) {
        port = draft.service.port->number;
    }
    auto cluster = clusters_.get(view, host, port, destination.subset);
    Destination out{nullptr, destination.weight.value_or(0), destination_text(destination)};
    if (cluster) {
        out.cluster = std::move(*cluster);
        draft.policies.push_back(view.policies(host, out.cluster->service_namespace));
        const auto blocks = draft.policies.back().blocks(
            port, destination.subset.empty() ? nullptr : draft.policies.back().subset(destination.subset));
        draft.outliers.push_back(blocks.outlier != nullptr ? blocks.outlier_from : nullptr);
    } else {
        draft.outliers.push_back(nullptr);
        const Missing& missing = cluster.error();
        const bool subset = missing.what == Missing::What::kSubset, no_port = missing.what == Missing::What::kPort;
        const std::string field = fmt::format("{}.route[{}].destination.{}", draft.field, i,
                                              subset                               ? "subset"
                                              : (no_port && destination.port != 0) ? "port.number"
                                                                                   : "host");
        const Place place = subset                             ? destination.subset_place
                            : no_port && destination.port != 0 ? destination.port_place
                                                               : destination.host_place;
        if (options_.references_warn) {
            report_.warning(source, place, field, missing.message + ": its share is refused (NC)");
        } else {
            report_.error(source, place, field, missing.message);
        }
    }
    draft.route->destinations.push_back(std::move(out));
}

void Routes::take_rule(const View& view, Draft& draft) {
    const auto& destinations = draft.rule->destinations;
    const config::Object& source = *draft.route->source;
    if (destinations.empty() || destinations.size() > SL_ROUTE_DESTINATIONS_MAX) {
        report_.error(
            source, draft.rule->place, draft.field + ".route",
            fmt::format("{} destinations; 1 to {} are allowed", destinations.size(), SL_ROUTE_DESTINATIONS_MAX));
        return;
    }
    draft.route->destinations.reserve(destinations.size());
    for (std::size_t i = 0; i < destinations.size(); ++i) {
        add_destination(view, draft, i);
    }
    if (destinations.size() == 1) {
        Destination& only = draft.route->destinations.front();
        if (destinations.front().weight == 0u) {
            report_.warning(source, destinations.front().place, draft.field + ".route[0].weight",
                            "weight 0 is ignored: a single destination gets everything");
        }
        only.weight = only.weight != 0 ? only.weight : 100;
        return;
    }
    for (std::size_t i = 0; i < destinations.size(); ++i) {
        if (!destinations[i].weight) {
            report_.warning(source, destinations[i].place, fmt::format("{}.route[{}].weight", draft.field, i),
                            "no weight beside others counts as 0: this destination gets nothing");
        }
    }
    if (draft.weighted() == 0) {
        report_.error(source, draft.rule->place, draft.field + ".route", "total destination weight = 0");
    }
}

namespace {

std::string port_text(const ServiceRef& service, const std::string& host) {
    std::string protocol = config::protocol_name(service.port->protocol);
    std::ranges::transform(protocol, protocol.begin(), [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
    return fmt::format("{} port {} of {} ({})", protocol, service.port->number, host,
                       place_text(*service.object, service.port->place));
}

}  // namespace

void Routes::choose_lane(Draft& draft) {
    Route& route = *draft.route;
    Blocker blocker;
    const ObjectPtr split_from = draft.annotated([](const config::Annotations& a) { return a.split != Split::kUnset; });
    route.split = draft.http && split_from != nullptr ? split_from->meta.annotations.split : Split::kUnset;
    const auto outlier = std::ranges::find_if(draft.outliers, [](const ObjectPtr& rule) { return rule != nullptr; });
    const std::string port = port_text(draft.service, draft.host);
    if (draft.rule != nullptr && !draft.rule->needs_request_lane.empty()) {
        // "FIELD: why", as the parser says it.
        const std::string& needs = draft.rule->needs_request_lane;
        const std::size_t colon = needs.find(": ");
        const bool split = colon != std::string::npos;
        const Place place = draft.rule->needs_place.line != 0 ? draft.rule->needs_place : draft.rule->place;
        blocker = {needs, split ? needs.substr(0, colon) : draft.field, route.source, place, false};
    } else if (draft.http && route.split != Split::kConnection && draft.weighted() > 1) {
        blocker = {fmt::format("{} destinations share its requests by weight", draft.weighted()),
                   draft.field + ".route", route.source, draft.rule->place, true};
    } else if (draft.http && route.split != Split::kConnection && outlier != draft.outliers.end()) {
        const auto& cluster = *route.destinations[static_cast<std::size_t>(outlier - draft.outliers.begin())].cluster;
        blocker = {"outlierDetection counts answers to requests", "outlierDetection", *outlier, cluster.outlier->place,
                   true};
    }

    const ObjectPtr lane_from = draft.annotated([](const config::Annotations& a) { return a.lane_set; });
    const auto wanted = lane_from != nullptr ? lane_from->meta.annotations.lane : config::LaneChoice::kAuto;
    const auto available = [&](Lane lane) { return std::ranges::find(options_.lanes, lane) != options_.lanes.end(); };
    if (wanted == config::LaneChoice::kKernel || wanted == config::LaneChoice::kProxy) {
        route.lane = wanted == config::LaneChoice::kKernel ? Lane::kKernel : Lane::kProxy;
        const std::string annotation = fmt::format("sluice.dev/lane: {}", lane_choice_name(wanted));
        if (!available(route.lane)) {
            report_.error(
                *lane_from, lane_from->place, "metadata.annotations[sluice.dev/lane]",
                fmt::format("{} is not available; lanes available here: {}", annotation, lanes_text(options_.lanes)));
        }
        route.lane_reasons.push_back(
            fmt::format("{} of {} at {} asks for it.", annotation, lane_from->key.text(), place_text(*lane_from, {})));
        return;
    }
    if (blocker.why.empty()) {
        route.lane = Lane::kDirect;
        if (!draft.http) {
            route.lane_reasons.push_back(port + ": Istio too decides per connection.");
        } else if (route.split == Split::kConnection && (draft.weighted() > 1 || outlier != draft.outliers.end())) {
            route.lane_reasons.push_back(
                fmt::format("{} is split by connection, as sluice.dev/split of {} at {} says: weights count "
                            "connections, not requests.",
                            port, split_from->key.text(), place_text(*split_from, {})));
            say_split(draft);
        } else {
            route.lane_reasons.push_back(
                port +
                " has one destination and no outlierDetection: its rules mean the same per connection as per request.");
        }
        return;
    }
    const std::string reason = fmt::format("{} cannot take the direct lane: {} ({}).", port, blocker.why,
                                           place_text(*blocker.object, blocker.place));
    route.lane_reasons.push_back(reason);
    if (wanted != config::LaneChoice::kDirect && available(Lane::kProxy)) {
        route.lane = Lane::kProxy;
        return;
    }
    std::string message = wanted == config::LaneChoice::kDirect
                              ? fmt::format("{} But sluice.dev/lane: direct of {} at {} forces it.", reason,
                                            lane_from->key.text(), place_text(*lane_from, {}))
                              : fmt::format("{} Lanes available here: {}.", reason, lanes_text(options_.lanes));
    if (blocker.split_helps) {
        message += fmt::format(
            " The annotation sluice.dev/split: connection on the VirtualService, DestinationRule, "
            "ServiceEntry or Service would make it decide per connection{}.",
            split_from != nullptr ? fmt::format(" (now {} says request)", split_from->key.text()) : "");
    }
    report_.error(*blocker.object, blocker.place, blocker.field, std::move(message));
}

void Routes::say_split(const Draft& draft) {
    const Route& route = *draft.route;
    std::uint64_t sum = 0;
    const Destination* least = nullptr;
    for (const Destination& destination : route.destinations) {
        sum += destination.weight;
        if (destination.weight > 0 && (least == nullptr || destination.weight < least->weight)) {
            least = &destination;
        }
    }
    const std::string port = fmt::format("HTTP port {} of {}", draft.service.port->number, draft.host);
    if (route.source == nullptr || draft.weighted() < 2) {
        const ObjectPtr& object = route.source != nullptr ? route.source : draft.service.object;
        report_.warning(
            *object, draft.rule != nullptr ? draft.rule->place : draft.service.port->place, "sluice.dev/split",
            port + " is split by connection: outlierDetection counts failed connections, not failed requests");
        return;
    }
    const double share = static_cast<double>(least->weight) / static_cast<double>(sum);
    report_.warning(
        *route.source, draft.rule->place, draft.field + ".route",
        fmt::format("{} is split by connection: weights count connections, not requests; of 10 long connections "
                    "none reaches {} ({:.3g}%) with probability {:.0f}%",
                    port, least->text, 100 * share, 100 * std::pow(1 - share, 10)));
}

RoutePtr Routes::build(const View& view, const std::string& host, const ServiceRef& service) {
    Draft draft;
    draft.host = host;
    draft.service = service;
    draft.http = config::is_http(service.port->protocol);
    draft.route->source = view.rule(host, draft.http, report_);
    if (draft.route->source != nullptr) {
        const auto& spec = std::get<config::VirtualService>(draft.route->source->spec);
        draft.rule = draft.http ? &spec.http.front() : &spec.tcp.front();
        draft.field = draft.http ? "spec.http[0]" : "spec.tcp[0]";
        take_rule(view, draft);
    } else {
        auto cluster = clusters_.get(view, host, service.port->number, "");
        if (cluster) {
            draft.policies.push_back(view.policies(host, service.object->key.ns));
            const auto blocks = draft.policies.back().blocks(service.port->number, nullptr);
            draft.outliers.push_back(blocks.outlier != nullptr ? blocks.outlier_from : nullptr);
            draft.route->destinations.push_back({std::move(*cluster), 100, host});
        }
    }
    const auto down = [](const config::Annotations& a) { return a.on_subset_down != config::OnSubsetDown::kUnset; };
    const ObjectPtr down_from = draft.annotated(down);
    draft.route->spill = down_from && down_from->meta.annotations.on_subset_down == config::OnSubsetDown::kSpill;
    choose_lane(draft);
    return draft.route;
}

}  // namespace sluice::model
