#include "model/route_draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "model/experiment.h"

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
    // Rules by pointer: an object that was read anew counts as another.
    const auto same_rule = [&](const HttpRoute& x, const HttpRoute& y) {
        return x.rule == y.rule && x.matches == y.matches && x.catch_all == y.catch_all &&
               x.experiment == y.experiment && std::ranges::equal(x.destinations, y.destinations, same_destination) &&
               std::ranges::equal(x.mirrors, y.mirrors, same_destination);
    };
    return a.spill == b.spill && a.drain == b.drain && a.lane == b.lane && a.split == b.split &&
           a.no_fallback == b.no_fallback && std::ranges::equal(a.destinations, b.destinations, same_destination) &&
           std::ranges::equal(a.http, b.http, same_rule);
}

std::vector<ClusterPtr> clusters_of(const Route& route) {
    std::vector<ClusterPtr> out;
    const auto add = [&](const std::vector<Destination>& destinations) {
        for (const Destination& destination : destinations) {
            if (destination.cluster != nullptr && std::ranges::find(out, destination.cluster) == out.end()) {
                out.push_back(destination.cluster);
            }
        }
    };
    add(route.destinations);
    for (const HttpRoute& rule : route.http) {
        add(rule.destinations);
        add(rule.mirrors);
    }
    return out;
}

std::string route_name(const HttpRoute& route, std::size_t element) {
    if (route.rule == nullptr || route.rule->http == nullptr || element >= route.rule->http->matches.size()) {
        return route.name;
    }
    const std::string& match = route.rule->http->matches[element].name;
    return match.empty() ? route.name : route.name + "." + match;
}

bool same_service_port(const ServicePort& a, const ServicePort& b) {
    const auto plain = [](const ServicePort& p) {
        return std::tie(p.host, p.service_name, p.service_namespace, p.addresses, p.port, p.protocol);
    };
    return plain(a) == plain(b) && same_route(*a.route, *b.route);
}

Destination Routes::resolve(const View& view, Draft& draft, const config::RouteDestination& destination,
                            const std::string& field, const char* warning, std::vector<Policies::Blocks>* blocks) {
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
    Policies::Blocks found;
    if (cluster) {
        out.cluster = std::move(*cluster);
        draft.policies.push_back(view.policies(host, out.cluster->service_namespace));
        found = draft.policies.back().blocks(
            port, destination.subset.empty() ? nullptr : draft.policies.back().subset(destination.subset));
    } else {
        const Missing& missing = cluster.error();
        const bool subset = missing.what == Missing::What::kSubset, no_port = missing.what == Missing::What::kPort;
        const std::string part = field + (subset                               ? ".subset"
                                          : (no_port && destination.port != 0) ? ".port.number"
                                                                               : ".host");
        const Place place = subset                             ? destination.subset_place
                            : no_port && destination.port != 0 ? destination.port_place
                                                               : destination.host_place;
        if (options_.references_warn) {
            report_.warning(source, place, part, missing.message + warning);
        } else {
            report_.error(source, place, part, missing.message);
        }
    }
    if (blocks != nullptr) {
        blocks->push_back(std::move(found));
    }
    return out;
}

std::vector<Destination> Routes::resolve_all(const View& view, Draft& draft, const config::WeightedRule& rule,
                                             const std::string& field, std::vector<Policies::Blocks>* blocks) {
    const auto& destinations = rule.destinations;
    const config::Object& source = *draft.route->source;
    std::vector<Destination> out;
    if (destinations.empty() || destinations.size() > SL_ROUTE_DESTINATIONS_MAX) {
        report_.error(
            source, rule.place, field + ".route",
            fmt::format("{} destinations; 1 to {} are allowed", destinations.size(), SL_ROUTE_DESTINATIONS_MAX));
        return out;
    }
    out.reserve(destinations.size());
    for (std::size_t i = 0; i < destinations.size(); ++i) {
        out.push_back(resolve(view, draft, destinations[i], fmt::format("{}.route[{}].destination", field, i),
                              kShareRefused, blocks));
    }
    if (destinations.size() == 1) {
        if (destinations.front().weight == 0u) {
            report_.warning(source, destinations.front().place, field + ".route[0].weight",
                            "weight 0 is ignored: a single destination gets everything");
        }
        out.front().weight = out.front().weight != 0 ? out.front().weight : 100;
        return out;
    }
    for (std::size_t i = 0; i < destinations.size(); ++i) {
        if (!destinations[i].weight) {
            report_.warning(source, destinations[i].place, fmt::format("{}.route[{}].weight", field, i),
                            "no weight beside others counts as 0: this destination gets nothing");
        }
    }
    if (std::ranges::all_of(out, [](const Destination& d) { return d.weight == 0; })) {
        report_.error(source, rule.place, field + ".route", "total destination weight = 0");
    }
    return out;
}

// One rule of the proxy lane; the one that matches everything is also what a client without a proxy gets.
HttpRoute Routes::take_rule(const View& view, Draft& draft, const ReachableRule& reachable) {
    const config::WeightedRule& rule = *reachable.rule;
    const std::string field = fmt::format("spec.{}[{}]", draft.http ? "http" : "tcp", reachable.index);
    HttpRoute out;
    out.source = draft.route->source;
    out.rule = &rule;
    out.name = rule.name;
    out.matches = reachable.matches;
    out.catch_all = reachable.catch_all;
    const bool answers = rule.http != nullptr && (rule.http->redirect || rule.http->direct_response);
    if (!answers) {
        out.destinations = resolve_all(view, draft, rule, field, reachable.catch_all ? &draft.blocks : nullptr);
    }
    if (rule.http != nullptr) {
        const auto& mirrors = rule.http->mirrors;
        for (std::size_t i = 0; i < mirrors.size(); ++i) {
            out.mirrors.push_back(resolve(view, draft, mirrors[i].destination,
                                          mirror_field(reachable.index, i, mirrors.size()), kNotMirrored, nullptr));
        }
    }
    if (reachable.catch_all) {
        draft.route->destinations = out.destinations;
        draft.rule = &rule;
        draft.field = field;
    }
    return out;
}

void Routes::take_rules(const View& view, Draft& draft) {
    Route& route = *draft.route;
    for (const ReachableRule& reachable : draft.rules) {
        route.http.push_back(take_rule(view, draft, reachable));
    }
    if (draft.http && !draft.rules.empty()) {
        attach_experiments(view.index(), draft.host, *route.source, route.http, report_);
    }
    if (draft.rules.empty() || only_for_labels(draft.rules)) {
        auto cluster = clusters_.get(view, draft.host, draft.service.port->number, "");
        if (!cluster) {
            return;
        }
        draft.policies.push_back(view.policies(draft.host, draft.service.object->key.ns));
        HttpRoute plain;
        plain.name = "default";
        plain.catch_all = draft.rules.empty();
        plain.destinations.push_back({std::move(*cluster), 100, draft.host});
        if (draft.rules.empty()) {
            draft.blocks.push_back(draft.policies.back().blocks(draft.service.port->number, nullptr));
            route.destinations = plain.destinations;
        }
        route.http.push_back(std::move(plain));
    }
}

// Whether a client without a proxy may have `destinations`, on the proxy lane.
void Routes::take_fallback(Draft& draft) {
    Route& route = *draft.route;
    for (const ReachableRule& reachable : draft.rules) {
        if (reachable.rule->http != nullptr && reachable.rule->http->fault && acts(*reachable.rule->http->fault)) {
            route.no_fallback = fmt::format("fault of spec.http[{}] would be bypassed", reachable.index);
        }
    }
    if (route.destinations.empty() && route.no_fallback.empty()) {
        route.no_fallback = draft.rule == nullptr
                                ? "no rule matches every request"
                                : fmt::format("{} answers by itself, without a destination", draft.field);
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
        draft.rules = reachable_rules(draft.http ? spec.http : spec.tcp, service.port->number, view.scope());
        if (draft.rules.empty()) {
            draft.route->source = nullptr;
        }
    }
    take_rules(view, draft);
    const auto down = [](const config::Annotations& a) { return a.on_subset_down != config::OnSubsetDown::kUnset; };
    const ObjectPtr down_from = draft.annotated(down);
    draft.route->spill = down_from && down_from->meta.annotations.on_subset_down == config::OnSubsetDown::kSpill;
    take_drain(draft);
    choose_lane(draft);
    if (draft.route->lane == Lane::kProxy) {
        take_fallback(draft);
    }
    if (!draft.http || !available(Lane::kProxy)) {
        draft.route->http.clear();
    }
    return draft.route;
}

}  // namespace sluice::model
