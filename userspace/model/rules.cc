#include "model/rules.h"

#include <algorithm>

namespace sluice::model {

using config::HttpMatch;
using config::HttpRule;
using config::StringMatch;

namespace {

bool can_apply(const HttpMatch& match, std::uint16_t port, const std::string& scope) {
    if (match.port != 0 && match.port != port) {
        return false;
    }
    // Istio's quirk: where gateways are given, only they count.
    return match.gateways_given ? match.gateways_mesh
                                : match.source_namespace.empty() || match.source_namespace == scope;
}

bool by_labels(const HttpMatch& match) {
    return !match.gateways_given && !match.source_labels.empty();
}

bool asks_nothing(const HttpMatch& match) {
    return !by_labels(match) && (!match.uri || every_path(*match.uri)) && !match.scheme && !match.method &&
           !match.authority && match.headers.empty() && match.without_headers.empty() && match.query.empty();
}

}  // namespace

std::vector<ReachableRule> reachable_rules(const std::vector<config::WeightedRule>& rules, std::uint16_t port,
                                           const std::string& scope) {
    std::vector<ReachableRule> out;
    for (std::size_t i = 0; i < rules.size(); ++i) {
        ReachableRule found{&rules[i], i, {}, false};
        if (rules[i].http == nullptr || rules[i].http->matches.empty()) {
            found.catch_all = true;
        } else {
            const auto& matches = rules[i].http->matches;
            for (std::size_t j = 0; j < matches.size() && !found.catch_all; ++j) {
                if (can_apply(matches[j], port, scope)) {
                    found.matches.push_back(static_cast<std::uint32_t>(j));
                    found.catch_all = asks_nothing(matches[j]);
                }
            }
            if (found.matches.empty()) {
                continue;
            }
        }
        out.push_back(std::move(found));
        if (out.back().catch_all) {
            break;
        }
    }
    return out;
}

bool only_for_labels(const std::vector<ReachableRule>& rules) {
    return std::ranges::all_of(rules, [](const ReachableRule& rule) {
        return !rule.catch_all && std::ranges::all_of(rule.matches, [&](std::uint32_t i) {
            return by_labels(rule.rule->http->matches[i]);
        });
    });
}

std::vector<std::string> source_namespaces(const config::VirtualService& spec) {
    std::vector<std::string> out;
    for (const config::WeightedRule& rule : spec.http) {
        if (rule.http == nullptr) {
            continue;
        }
        for (const HttpMatch& match : rule.http->matches) {
            if (!match.gateways_given && !match.source_namespace.empty()) {
                out.push_back(match.source_namespace);
            }
        }
    }
    return out;
}

std::string mirror_field(std::size_t rule, std::size_t mirror, std::size_t mirrors) {
    const std::string field = "spec.http[" + std::to_string(rule) + "]";
    return mirrors == 1 ? field + ".mirror" : field + ".mirrors[" + std::to_string(mirror) + "].destination";
}

bool acts(const config::Fault& fault) {
    return (fault.delay && fault.delay->share != 0) || (fault.abort && fault.abort->share != 0);
}

RequestNeed request_need(const ReachableRule& rule) {
    const config::Place place = rule.rule->needs_place.line != 0 ? rule.rule->needs_place : rule.rule->place;
    if (rule.rule->http == nullptr) {
        return {};
    }
    const HttpRule& http = *rule.rule->http;
    if (!rule.catch_all) {
        const HttpMatch& match = http.matches[rule.matches.front()];
        return {"match",
                match.headers.empty() && match.without_headers.empty() && !match.uri && by_labels(match)
                    ? "its clients are told apart by their labels"
                    : "its requests are told apart by what they ask",
                match.place.line != 0 ? match.place : place};
    }
    const std::pair<bool, RequestNeed> needs[] = {
        {http.redirect.has_value(), {"redirect", "requests are answered with a redirect", place}},
        {http.direct_response.has_value(), {"directResponse", "requests are answered by the mesh", place}},
        {http.rewrite.has_value(), {"rewrite", "requests are rewritten", place}},
        {http.timeout.has_value(), {"timeout", "each request has a time of its own", place}},
        {http.retries && http.retries->attempts != 0, {"retries", "requests are tried again", place}},
        {http.fault && acts(*http.fault), {"fault", "requests are delayed or aborted", place}},
        {!http.mirrors.empty(), {http.mirrors.size() > 1 ? "mirrors" : "mirror", "requests are copied", place}},
        {!http.headers.request.empty() || !http.headers.response.empty(),
         {"headers", "header fields are changed", place}},
        {std::ranges::any_of(http.destination_headers,
                             [](const auto& h) { return !h.request.empty() || !h.response.empty(); }),
         {"route.headers", "header fields are changed", place}},
    };
    for (const auto& [given, need] : needs) {
        if (given) {
            return need;
        }
    }
    return {};
}

}  // namespace sluice::model
