#include "model/route_draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace sluice::model {

using config::ObjectPtr;
using config::Place;

namespace {

std::string destination_text(const config::RouteDestination& destination) {
    return destination.subset.empty() ? destination.host : destination.host + "/" + destination.subset;
}

}  // namespace

bool same_route(const Route& a, const Route& b) {
    const auto same_destination = [](const Destination& x, const Destination& y) {
        return x.weight == y.weight &&
               (x.cluster == y.cluster || (x.cluster && y.cluster && same_cluster(*x.cluster, *y.cluster)));
    };
    return a.spill == b.spill && a.drain == b.drain && a.lane == b.lane && a.split == b.split &&
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

void Routes::take_drain(Draft& draft) {
    const ObjectPtr from = draft.annotated([](const auto& a) { return a.drain != config::Drain::kUnset; });
    if (from == nullptr) {
        return;
    }
    draft.route->drain = from->meta.annotations.drain;
    const auto watched = [](const Destination& d) { return d.cluster != nullptr && d.cluster->http; };
    const auto http = [](const config::ServicePort& port) { return config::is_http(port.protocol); };
    // Rules for a whole host may mean its other ports.
    if (draft.route->drain == config::Drain::kIdle && std::ranges::none_of(draft.route->destinations, watched) &&
        (from == draft.route->source || std::ranges::none_of(service_ports(*draft.service.object), http))) {
        report_.warning(*from, from->place, "metadata.annotations[sluice.dev/drain]",
                        fmt::format("idle has no effect on {}: nothing tells when its connections are idle",
                                    port_text(draft.service, draft.host)));
    }
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
    take_drain(draft);
    choose_lane(draft);
    return draft.route;
}

}  // namespace sluice::model
