#include "model/cluster.h"

#include <algorithm>
#include <chrono>
#include <tuple>

namespace sluice::model {

using config::ObjectPtr;

namespace {

constexpr std::string_view kClusterDomain = ".svc.cluster.local";
constexpr std::uint32_t kConnectTimeoutMs = 10'000;

auto outlier_fields(const config::OutlierDetection& o) {
    return std::tie(o.consecutive_5xx, o.consecutive_gateway, o.split_local_origin, o.consecutive_local, o.interval,
                    o.base_ejection, o.max_ejection_percent, o.min_health_percent);
}

auto keepalive_fields(const config::TcpKeepalive& k) {
    return std::tie(k.probes, k.time, k.interval);
}

template <typename T, typename Fields>
bool same_optional(const std::optional<T>& a, const std::optional<T>& b, Fields fields) {
    return a.has_value() == b.has_value() && (!a || fields(*a) == fields(*b));
}

void shape(Cluster& cluster, const Policies::Blocks& blocks) {
    if (blocks.load_balancer != nullptr) {
        const config::LoadBalancer& lb = *blocks.load_balancer;
        if (lb.key && !cluster.http) {
            cluster.load_balancer = SL_LB_RANDOM;  // Envoy's answer where no request has the key
        } else if (lb.source_ip_hash || lb.key) {
            cluster.load_balancer = lb.maglev ? SL_LB_MAGLEV : SL_LB_RING_HASH;
            cluster.hash_table_size = lb.table_size != 0 ? lb.table_size : (lb.maglev ? 65537 : 1024);
            cluster.hash_key = lb.key;
        } else {
            cluster.load_balancer = lb.simple == config::SimpleLb::kRoundRobin ? SL_LB_ROUND_ROBIN
                                    : lb.simple == config::SimpleLb::kRandom   ? SL_LB_RANDOM
                                                                               : SL_LB_LEAST_REQUEST;
        }
        cluster.warmup = lb.warmup;
    }
    if (blocks.connection_pool != nullptr) {
        const config::ConnectionPool& pool = *blocks.connection_pool;
        if (pool.max_connections.value_or(0) != 0) {
            cluster.max_connections = *pool.max_connections;
        }
        if (pool.connect_timeout) {
            const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*pool.connect_timeout).count();
            cluster.connect_timeout_ms = static_cast<std::uint32_t>(std::clamp<long long>(ms, 1, UINT32_MAX));
        }
        cluster.keepalive = pool.keepalive;
        cluster.pool = pool.http;
    }
    if (blocks.outlier != nullptr) {
        cluster.outlier = *blocks.outlier;
    }
}

}  // namespace

bool same_cluster(const Cluster& a, const Cluster& b) {
    const auto plain = [](const Cluster& c) {
        return std::tie(c.id, c.name, c.host, c.subset, c.port, c.service_name, c.service_namespace, c.load_balancer,
                        c.hash_table_size, c.max_connections, c.connect_timeout_ms, c.limit_node, c.http, c.answers,
                        c.drain, c.pool, c.hash_key, c.warmup);
    };
    return plain(a) == plain(b) && same_optional(a.keepalive, b.keepalive, keepalive_fields) &&
           same_optional(a.outlier, b.outlier, outlier_fields) && a.endpoints == b.endpoints;
}

std::expected<ClusterPtr, Missing> Clusters::get(const View& view, const std::string& host, std::uint16_t port,
                                                 const std::string& subset) {
    const std::string who = view.scope().empty() ? "clients of all namespaces" : "clients of namespace " + view.scope();
    const ServiceRef service = view.service(host, port);
    if (service.object == nullptr) {
        if (!index_.is_service(host)) {
            return std::unexpected(Missing{Missing::What::kHost, "no ServiceEntry or Service has the host " + host});
        }
        std::string ports;
        for (const ObjectPtr& object : index_.find(host)->services) {
            for (const config::ServicePort& p : service_ports(*object)) {
                if (visible(*object, view.scope())) {
                    ports += (ports.empty() ? "" : ", ") + std::to_string(p.number);
                }
            }
        }
        if (ports.empty()) {
            return std::unexpected(Missing{Missing::What::kHost, "host " + host + " is not exported to " + who});
        }
        return std::unexpected(Missing{Missing::What::kPort,
                                       "host " + host + " has no port " + std::to_string(port) + "; it has " + ports});
    }
    const Policies policies = view.policies(host, service.object->key.ns);
    const config::Subset* found = nullptr;
    if (!subset.empty() && (found = policies.subset(subset)) == nullptr) {
        return std::unexpected(Missing{Missing::What::kSubset, "no DestinationRule that " + who + " see for host " +
                                                                   host + " declares the subset " + subset});
    }
    std::string name = "outbound|" + std::to_string(port) + "|" + subset + "|" + host;
    std::string canonical = name + "|" + service.object->key.ns;
    for (const ObjectPtr& rule : policies.rules) {
        canonical.append("|").append(rule->key.ns).append("/").append(rule->key.name);
    }
    const Identity id = Identity::of(canonical);
    if (const auto it = built_.find(id); it != built_.end()) {
        return it->second;
    }
    ClusterPtr known = find(host, id);
    if (known != nullptr && !stale_.contains(host)) {
        return known;
    }
    ClusterPtr cluster = build(id, std::move(name), host, service, policies, found);
    if (known != nullptr && known->sources == cluster->sources && same_cluster(*known, *cluster)) {
        cluster = std::move(known);
    }
    built_.emplace(id, cluster);
    return cluster;
}

ClusterPtr Clusters::build(const Identity& id, std::string name, const std::string& host, const ServiceRef& service,
                           const Policies& policies, const config::Subset* subset) {
    auto cluster = std::make_shared<Cluster>();
    cluster->id = id;
    cluster->name = std::move(name);
    cluster->host = host;
    cluster->subset = subset != nullptr ? subset->name : "";
    cluster->port = service.port->number;
    cluster->service_name = host.ends_with(kClusterDomain) ? host.substr(0, host.find('.')) : host;
    cluster->service_namespace = service.object->key.ns;
    cluster->limit_node = policies.limit_scope() == config::LimitScope::kNode;
    cluster->http = config::is_http(service.port->protocol);
    cluster->answers = config::is_http1(service.port->protocol);
    cluster->drain = policies.drain().value_or(service.object->meta.annotations.drain);
    if (cluster->drain == config::Drain::kUnset) {
        cluster->drain = config::Drain::kNone;
    }
    const Policies::Blocks blocks = policies.blocks(service.port->number, subset);
    shape(*cluster, blocks);
    cluster->endpoints = cluster_endpoints(index_, workloads_, *service.object, *service.port,
                                           subset != nullptr ? &subset->labels : nullptr);
    cluster->sources.reserve(1 + policies.rules.size());
    cluster->sources.push_back(service.object);
    cluster->sources.insert(cluster->sources.end(), policies.rules.begin(), policies.rules.end());
    warn(*cluster, policies, subset, blocks);
    return cluster;
}

void Clusters::warn(const Cluster& cluster, const Policies& policies, const config::Subset* subset,
                    const Policies::Blocks& blocks) {
    const auto n = static_cast<std::size_t>(std::ranges::count_if(cluster.endpoints, &Endpoint::accepts_new));
    if (subset != nullptr && n == 0) {
        ObjectPtr rule;
        policies.subset(subset->name, &rule);
        report_.warning(*rule, subset->place, "spec.subsets[" + subset->name + "]",
                        "no endpoint of " + cluster.host + " that takes connections has the labels of subset " +
                            subset->name + ": its share is refused (UH)");
    }
    if (n > SL_CLUSTER_ENDPOINTS_MAX) {
        report_.error(*cluster.sources.front(), {}, "spec.endpoints",
                      cluster.name + " has " + std::to_string(n) + " endpoints; at most " +
                          std::to_string(SL_CLUSTER_ENDPOINTS_MAX) + " are allowed");
    }
    if (cluster.pool.h2_upgrade) {
        report_.warning(*blocks.connection_pool_from, blocks.connection_pool->place,
                        "connectionPool.http.h2UpgradePolicy of " + cluster.name,
                        "UPGRADE has no effect yet: HTTP/1.1 is spoken to the endpoints of " + cluster.name);
    }
    if (blocks.load_balancer != nullptr && blocks.load_balancer->key && !cluster.http) {
        report_.warning(*blocks.load_balancer_from, blocks.load_balancer->place, "consistentHash of " + cluster.name,
                        "port " + std::to_string(cluster.port) + " of " + cluster.host +
                            " carries no HTTP: without a key in a request the endpoint is random");
    }
    if (cluster.outlier && n > 0 && 100 > cluster.outlier->max_ejection_percent * n) {
        const std::size_t needed = (100 + n - 1) / n;
        report_.warning(*blocks.outlier_from, cluster.outlier->place,
                        "outlierDetection.maxEjectionPercent of " + cluster.name,
                        "maxEjectionPercent " + std::to_string(cluster.outlier->max_ejection_percent) +
                            " never ejects: " + cluster.name + " has " + std::to_string(n) +
                            (n == 1 ? " endpoint, which is " : " endpoints, one of them is ") + std::to_string(needed) +
                            " percent; at least " + std::to_string(needed) + " is needed");
    }
}

ClusterPtr Clusters::find(const std::string& host, const Identity& id) const {
    const auto it = pool_.find(Identity::of(host).lo);
    if (it == pool_.end()) {
        return nullptr;
    }
    for (const std::weak_ptr<const Cluster>& weak : it->second) {
        if (ClusterPtr cluster = weak.lock(); cluster != nullptr && cluster->id == id) {
            return cluster;
        }
    }
    return nullptr;
}

void Clusters::commit() {
    // A cluster that is out of use may be alive elsewhere: once its host is stale it must not come back from the pool.
    for (const std::string& host : stale_) {
        pool_.erase(Identity::of(host).lo);
    }
    for (auto& [id, cluster] : built_) {
        auto& list = pool_[Identity::of(cluster->host).lo];
        std::erase_if(list, [](const auto& weak) { return weak.expired(); });
        list.push_back(std::move(cluster));
    }
    built_.clear();
}

}  // namespace sluice::model
