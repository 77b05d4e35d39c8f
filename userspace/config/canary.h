// A Canary (sluice.dev/v1): how a challenger takes over from a champion, and what it must not do meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/place.h"

namespace sluice::config {

// What is looked at while a stage holds. Exactly one of the kinds; bounds as far as the kind has them.
struct Gate {
    enum class Kind : std::uint8_t { kErrorRate, kLatency, kQuery, kWebhook } kind = Kind::kErrorRate;
    std::string name;  // unique in its canary; the kind's unless given
    Place place;
    // errorRate: a share of requests (0.01 is 1%). latency: seconds. query: the value's own unit.
    std::optional<double> max;
    std::optional<double> min;  // query only
    // How much worse than the champion in the same window. errorRate: added to its rate (0.005 is half a percentage
    // point). latency, query: a part of its value (0.1 is 10% more).
    std::optional<double> regression;
    double tolerance = 0;    // latency: seconds more than the champion that count for nothing, whatever part they are
    double quantile = 0.99;  // latency
    // query: PromQL. With "{{version}}" in it, it is asked once for each version; else once, and the element of the
    // answer whose `version_label` is the version is its value. With champion_query, `query` is the challenger's alone.
    std::string query, champion_query;
    std::string version_label = "destination_version";
    std::uint32_t failures = 1;  // query, webhook: so many looks in a row must fail before the canary is rolled back
    std::string url;             // webhook
    std::chrono::nanoseconds timeout = std::chrono::seconds(5);  // webhook, query
};

struct Canary {
    std::string host;  // as written; short names by the own namespace
    Place host_place;
    // HTTPRoute.name of the rule whose weights are moved; empty: the first rule that names both subsets, else the first
    // without match that names the champion.
    std::string route;
    Place route_place;
    std::string champion, challenger;  // subsets
    Place champion_place, challenger_place;
    struct Mirror {
        std::uint32_t share = 1'000'000;  // of a million
        std::chrono::nanoseconds hold{0};
    };
    std::optional<Mirror> mirror;  // a first stage: copies only
    std::string internal;          // spec.internal as a JSON array of HTTPMatchRequest; empty: none
    Place internal_place;
    struct Stage {
        std::uint32_t weight = 0;          // percent of what champion and challenger have together, 1..100, rising
        std::chrono::nanoseconds hold{0};  // 0 exactly with weight 100
    };
    std::vector<Stage> stages;  // at least one
    std::vector<Gate> gates;
    std::chrono::nanoseconds interval = std::chrono::seconds(10);  // between looks
    std::uint64_t minimum_requests = 100;  // of the challenger (and the champion, for a regression), a stage
    // How much longer than its hold a stage waits for data before the canary is rolled back.
    std::chrono::nanoseconds data_timeout = std::chrono::minutes(10);
    // 1 - the chance that the statistical gates together roll back a challenger that is no worse, over all looks and
    // stages of a canary.
    double confidence = 0.95;
    std::string prometheus;  // URL of a server for `query`, and for all else with metrics_from_prometheus
    bool metrics_from_prometheus = false;
    Place place;
};

}  // namespace sluice::config
