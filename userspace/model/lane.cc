// The lane of a route: the cheapest that honours its rules, and what is said about it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/route_draft.h"

namespace sluice::model {

using config::ObjectPtr;
using config::Place;
using config::Split;

// What keeps a route from the direct lane.
struct Routes::Blocker {
    std::string why;  // a clause; empty: nothing
    std::string field;
    ObjectPtr object;
    Place place;
    bool split_helps = false;
};

namespace {

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

// "FIELD: why", as the parser says it: the field, or `otherwise`.
std::string field_of(const std::string& needs, const std::string& otherwise) {
    const std::size_t colon = needs.find(": ");
    return colon == std::string::npos ? otherwise : needs.substr(0, colon);
}

// outlierDetection of the destinations that a connection may go to: the first; size(): none.
std::size_t first_outlier(const std::vector<Policies::Blocks>& blocks) {
    const auto it = std::ranges::find_if(blocks, [](const Policies::Blocks& b) { return b.outlier != nullptr; });
    return static_cast<std::size_t>(it - blocks.begin());
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

std::string port_text(const ServiceRef& service, const std::string& host) {
    std::string protocol = config::protocol_name(service.port->protocol);
    std::ranges::transform(protocol, protocol.begin(), [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
    return fmt::format("{} port {} of {} ({})", protocol, service.port->number, host,
                       place_text(*service.object, service.port->place));
}

// What outlierDetection sees and does on a route that is decided by connection.
Routes::Watching Routes::watching_text(const Draft& draft) {
    bool answers = true;
    config::Drain drain = config::Drain::kNow;  // the weakest of those who eject
    for (std::size_t i = 0; i < draft.blocks.size(); ++i) {
        if (draft.blocks[i].outlier != nullptr) {
            const Cluster& cluster = *draft.route->destinations[i].cluster;
            answers = answers && cluster.answers;
            drain = std::min(drain, std::max(cluster.drain, draft.route->drain));
        }
    }
    if (!answers) {
        return {
            "outlierDetection counts failed connections, not failed requests: answers are watched on ports whose "
            "clients speak HTTP/1",
            true};
    }
    switch (drain) {
        case config::Drain::kIdle:
            return {"outlierDetection counts the answers; open connections leave an ejected endpoint between requests",
                    false};
        case config::Drain::kNow:
            return {"outlierDetection counts the answers; open connections to an ejected endpoint are ended at once",
                    false};
        case config::Drain::kUnset:
        case config::Drain::kNone:
            break;
    }
    return {
        "outlierDetection counts the answers, but open connections stay with an ejected endpoint; "
        "sluice.dev/drain: idle would move them",
        true};
}

bool Routes::available(Lane lane) const {
    return std::ranges::find(options_.lanes, lane) != options_.lanes.end();
}

// The first thing that the direct lane cannot do; what sluice.dev/split would help against comes last.
Routes::Blocker Routes::blocker(const Draft& draft) const {
    const Route& route = *draft.route;
    if (!draft.rules.empty()) {
        const ReachableRule& first = draft.rules.front();
        const Place place = first.rule->needs_place.line != 0 ? first.rule->needs_place : first.rule->place;
        const std::string list = fmt::format("spec.{}[{}]", draft.http ? "http" : "tcp", first.index);
        if (first.rule->http == nullptr && !first.rule->needs_request_lane.empty()) {
            const std::string& needs = first.rule->needs_request_lane;
            return {needs, field_of(needs, list), route.source, place, false};
        }
        if (RequestNeed need = request_need(first); !need.field.empty()) {
            return {fmt::format("{}.{}: {}", list, need.field, need.why), list + "." + need.field, route.source,
                    need.place, false};
        }
    }
    for (const HttpRoute& rule : route.http) {
        if (rule.experiment != nullptr) {
            return {fmt::format("experiment {}: a sticky split is made per request", rule.experiment->name), "spec",
                    rule.experiment_source, rule.experiment_source->place, false};
        }
    }
    for (const Policies::Blocks& blocks : draft.blocks) {
        const auto* balancer = blocks.load_balancer;
        const auto* pool = blocks.connection_pool;
        if (balancer != nullptr && (balancer->warmup || (draft.http && balancer->key))) {
            const std::string& needs = balancer->needs_request_lane;
            const char* what = balancer->warmup ? "warmup" : "consistentHash";
            return {needs.empty() ? fmt::format("{} is followed per request", what) : needs, field_of(needs, what),
                    blocks.load_balancer_from, balancer->place, false};
        }
        const std::string& needs = pool == nullptr ? std::string()
                                   : draft.http    ? pool->needs_request_lane
                                                   : pool->needs_tcp_proxy;
        if (!needs.empty()) {
            return {needs, field_of(needs, "connectionPool"), blocks.connection_pool_from, pool->place, false};
        }
    }
    if (!draft.http || route.split == Split::kConnection) {
        return {};
    }
    if (draft.weighted() > 1) {
        return {fmt::format("{} destinations share its requests by weight", draft.weighted()), draft.field + ".route",
                route.source, draft.rule->place, true};
    }
    if (const std::size_t i = first_outlier(draft.blocks); i < draft.blocks.size()) {
        return {"outlierDetection counts answers to requests", "outlierDetection", draft.blocks[i].outlier_from,
                draft.blocks[i].outlier->place, true};
    }
    return {};
}

// Why direct is enough. Says what differs from Istio where sluice.dev/split asked for it.
std::string Routes::direct_reason(const Draft& draft, const ObjectPtr& split_from) {
    Route& route = *draft.route;
    const std::string port = port_text(draft.service, draft.host);
    const bool outlier = first_outlier(draft.blocks) < draft.blocks.size();
    if (!draft.http) {
        return port + ": Istio too decides per connection.";
    }
    if (route.split != Split::kConnection || (draft.weighted() < 2 && !outlier)) {
        return port +
               " has one destination and no outlierDetection: its rules mean the same per connection as per request.";
    }
    say_split(draft);
    return fmt::format(
        "{} is split by connection, as sluice.dev/split of {} at {} says: weights count connections, "
        "not requests.",
        port, split_from->key.text(), place_text(*split_from, {}));
}

// sluice.dev/lane: kernel or proxy.
void Routes::take_forced(Draft& draft, const ObjectPtr& from) {
    Route& route = *draft.route;
    const config::LaneChoice wanted = from->meta.annotations.lane;
    const std::string annotation = fmt::format("sluice.dev/lane: {}", lane_choice_name(wanted));
    const std::string field = "metadata.annotations[sluice.dev/lane]";
    route.lane = wanted == config::LaneChoice::kKernel ? Lane::kKernel : Lane::kProxy;
    if (!available(route.lane)) {
        report_.error(
            *from, from->place, field,
            fmt::format("{} is not available; lanes available here: {}", annotation, lanes_text(options_.lanes)));
    } else if (!draft.http) {
        report_.error(*from, from->place, field,
                      fmt::format("{} carries HTTP; {} is direct", annotation, port_text(draft.service, draft.host)));
    }
    route.lane_reasons.push_back(
        fmt::format("{} of {} at {} asks for it.", annotation, from->key.text(), place_text(*from, {})));
}

void Routes::choose_lane(Draft& draft) {
    Route& route = *draft.route;
    const ObjectPtr split_from = draft.annotated([](const config::Annotations& a) { return a.split != Split::kUnset; });
    route.split = draft.http && split_from != nullptr ? split_from->meta.annotations.split : Split::kUnset;
    const ObjectPtr lane_from = draft.annotated([](const config::Annotations& a) { return a.lane_set; });
    const auto wanted = lane_from != nullptr ? lane_from->meta.annotations.lane : config::LaneChoice::kAuto;
    if (wanted == config::LaneChoice::kKernel || wanted == config::LaneChoice::kProxy) {
        take_forced(draft, lane_from);
        return;
    }
    const std::string port = port_text(draft.service, draft.host);
    const Blocker blocker = this->blocker(draft);
    if (blocker.why.empty()) {
        if (draft.http && wanted == config::LaneChoice::kAuto && !available(Lane::kDirect) && available(Lane::kProxy)) {
            route.lane = Lane::kProxy;
            route.lane_reasons.push_back(port + " could take the direct lane, which is not available here.");
            return;
        }
        route.lane = Lane::kDirect;
        route.lane_reasons.push_back(direct_reason(draft, split_from));
        if (draft.http && route.split == Split::kConnection && first_outlier(draft.blocks) < draft.blocks.size()) {
            route.lane_reasons.push_back(fmt::format("{}.", watching_text(draft).text));
        }
        return;
    }
    const std::string reason = fmt::format("{} cannot take the direct lane: {} ({}).", port, blocker.why,
                                           place_text(*blocker.object, blocker.place));
    route.lane_reasons.push_back(reason);
    if (draft.http && wanted != config::LaneChoice::kDirect && available(Lane::kProxy)) {
        route.lane = Lane::kProxy;
        if (route.split == Split::kConnection) {
            report_.warning(*split_from, split_from->place, "metadata.annotations[sluice.dev/split]",
                            fmt::format("connection has no effect: {} is decided per request, because {} ({})", port,
                                        blocker.why, place_text(*blocker.object, blocker.place)));
        }
        return;
    }
    std::string message = wanted == config::LaneChoice::kDirect
                              ? fmt::format("{} But sluice.dev/lane: direct of {} at {} forces it.", reason,
                                            lane_from->key.text(), place_text(*lane_from, {}))
                              : fmt::format("{} Lanes available here: {}.", reason, lanes_text(options_.lanes));
    if (!draft.http && available(Lane::kProxy)) {
        message += " The proxy lane carries HTTP.";
    }
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
        if (const Watching watching = watching_text(draft); watching.differs) {
            report_.warning(*object, draft.rule != nullptr ? draft.rule->place : draft.service.port->place,
                            "sluice.dev/split", port + " is split by connection: " + watching.text);
        }
        return;
    }
    const double share = static_cast<double>(least->weight) / static_cast<double>(sum);
    report_.warning(
        *route.source, draft.rule->place, draft.field + ".route",
        fmt::format("{} is split by connection: weights count connections, not requests; of 10 long connections "
                    "none reaches {} ({:.3g}%) with probability {:.0f}%",
                    port, least->text, 100 * share, 100 * std::pow(1 - share, 10)));
}

}  // namespace sluice::model
