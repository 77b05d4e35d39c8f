#include "compile/rows.h"

#include <arpa/inet.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "compile/alias.h"
#include "compile/ring.h"

namespace sluice::compile {
namespace {

using std::chrono::nanoseconds;

// Envoy's max_ejection_time; a longer base raises it (istio never sets it).
constexpr nanoseconds kMaxEjection = std::chrono::seconds(300);

std::uint32_t whole_seconds(nanoseconds duration) {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(duration).count());
}

std::uint64_t count_of(nanoseconds duration) {
    return static_cast<std::uint64_t>(duration.count());
}

}  // namespace

sl_cluster_row policy_row(const model::Cluster& cluster) {
    sl_cluster_row row{};
    row.load_balancer = cluster.load_balancer;
    row.max_connections = cluster.max_connections;
    row.connect_timeout_ms = cluster.connect_timeout_ms;
    if (cluster.limit_node) {
        row.flags |= SL_CLUSTER_LIMIT_NODE;
    }
    row.flags |= (cluster.http ? SL_CLUSTER_HTTP : 0) | (cluster.answers ? SL_CLUSTER_ANSWERS : 0);
    row.flags |= cluster.drain == config::Drain::kIdle  ? SL_CLUSTER_DRAIN_IDLE
                 : cluster.drain == config::Drain::kNow ? SL_CLUSTER_DRAIN_NOW
                                                        : 0;
    if (cluster.keepalive) {
        row.flags |= SL_CLUSTER_KEEPALIVE;
        row.keepalive_probes = cluster.keepalive->probes;
        row.keepalive_time_s = whole_seconds(cluster.keepalive->time);
        row.keepalive_interval_s = whole_seconds(cluster.keepalive->interval);
    }
    if (cluster.outlier) {
        const config::OutlierDetection& outlier = *cluster.outlier;
        row.flags |= SL_CLUSTER_OUTLIER;
        row.consecutive_5xx = outlier.consecutive_5xx.value_or(5);
        row.consecutive_gateway = outlier.consecutive_gateway.value_or(0);
        if (outlier.split_local_origin) {
            row.flags |= SL_CLUSTER_OUTLIER_SPLIT;
            row.consecutive_local = outlier.consecutive_local.value_or(5);
        }
        row.max_ejection_percent = outlier.max_ejection_percent;
        row.min_health_percent = outlier.min_health_percent;
        row.interval_ns = count_of(outlier.interval);
        row.base_ejection_ns = count_of(outlier.base_ejection);
        row.max_ejection_ns = count_of(std::max(kMaxEjection, outlier.base_ejection));
    }
    return row;
}

bool same_policy(const sl_cluster_row& a, const sl_cluster_row& b) {
    return a.flags == b.flags && a.load_balancer == b.load_balancer && a.max_connections == b.max_connections &&
           a.consecutive_5xx == b.consecutive_5xx && a.consecutive_gateway == b.consecutive_gateway &&
           a.consecutive_local == b.consecutive_local && a.max_ejection_percent == b.max_ejection_percent &&
           a.min_health_percent == b.min_health_percent && a.keepalive_probes == b.keepalive_probes &&
           a.keepalive_time_s == b.keepalive_time_s && a.keepalive_interval_s == b.keepalive_interval_s &&
           a.connect_timeout_ms == b.connect_timeout_ms && a.interval_ns == b.interval_ns &&
           a.base_ejection_ns == b.base_ejection_ns && a.max_ejection_ns == b.max_ejection_ns;
}

Result<std::vector<sl_destination>> route_destinations(const model::Route& route,
                                                       const std::vector<std::uint32_t>& clusters) {
    if (!route.no_fallback.empty()) {
        return alias_columns({100}, {SL_NONE});
    }
    std::vector<std::uint32_t> weights;
    for (const model::Destination& destination : route.destinations) {
        weights.push_back(destination.weight);
    }
    return alias_columns(weights, clusters);
}

Result<std::vector<sl_destination>> alias_columns(const std::vector<std::uint32_t>& weights,
                                                  const std::vector<std::uint32_t>& clusters) {
    if (weights.empty() || weights.size() > SL_ROUTE_DESTINATIONS_MAX) {
        return fail("a route has " + std::to_string(weights.size()) + " destinations, allowed are 1 to " +
                    std::to_string(SL_ROUTE_DESTINATIONS_MAX));
    }
    if (weights.size() > 1 && std::accumulate(weights.begin(), weights.end(), std::uint64_t{0}) == 0) {
        return fail("a route with several destinations has a total weight of 0");
    }
    const std::vector<AliasColumn> columns = build_alias(weights);
    std::vector<sl_destination> result;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        result.push_back({clusters[i], weights[i], columns[i].threshold, columns[i].alias});
    }
    return result;
}

sl_warmup warmup_curve(const config::Warmup& warmup) {
    sl_warmup curve{};
    curve.duration_ns = count_of(warmup.duration);
    for (std::uint32_t i = 0; i < SL_WARMUP_STEPS; ++i) {
        // The middle of the step.
        const double part = (i + 0.5) / SL_WARMUP_STEPS;
        const double share = std::max(warmup.minimum_percent / 100, std::pow(part, 1 / warmup.aggression));
        curve.share[i] = static_cast<std::uint32_t>(std::clamp(share, 0.0, 1.0) * 0xffffffffu);
    }
    return curve;
}

std::vector<sl_hash_entry> hash_table(const model::Cluster& cluster, const std::vector<std::string>& keys) {
    switch (cluster.load_balancer) {
        case SL_LB_RING_HASH:
            return build_ring(keys, cluster.hash_table_size);
        case SL_LB_MAGLEV:
            return build_maglev(keys, cluster.hash_table_size);
        default:
            return {};
    }
}

std::size_t hash_table_entries(const model::Cluster& cluster, std::size_t endpoints) {
    if (endpoints == 0) {
        return 0;
    }
    switch (cluster.load_balancer) {
        case SL_LB_RING_HASH:
            return ring_size(endpoints, cluster.hash_table_size);
        case SL_LB_MAGLEV:
            return cluster.hash_table_size < 2 ? 0 : cluster.hash_table_size;
        default:
            return 0;
    }
}

bool endpoint_before(const IpAddress& a, std::uint16_t a_port, const IpAddress& b, std::uint16_t b_port) {
    if (a.is_v4() != b.is_v4()) {
        return a.is_v4();
    }
    return a != b ? a < b : a_port < b_port;
}

IpAddress address_of(const sl_endpoint& endpoint) {
    IpAddress address;
    std::copy_n(endpoint.address, address.bytes.size(), address.bytes.begin());
    return address;
}

std::uint16_t port_of(const sl_endpoint& endpoint) {
    return ntohs(endpoint.port);
}

}  // namespace sluice::compile
