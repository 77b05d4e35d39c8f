// The lane of a route: the cheapest that honours its rules, and what is said about it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/route_draft.h"

namespace sluice::model {

using config::ObjectPtr;
using config::Place;
using config::Split;

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
    for (std::size_t i = 0; i < draft.outliers.size(); ++i) {
        if (draft.outliers[i] != nullptr) {
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
            if (outlier != draft.outliers.end()) {
                route.lane_reasons.push_back(fmt::format("{}.", watching_text(draft).text));
            }
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
