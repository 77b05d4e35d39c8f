// How two states of one cluster differ, in words.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "verify/effect_parts.h"
#include "verify/words.h"

namespace sluice::verify {

namespace {

constexpr std::size_t kEndpointsNamed = 3;

using model::Cluster;

const char* balancer_name(sl_load_balancer balancer) {
    switch (balancer) {
        case SL_LB_LEAST_REQUEST:
            return "least request";
        case SL_LB_ROUND_ROBIN:
            return "round robin";
        case SL_LB_RANDOM:
            return "random";
        case SL_LB_RING_HASH:
            return "ring hash";
        case SL_LB_MAGLEV:
            return "Maglev";
    }
    return "another one";
}

std::string balancing(const Cluster& cluster) {
    std::string out = balancer_name(cluster.load_balancer);
    if (cluster.hash_key) {
        const bool header = cluster.hash_key->kind == config::HashKey::Kind::kHeader;
        const bool cookie = cluster.hash_key->kind == config::HashKey::Kind::kCookie;
        out += fmt::format(" by {} {}",
                           header   ? "header"
                           : cookie ? "cookie"
                                    : "query parameter",
                           cluster.hash_key->name);
    }
    if (cluster.hash_table_size != 0) {
        out += fmt::format(", table of {}", cluster.hash_table_size);
    }
    if (cluster.warmup) {
        out += ", warm-up " + duration_text(cluster.warmup->duration);
    }
    return out;
}

std::string limit_text(std::uint32_t limit) {
    return limit == SL_UNLIMITED ? "no limit" : std::to_string(limit);
}

std::string ejection(const Cluster& cluster) {
    if (!cluster.outlier) {
        return "off";
    }
    const config::OutlierDetection& outlier = *cluster.outlier;
    std::string out;
    for (const auto& [count, what] : {std::pair(std::optional(outlier.consecutive_5xx.value_or(5)), "5xx"),
                                      std::pair(outlier.consecutive_gateway, "gateway errors")}) {
        if (count.value_or(0) != 0) {
            out += fmt::format("{}{} {}", out.empty() ? "after " : " or ", *count, what);
        }
    }
    if (outlier.split_local_origin) {
        out +=
            fmt::format("{}{} failed connects", out.empty() ? "after " : " or ", outlier.consecutive_local.value_or(5));
    }
    return fmt::format("{} for {}, looked at every {}, at most {}% (off below {}% healthy)",
                       out.empty() ? "never" : out, duration_text(outlier.base_ejection),
                       duration_text(outlier.interval), outlier.max_ejection_percent, outlier.min_health_percent);
}

std::string pool_text(const Cluster& cluster) {
    const config::HttpPool& pool = cluster.pool;
    std::string out =
        fmt::format("connections {}, requests {}, waiting {}, retries {}", limit_text(cluster.max_connections),
                    limit_text(pool.max_requests), limit_text(pool.max_pending), limit_text(pool.max_retries));
    if (pool.max_requests_per_connection != 0) {
        out += fmt::format(", {} requests a connection", pool.max_requests_per_connection);
    }
    return out + (cluster.limit_node ? ", of the whole node" : "");
}

std::string times_text(const Cluster& cluster) {
    std::string out = "connect " + duration_text(std::chrono::milliseconds(cluster.connect_timeout_ms));
    out += ", idle " + (cluster.pool.idle_timeout.count() == 0 ? "never" : duration_text(cluster.pool.idle_timeout));
    if (cluster.pool.max_connection_duration) {
        out += ", at most " + duration_text(*cluster.pool.max_connection_duration);
    }
    if (cluster.keepalive) {
        out += fmt::format(", keepalive {} probes every {} after {}", cluster.keepalive->probes,
                           duration_text(cluster.keepalive->interval), duration_text(cluster.keepalive->time));
    }
    return out;
}

std::string address_text(const model::Endpoint& endpoint) {
    return fmt::format("{}:{}", endpoint.address.text(), endpoint.port);
}

// Endpoints of `in` that take new connections, and that `of` has not so.
std::vector<std::string> only(const Cluster& in, const Cluster& of) {
    std::vector<std::string> out;
    for (const model::Endpoint& endpoint : in.endpoints) {
        const bool there = std::ranges::any_of(of.endpoints, [&](const model::Endpoint& other) {
            return other.address == endpoint.address && other.port == endpoint.port && other.accepts_new;
        });
        if (endpoint.accepts_new && !there) {
            out.push_back(address_text(endpoint));
        }
    }
    return out;
}

std::string named(std::vector<std::string> addresses, const char* what) {
    if (addresses.empty()) {
        return "";
    }
    std::string out;
    for (std::size_t i = 0; i < addresses.size() && i < kEndpointsNamed; ++i) {
        out += (i == 0 ? "" : ", ") + addresses[i];
    }
    if (addresses.size() > kEndpointsNamed) {
        out += fmt::format(" and {} more", addresses.size() - kEndpointsNamed);
    }
    return fmt::format("{} {}", what, out);
}

std::string endpoint_line(const Cluster& before, const Cluster& after) {
    const auto count = [](const Cluster& c) {
        return std::ranges::count(c.endpoints, true, &model::Endpoint::accepts_new);
    };
    const std::string added = named(only(after, before), "new:"), gone = named(only(before, after), "gone:");
    if (added.empty() && gone.empty()) {
        return "";
    }
    return fmt::format("endpoints {} -> {} ({}{}{})", count(before), count(after), added,
                       added.empty() || gone.empty() ? "" : "; ", gone);
}

void compare(const std::string& name, const Cluster& before, const Cluster& after, std::vector<std::string>& lines) {
    const std::pair<const char*, std::string (*)(const Cluster&)> parts[]{
        {"balancing", balancing}, {"ejection", ejection}, {"limits", pool_text}, {"times", times_text}};
    for (const auto& [what, text] : parts) {
        if (const std::string then = text(before), now = text(after); then != now) {
            lines.push_back(fmt::format("{}: {} {} -> {}", name, what, then, now));
        }
    }
    if (before.drain != after.drain) {
        lines.push_back(
            fmt::format("{}: drain {} -> {}", name, config::drain_name(before.drain), config::drain_name(after.drain)));
    }
    if (const std::string endpoints = endpoint_line(before, after); !endpoints.empty()) {
        lines.push_back(name + ": " + endpoints);
    }
}

}  // namespace

void cluster_lines(const model::ServicePort& before, const model::ServicePort& after, std::vector<std::string>& lines) {
    std::map<std::string, model::ClusterPtr> then;
    for (const model::ClusterPtr& cluster : model::clusters_of(*before.route)) {
        then.emplace(cluster->name, cluster);
    }
    for (const model::ClusterPtr& cluster : model::clusters_of(*after.route)) {
        const auto found = then.find(cluster->name);
        if (found != then.end() && found->second != cluster) {
            const bool own = cluster->host == after.host;
            compare(own && !cluster->subset.empty() ? cluster->subset
                    : own                           ? std::string("all endpoints")
                                                    : cluster->name,
                    *found->second, *cluster, lines);
        }
    }
}

}  // namespace sluice::verify
