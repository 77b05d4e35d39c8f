// The fields of an HTTP rule: what only a request lane can do goes into WeightedRule::http, the first of it is the
// rule's reason for one.
#include <algorithm>
#include <array>

#include "config/http.h"
#include "config/kinds.h"

namespace sluice::config {

namespace {

struct Rule {
    WeightedRule& out;
    HttpRule http;
    int actions = 0;  // of route, redirect and directResponse
    std::optional<Millionths> mirror_percentage, mirror_percent;
};

void needs_lane(const Value& value, Rule& rule) {
    needs_request_lane(value, "this rule is decided for each request, which needs a request lane", rule.out);
}

// A field that `Read` reads into a member of the HttpRule.
template <auto Member, auto Read>
void field(const Value& value, Rule& rule) {
    Read(value, rule.http.*Member);
    needs_lane(value, rule);
}

void read_match(const Value& list, Rule& rule) {
    read_http_matches(list, rule.http.matches);
    if (!rule.http.matches.empty()) {
        needs_lane(list, rule);
    }
}

void read_timeout(const Value& value, std::optional<std::chrono::nanoseconds>& out) {
    out = value.duration();
}

// ---- mirrors
struct MirrorReader {
    Mirror out;
    std::optional<Millionths> percentage;
};

constexpr Field<MirrorReader> kMirror[] = {
    {"destination",
     [](const Value& value, MirrorReader& mirror) {
         mirror.out.destination.place = value.place();
         read_destination(value, mirror.out.destination);
     }},
    {"percentage", [](const Value& value, MirrorReader& mirror) { read_percentage(value, mirror.percentage); }},
};

void read_mirrors(const Value& list, std::vector<Mirror>& out) {
    read_list(list, [&](const Value& value) {
        MirrorReader mirror;
        if (read_fields(value, kMirror, mirror) && !value.has("destination")) {
            value.missing("destination", "a mapping with host, and subset and port where needed");
        }
        mirror.out.share = mirror.percentage.value_or(kAlways);
        out.push_back(std::move(mirror.out));
    });
}

void read_mirror(const Value& value, std::vector<Mirror>& out) {
    Mirror mirror;
    mirror.destination.place = value.place();
    read_destination(value, mirror.destination);
    out.push_back(std::move(mirror));
}

// ---- actions
void read_route(const Value& list, Rule& rule) {
    ++rule.actions;
    read_destinations(list, rule.out, &rule.http.destination_headers);
}

template <auto Member, auto Read>
void action(const Value& value, Rule& rule) {
    ++rule.actions;
    field<Member, Read>(value, rule);
}

void read_rule_headers(const Value& value, HeaderOperations& out) {
    read_header_operations(value, false, out);
}

constexpr Field<Rule> kRule[] = {
    {"name", [](const Value& value, Rule& rule) { rule.out.name = value.string().value_or(""); }},
    {"match", read_match},
    {"route", read_route},
    {"redirect", action<&HttpRule::redirect, read_redirect>},
    {"directResponse", action<&HttpRule::direct_response, read_direct_response>},
    {"rewrite", field<&HttpRule::rewrite, read_rewrite>},
    {"timeout", field<&HttpRule::timeout, read_timeout>},
    {"retries", field<&HttpRule::retries, read_retries>},
    {"fault", field<&HttpRule::fault, read_fault>},
    {"mirror", field<&HttpRule::mirrors, read_mirror>},
    {"mirrors", field<&HttpRule::mirrors, read_mirrors>},
    {"mirrorPercentage", [](const Value& value, Rule& rule) { read_percentage(value, rule.mirror_percentage); }},
    {"mirrorPercent", [](const Value& value, Rule& rule) { read_percent(value, rule.mirror_percent); }},
    {"headers", field<&HttpRule::headers, read_rule_headers>},
    {"corsPolicy", nullptr, "let the service answer preflights and add the headers itself"},
    {"delegate", nullptr, "write the rules into this VirtualService"},
};

// ---- what does not go together
void check_actions(const Value& value, const Rule& rule) {
    if (rule.actions == 0 && !value.has("delegate")) {
        value.missing("route", "one of route, redirect and directResponse is needed");
    } else if (rule.actions > 1) {
        value.error("found several of route, redirect and directResponse; one of them is allowed");
    }
    if (!value.has("redirect") && !value.has("directResponse")) {
        return;
    }
    if (value.has("fault") || value.has("rewrite")) {
        value.error("found fault or rewrite beside redirect or directResponse; they go with route only");
    }
    value.each_field([](const Value& field) {
        static constexpr std::array<std::string_view, 4> kOfRoutes{"timeout", "retries", "mirror", "mirrors"};
        for (const std::string_view name : kOfRoutes) {
            if (field.key() == name && !field.is_null()) {
                field.warning("has no effect beside redirect or directResponse: nothing is sent on");
            }
        }
    });
}

void check_mirrors(const Value& value, Rule& rule) {
    if (value.has("mirror") && value.has("mirrors")) {
        value.error("found both mirror and mirrors; one of them is allowed");
    } else if (value.has("mirror") && !rule.http.mirrors.empty()) {
        rule.http.mirror_alone = true;
        rule.http.mirrors.front().share = rule.mirror_percentage.value_or(rule.mirror_percent.value_or(kAlways));
    } else if (rule.mirror_percentage || rule.mirror_percent) {
        value.each_field([](const Value& field) {
            if (field.key() == "mirrorPercentage" || field.key() == "mirrorPercent") {
                field.warning("has no effect without mirror");
            }
        });
    }
}

void check_authority(const Value& value, const HttpRule& rule) {
    const auto sets_host = [](const auto& pair) { return pair.first == "host"; };
    const auto places = (rule.rewrite && rule.rewrite->authority ? 1 : 0) +
                        std::ranges::count_if(rule.headers.request.set, sets_host) +
                        std::ranges::count_if(rule.headers.request.add, sets_host);
    if (places > 1) {
        value.error(
            "found several new values of the Host header; one of rewrite.authority, headers.request.set and "
            "headers.request.add is allowed to give it");
    }
}

}  // namespace

void read_http_rule(const Value& value, WeightedRule& out) {
    Rule rule{.out = out, .http = {}, .mirror_percentage = {}, .mirror_percent = {}};
    if (!read_fields(value, kRule, rule)) {
        return;
    }
    check_actions(value, rule);
    check_mirrors(value, rule);
    check_authority(value, rule.http);
    if (!out.needs_request_lane.empty()) {
        out.http = std::make_shared<const HttpRule>(std::move(rule.http));
    }
}

}  // namespace sluice::config
