#include "config/http.h"
#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

constexpr Field<RouteDestination> kPort[] = {
    {"number",
     [](const Value& value, RouteDestination& out) {
         if (const auto port = value.port()) {
             out.port = *port;
             out.port_place = value.place();
         }
     }},
};

constexpr Field<RouteDestination> kDestination[] = {
    {"host",
     [](const Value& value, RouteDestination& out) {
         if (const auto host = value.nonempty()) {
             const std::string problem = check_host(*host);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             out.host = *host;
             out.host_place = value.place();
         }
     }},
    {"subset",
     [](const Value& value, RouteDestination& out) {
         if (const auto subset = value.string()) {
             const std::string problem = subset->empty() ? "" : check_label(*subset);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             out.subset = *subset;
             out.subset_place = value.place();
         }
     }},
    {"port",
     [](const Value& value, RouteDestination& out) {
         if (read_fields(value, kPort, out) && !value.has("number")) {
             value.missing("number", "a port from 1 to 65535");
         }
     }},
};

struct Weighted {
    RouteDestination destination;
    WeightedRule& rule;
    std::optional<HeaderOperations> headers;
};

void read_target(const Value& value, Weighted& out) {
    read_destination(value, out.destination);
}

void read_weight(const Value& value, Weighted& out) {
    if (const auto weight = value.integer(0, 0x7fffffff)) {
        out.destination.weight = static_cast<std::uint32_t>(*weight);
    }
}

void read_headers(const Value& value, Weighted& out) {
    read_header_operations(value, true, out.headers.emplace());
    needs_request_lane(value, "headers are changed per request", out.rule);
}

constexpr Field<Weighted> kTcpDestination[] = {{"destination", read_target}, {"weight", read_weight}};
constexpr Field<Weighted> kHttpDestination[] = {
    {"destination", read_target}, {"weight", read_weight}, {"headers", read_headers}};

void check_weights(const Value& list, const WeightedRule& rule) {
    std::uint64_t sum = 0;
    for (const RouteDestination& destination : rule.destinations) {
        sum += destination.weight.value_or(0);
    }
    if (rule.destinations.size() > 1 && sum == 0) {
        list.error("found weights that add up to 0; of two or more destinations at least one needs a weight above 0");
    }
    if (sum > 0xffffffffu) {
        list.error("found weights that add up to " + std::to_string(sum) + "; at most 4294967295 is allowed");
    }
}

}  // namespace

void needs_request_lane(const Value& what, const char* advice, WeightedRule& rule) {
    if (rule.needs_request_lane.empty()) {
        remember_need(what, advice, rule.needs_request_lane);
        rule.needs_place = what.key_place();
    }
}

void remember_need(const Value& what, const char* advice, std::string& need) {
    if (need.empty()) {
        need = what.path() + ": " + advice;
    }
}

void read_destination(const Value& value, RouteDestination& out) {
    if (read_fields(value, kDestination, out) && !value.has("host")) {
        value.missing("host", "the service's host name");
    }
}

void read_destinations(const Value& list, WeightedRule& rule, std::vector<HeaderOperations>* headers) {
    const std::size_t problems = list.scope().report.errors();
    read_list(list, [&](const Value& value) {
        Weighted weighted{{}, rule, {}};
        weighted.destination.place = value.place();
        const bool map = headers != nullptr ? read_fields(value, kHttpDestination, weighted)
                                            : read_fields(value, kTcpDestination, weighted);
        if (map && !value.has("destination")) {
            value.missing("destination", "a mapping with host, and subset and port where needed");
        }
        rule.destinations.push_back(std::move(weighted.destination));
        if (weighted.headers) {
            headers->resize(rule.destinations.size());
            headers->back() = *std::move(weighted.headers);
        }
    });
    rule.destinations.shrink_to_fit();
    if (list.scope().report.errors() != problems) {
        return;
    }
    if (rule.destinations.empty()) {
        list.wrong("a list of at least one destination is needed");
    }
    check_weights(list, rule);
}

}  // namespace sluice::config
