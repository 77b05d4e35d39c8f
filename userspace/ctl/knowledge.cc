#include "ctl/knowledge.h"

#include <algorithm>
#include <map>
#include <memory>

#include "ctl/agent.h"
#include "ctl/quantile.h"
#include "rollout/gate_spend.h"
#include "rollout/statistics.h"

namespace sluice::ctl {

namespace {

constexpr std::chrono::milliseconds kPatience{1500};
constexpr std::uint64_t kEnough = 500;  // requests of which a p99 says something
constexpr double kTwiceAsBad = 2;

using P99s = std::map<model::ServicePortKey, double>;

// The p99 of all that a service's destinations counted.
std::optional<double> p99_of(const Json& service) {
    std::vector<std::uint64_t> counts;
    std::uint64_t sum = 0;
    for (const Json& destination : service.value("destinations", Json::array())) {
        const auto duration = destination.value("duration", std::vector<std::uint64_t>());
        counts.resize(std::max(counts.size(), duration.size()));
        for (std::size_t i = 0; i < duration.size(); ++i) {
            counts[i] += duration[i];
            sum += duration[i];
        }
    }
    const auto ms = sum < kEnough ? std::nullopt : quantile_ms(counts, 0.99);
    return ms ? std::optional(*ms / 1000) : std::nullopt;
}

P99s measured(const Session& session) {
    P99s out;
    try {
        const auto answer = ask(session, target("/v1/top", {{"limit", "10000"}}), kPatience);
        for (const Json& service : answer ? answer->value("services", Json::array()) : Json::array()) {
            if (const auto p99 = p99_of(service)) {
                const std::string scope = service.value("scope", "");
                out[{scope == "*" ? "" : scope, service.value("host", ""), service.value("port", std::uint16_t{0})}] =
                    *p99;
            }
        }
    } catch (const Json::exception&) {
        out.clear();  // an agent of another version
    }
    return out;
}

// The share of the requests that a gate allows: errors, or durations above its latency.
std::optional<double> allowed_share(const config::Gate& gate) {
    if (gate.kind == config::Gate::Kind::kLatency) {
        return 1 - gate.quantile;
    }
    if (gate.kind != config::Gate::Kind::kErrorRate || (!gate.max && !gate.regression)) {
        return std::nullopt;
    }
    return std::min(gate.max.value_or(1), gate.regression.value_or(1));
}

// Of the binomial test against a bound: a regression compares with a champion that varies too, and finds less.
std::optional<double> power(const config::Canary& canary, const config::Gate& gate, std::uint64_t requests) {
    const std::optional<double> allowed = allowed_share(gate);
    if (!allowed || *allowed <= 0 || *allowed * kTwiceAsBad >= 1) {
        return std::nullopt;
    }
    const double level = rollout::spending(canary, 1).level(true);
    return rollout::error_power({}, requests, *allowed, std::nullopt, *allowed * kTwiceAsBad, level);
}

}  // namespace

verify::Knowledge knowledge(const Session& session) {
    const auto p99s = std::make_shared<const P99s>(measured(session));
    return {.p99 = [p99s](const model::ServicePort& port) -> std::optional<double> {
                const auto it = p99s->find({port.scope, port.host, port.port});
                return it == p99s->end() ? std::nullopt : std::optional(it->second);
            },
            .power = power};
}

}  // namespace sluice::ctl
