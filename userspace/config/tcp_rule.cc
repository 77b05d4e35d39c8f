#include "config/http.h"
#include "config/kinds.h"
#include "config/names.h"
#include "config/scalar.h"

namespace sluice::config {

namespace {

bool is_subnet(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto address = IpAddress::parse(text.substr(0, slash));
    if (!address) {
        return false;
    }
    if (slash == std::string_view::npos) {
        return true;
    }
    const auto bits = parse_integer(text.substr(slash + 1));
    return bits && *bits >= 0 && *bits <= (text.find(':') == std::string_view::npos ? 32 : 128);
}

constexpr Field<Nothing> kMatch[] = {
    {"destinationSubnets",
     [](const Value& list, Nothing&) {
         read_list(list, [](const Value& value) {
             const auto text = value.string();
             if (text && !is_subnet(*text)) {
                 value.wrong("an IP address with or without a prefix length is needed, such as 10.0.0.0/8");
             }
         });
     }},
    {"port", [](const Value& value, Nothing&) { value.port(); }},
    {"sourceLabels",
     [](const Value& value, Nothing&) {
         Labels labels;
         read_labels(value, labels);
     }},
    {"gateways",
     [](const Value& value, Nothing&) {
         bool given = false;
         bool mesh = false;
         read_match_gateways(value, given, mesh);
     }},
    {"sourceNamespace", [](const Value& value, Nothing&) { read_match_namespace(value); }},
    {"sourceSubnet", nullptr, "no Istio data plane implements it; use sourceLabels"},
};

constexpr Field<WeightedRule> kRule[] = {
    {"match",
     [](const Value& list, WeightedRule& out) {
         read_list(list, [](const Value& value) {
             Nothing none;
             read_fields(value, kMatch, none);
         });
         needs_request_lane(list, "a match on a tcp route is not supported yet; write one rule without match", out);
     }},
    {"route", [](const Value& list, WeightedRule& out) { read_destinations(list, out, nullptr); }},
};

}  // namespace

std::string read_match_namespace(const Value& value) {
    const auto ns = value.nonempty();
    const std::string problem = ns ? check_label(*ns) : "";
    if (!problem.empty()) {
        value.wrong(problem);
    }
    return std::string(ns.value_or(""));
}

void read_match_gateways(const Value& list, bool& given, bool& mesh) {
    read_list(list, [&](const Value& value) {
        given = true;
        mesh = value.nonempty() == "mesh" || mesh;
    });
}

void read_tcp_rule(const Value& rule, WeightedRule& out) {
    if (read_fields(rule, kRule, out) && !rule.has("route")) {
        rule.missing("route", "a list of weighted destinations");
    }
}

}  // namespace sluice::config
