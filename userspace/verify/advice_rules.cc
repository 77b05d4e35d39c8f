// Advice on what rules do: time-outs and retries, weights, mirrors.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "verify/advice_parts.h"
#include "verify/words.h"

namespace sluice::verify {

namespace {

using config::HttpRule;
using config::WeightedRule;

constexpr double kRoomAboveP99 = 1.5;

std::string rule_field(const char* list, std::size_t index) {
    return fmt::format("spec.{}[{}]", list, index);
}

// The last retry begins when all tries before it have run out of time, which is never if that is when the time-out ends
// the request.
void advise_retries(const config::Object& object, const WeightedRule& rule, std::size_t index, Found& found) {
    const HttpRule& http = *rule.http;
    if (!http.timeout || http.timeout->count() == 0 || !http.retries || !http.retries->per_try_timeout ||
        http.retries->attempts == 0) {
        return;
    }
    const auto needed = static_cast<double>(http.retries->attempts) *
                        std::chrono::duration<double>(*http.retries->per_try_timeout).count();
    if (needed < std::chrono::duration<double>(*http.timeout).count()) {
        return;
    }
    found.add("SL101", object, rule.place, rule_field("http", index) + ".retries",
              fmt::format("{} tries of {} take {:g}ms, and the timeout ends the request after {}: the last retry never "
                          "begins when tries run out of time",
                          http.retries->attempts, duration_text(*http.retries->per_try_timeout), needed * 1000,
                          duration_text(*http.timeout)));
}

std::string weights_text(const std::vector<config::RouteDestination>& destinations) {
    std::string text;
    for (const config::RouteDestination& one : destinations) {
        text += fmt::format("{}{}", text.empty() ? "" : " + ", one.weight.value_or(0));
    }
    return text;
}

void advise_weights(const config::Object& object, const char* list, const WeightedRule& rule, std::size_t index,
                    Found& found) {
    const std::uint64_t sum = std::accumulate(
        rule.destinations.begin(), rule.destinations.end(), std::uint64_t{0},
        [](std::uint64_t total, const config::RouteDestination& one) { return total + one.weight.value_or(0); });
    const bool single = rule.destinations.size() == 1;
    // The model speaks of a single destination without weight, and of weights that are all 0.
    if (rule.destinations.empty() || sum == 0 || sum == 100) {
        return;
    }
    found.add("SL105", object, rule.place, rule_field(list, index) + ".route",
              single
                  ? fmt::format("weight {} on a single destination: it gets everything", sum)
                  : fmt::format("the weights add up to {}, not to 100 ({}): they are parts of their sum, not percent",
                                sum, weights_text(rule.destinations)));
}

// Copies to the very servers that answer: no comparison, double load.
void advise_mirrors(const model::HttpRoute& route, std::size_t index, Found& found) {
    for (std::size_t i = 0; i < route.mirrors.size() && i < route.rule->http->mirrors.size(); ++i) {
        const model::ClusterPtr& copy = route.mirrors[i].cluster;
        const bool serves = copy != nullptr && std::ranges::any_of(route.destinations, [&](const auto& destination) {
                                return destination.cluster == copy && destination.weight != 0;
                            });
        if (serves && route.rule->http->mirrors[i].share != 0) {
            const config::RouteDestination& written = route.rule->http->mirrors[i].destination;
            found.add("SL107", *route.source, written.place.line != 0 ? written.place : written.host_place,
                      rule_field("http", index) + ".mirror",
                      fmt::format("{} serves this rule's requests and gets copies of them too", route.mirrors[i].text));
        }
    }
}

void advise_timeout(const model::HttpRoute& route, std::size_t index, double p99, Found& found) {
    const auto& timeout = route.rule->http->timeout;
    if (!timeout || timeout->count() == 0) {
        return;
    }
    const double seconds = std::chrono::duration<double>(*timeout).count();
    if (seconds < kRoomAboveP99 * p99) {
        found.add("SL102", *route.source, route.rule->place, rule_field("http", index) + ".timeout",
                  fmt::format("{} is less than {} times the p99 that was measured ({:.4g}ms): a little more load and "
                              "requests that would have been answered fail",
                              duration_text(*timeout), kRoomAboveP99, p99 * 1000));
    }
}

std::size_t index_of(const model::HttpRoute& route) {
    const auto& http = std::get<config::VirtualService>(route.source->spec).http;
    return static_cast<std::size_t>(
        std::ranges::find_if(http, [&](const WeightedRule& rule) { return &rule == route.rule; }) - http.begin());
}

}  // namespace

void advise_rules(const model::Mesh& mesh, const Knowledge& knowledge, Found& found) {
    for (const auto& [key, object] : mesh.objects()) {
        const auto* service = std::get_if<config::VirtualService>(&object->spec);
        for (std::size_t i = 0; service != nullptr && i < service->http.size(); ++i) {
            advise_weights(*object, "http", service->http[i], i, found);
            if (service->http[i].http != nullptr) {
                advise_retries(*object, service->http[i], i, found);
            }
        }
        for (std::size_t i = 0; service != nullptr && i < service->tcp.size(); ++i) {
            advise_weights(*object, "tcp", service->tcp[i], i, found);
        }
    }
    for (const auto& [key, port] : mesh.services()) {
        std::optional<double> p99;
        bool asked = false;
        for (const model::HttpRoute& route : port->route->http) {
            if (route.rule == nullptr || route.rule->http == nullptr || route.source == nullptr) {
                continue;
            }
            advise_mirrors(route, index_of(route), found);
            if (knowledge.p99 && !asked) {
                p99 = knowledge.p99(*port);
                asked = true;
            }
            if (p99) {
                advise_timeout(route, index_of(route), *p99, found);
            }
        }
    }
}

}  // namespace sluice::verify
