#include "daemon/table_live.h"

namespace sluice::daemon {

std::optional<admin::ClusterLive> TableLive::cluster(const model::Cluster& cluster) const {
    const std::uint32_t number = publisher_.cluster_number(cluster.id);
    if (number >= publisher_.tables().cluster_count) {
        return std::nullopt;
    }
    const sl_cluster& record = publisher_.tables().clusters[number];
    return admin::ClusterLive{.active = sl_load(&record.active),
                              .ejected = sl_load(&record.ejected),
                              .picks = sl_load(&record.picks_total),
                              .ejections = sl_load(&record.ejections_total),
                              .ejections_overflow = sl_load(&record.ejections_overflow)};
}

std::vector<std::optional<admin::EndpointLive>> TableLive::endpoints(const model::Cluster& cluster) const {
    std::vector<std::optional<admin::EndpointLive>> out(cluster.endpoints.size());
    const std::uint32_t number = publisher_.cluster_number(cluster.id);
    for (std::size_t i = 0; number != SL_NONE && i < out.size(); ++i) {
        const model::Endpoint& endpoint = cluster.endpoints[i];
        const std::uint32_t slot = publisher_.endpoint_number(number, endpoint.address, endpoint.port);
        if (slot >= publisher_.tables().endpoint_count) {
            continue;
        }
        const sl_health& health = publisher_.tables().health[slot];
        const std::uint64_t until = sl_load(&health.ejected_until);
        out[i] = admin::EndpointLive{.active = sl_load(&health.active),
                                     .consecutive_5xx = sl_load(&health.consecutive_5xx),
                                     .consecutive_gateway = sl_load(&health.consecutive_gateway),
                                     .consecutive_local = sl_load(&health.consecutive_local),
                                     .times_ejected = sl_load(&health.times_ejected),
                                     .picks = sl_load(&health.picks_total),
                                     .failures = sl_load(&health.failures_total),
                                     .ejected = until > now_ns_,
                                     .ejected_for_s = until > now_ns_ ? static_cast<double>(until - now_ns_) / 1e9 : 0};
    }
    return out;
}

std::optional<admin::RouteLive> TableLive::route(const model::ServicePort& service) const {
    std::optional<Shares> shares = shares_.since(service);
    admin::RouteLive live{.generation = publisher_.generation()};
    if (shares) {
        live.generation = shares->generation;
        live.picks = std::move(shares->picks);
    }
    for (std::uint32_t number : publisher_.service_numbers({service.scope, service.host, service.port})) {
        compile::ServiceConnections connections = publisher_.connections(number);
        live.open += connections.current;
        live.open_older += connections.older;
    }
    return live;
}

}  // namespace sluice::daemon
