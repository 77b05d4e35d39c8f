#include "proxy/table_rule.h"

#include <algorithm>
#include <utility>

#include "compile/rows.h"
#include "proxy/experiment.h"

namespace sluice::proxy {

namespace {

using config::HttpRule;
using config::RetryOn;

// Where in which file a rule stands, for errors.
struct Origin {
    const model::ServicePort& port;
    const model::HttpRoute& route;
    std::optional<std::size_t> element;

    // "FILE:LINE:COLUMN: spec.http[N].FIELD"
    std::string at(config::Place place, const std::string& field) const {
        std::string text = port.host + ": ";
        std::string rule;
        if (route.source != nullptr) {
            if (place.line == 0 && route.rule != nullptr) {
                place = route.rule->place;
            }
            text = route.source->file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column) + ": ";
            const auto* service = std::get_if<config::VirtualService>(&route.source->spec);
            if (service != nullptr) {
                const auto it = std::ranges::find_if(
                    service->http, [&](const config::WeightedRule& each) { return &each == route.rule; });
                rule = "spec.http[" + std::to_string(it - service->http.begin()) + "].";
            }
        }
        return text + rule + field;
    }
};

std::string match_place(const config::Place& place, const std::string& field, const void* context) {
    const auto& origin = *static_cast<const Origin*>(context);
    return origin.at(place, "match[" + std::to_string(origin.element.value_or(0)) + "]." + field);
}

std::uint64_t nanoseconds(const std::optional<std::chrono::nanoseconds>& duration) {
    return duration ? static_cast<std::uint64_t>(duration->count()) : 0;
}

bool hashes(const Destination& destination) {
    const auto is_hash = [](sl_load_balancer lb) { return lb == SL_LB_RING_HASH || lb == SL_LB_MAGLEV; };
    return destination.cluster != nullptr && is_hash(destination.cluster->model().load_balancer);
}

// Istio's default policy where the rule says nothing.
RetryPolicy retry_policy(const HttpRule* http, const Rule& rule) {
    RetryPolicy policy;
    for (const RetryOn on : {RetryOn::kConnectFailure, RetryOn::kRefusedStream, RetryOn::kUnavailable,
                             RetryOn::kCancelled, RetryOn::kRetriableStatusCodes}) {
        policy.on.on.set(static_cast<std::size_t>(on));
    }
    policy.avoid_previous = std::ranges::none_of(rule.destinations, hashes);
    if (http == nullptr || !http->retries) {
        return policy;
    }
    const config::Retries& retries = *http->retries;
    policy.attempts = retries.attempts;
    policy.on = retries.on.value_or(policy.on);
    policy.per_try_ns = nanoseconds(retries.per_try_timeout);
    if (rule.timeout_ns != 0 && policy.per_try_ns >= rule.timeout_ns) {
        policy.per_try_ns = 0;
    }
    policy.backoff_ns = static_cast<std::uint64_t>(retries.backoff.count());
    policy.avoid_previous = retries.ignore_previous_hosts.value_or(policy.avoid_previous);
    return policy;
}

// What all elements of a rule have in common.
Result<Rule> common(const model::Route& route, const model::HttpRoute& from, const ClusterOf& cluster_of) {
    Rule rule;
    rule.config = from.rule != nullptr ? from.rule->http.get() : nullptr;
    rule.spill = route.spill;
    std::vector<std::uint32_t> weights, numbers;
    for (std::size_t i = 0; i < from.destinations.size(); ++i) {
        const bool has = rule.config != nullptr && i < rule.config->destination_headers.size();
        rule.destinations.push_back(
            {cluster_of(from.destinations[i].cluster), has ? &rule.config->destination_headers[i] : nullptr});
        weights.push_back(from.destinations[i].weight);
        const ClusterPtr& cluster = rule.destinations.back().cluster;
        numbers.push_back(cluster != nullptr ? cluster->number() : SL_NONE);
    }
    if (!weights.empty()) {
        Result<std::vector<sl_destination>> columns = compile::alias_columns(weights, numbers);
        if (!columns) {
            return std::unexpected(columns.error());
        }
        rule.columns = std::move(*columns);
    }
    if (from.experiment != nullptr) {
        rule.split = split_of(from);
    }
    if (rule.config != nullptr) {
        rule.timeout_ns = nanoseconds(rule.config->timeout);
        for (std::size_t i = 0; i < rule.config->mirrors.size() && i < from.mirrors.size(); ++i) {
            rule.mirrors.emplace_back(cluster_of(from.mirrors[i].cluster), rule.config->mirrors[i].share);
        }
    }
    rule.retry = retry_policy(rule.config, rule);
    return rule;
}

// The Host that the upstream sees: the rewrite's, else the rule's, else the destination's.
std::optional<std::string> new_authority(const HttpRule& http, const config::HeaderOperations* destination) {
    if (http.rewrite && http.rewrite->authority) {
        return http.rewrite->authority;
    }
    for (const config::HeaderOperations* operations : {&http.headers, destination}) {
        if (operations == nullptr) {
            continue;
        }
        for (const auto* list : {&operations->request.set, &operations->request.add}) {
            for (const auto& [name, value] : *list) {
                if (name == "host") {
                    return value;
                }
            }
        }
    }
    return std::nullopt;
}

// A single destination's operations are one list behind the rule's; with several they come first, on their own.
Result<Rule::Compiled::Target> target(const HttpRule& http, const config::HeaderOperations* destination, bool single) {
    Rule::Compiled::Target made;
    made.authority = new_authority(http, destination);
    for (const bool response : {false, true}) {
        const auto side = [&](const config::HeaderOperations& operations) {
            return response ? &operations.response : &operations.request;
        };
        HeaderPlan& plan = response ? made.response : made.request;
        Result<> appended;
        if (destination == nullptr) {
            appended = plan.append({side(http.headers)}, response);
        } else if (single) {
            appended = plan.append({side(http.headers), side(*destination)}, response);
        } else {
            appended = plan.append({side(*destination)}, response);
            if (appended) {
                appended = plan.append({side(http.headers)}, response);
            }
        }
        if (!appended) {
            return std::unexpected(std::move(appended).error().within(response ? "response" : "request"));
        }
    }
    return made;
}

// What one element of the rule's match adds; no element: the rule matches everything.
Result<std::shared_ptr<const Rule::Compiled>> compile(const Rule& rule, const Origin& origin) {
    auto made = std::make_shared<Rule::Compiled>();
    if (rule.config == nullptr) {
        made->targets.resize(std::max<std::size_t>(rule.destinations.size(), 1));
        return made;
    }
    const HttpRule& http = *rule.config;
    if (origin.element) {
        Result<RequestMatch> match = RequestMatch::make(http.matches[*origin.element], match_place, &origin);
        if (!match) {
            return std::unexpected(match.error());
        }
        made->match = std::move(*match);
    }
    made->prefix = replaced_prefix(made->uri());
    if (http.rewrite) {
        Result<PathRewrite> path = PathRewrite::make(*http.rewrite, made->uri());
        if (!path) {
            return std::unexpected(
                std::move(path).error().within(origin.at(http.rewrite->regex_place, "rewrite.uriRegexRewrite")));
        }
        made->path = std::move(*path);
    }
    for (std::size_t i = 0; i < std::max<std::size_t>(rule.destinations.size(), 1); ++i) {
        const config::HeaderOperations* headers = i < rule.destinations.size() ? rule.destinations[i].headers : nullptr;
        Result<Rule::Compiled::Target> each = target(http, headers, rule.destinations.size() == 1);
        if (!each) {
            return std::unexpected(std::move(each).error().within(origin.at({}, "headers")));
        }
        made->targets.push_back(std::move(*each));
    }
    return made;
}

}  // namespace

Result<std::vector<Rule>> compile_rules(const model::ServicePort& port, const ClusterOf& cluster_of) {
    std::vector<Rule> rules;
    for (const model::HttpRoute& route : port.route->http) {
        const Result<Rule> rule = common(*port.route, route, cluster_of);
        if (!rule) {
            return std::unexpected(Error(rule.error()).within(Origin{port, route, {}}.at({}, "route")));
        }
        std::vector<std::optional<std::size_t>> elements(route.matches.begin(), route.matches.end());
        if (elements.empty()) {
            elements.emplace_back();
        }
        for (const std::optional<std::size_t>& element : elements) {
            Rule each = *rule;
            each.name = element ? model::route_name(route, *element) : route.name;
            Result<std::shared_ptr<const Rule::Compiled>> compiled = compile(each, {port, route, element});
            if (!compiled) {
                return std::unexpected(compiled.error());
            }
            if (route.rule == nullptr && !rules.empty()) {
                auto strangers = std::make_shared<Rule::Compiled>();
                strangers->only_strangers = true;
                strangers->targets.resize(1);
                compiled = std::shared_ptr<const Rule::Compiled>(std::move(strangers));
            }
            each.compiled = std::move(*compiled);
            rules.push_back(std::move(each));
        }
    }
    return rules;
}

}  // namespace sluice::proxy
