#include <array>

#include "telemetry/exposition.h"

namespace sluice::telemetry {

namespace {

using prometheus::MetricType;

constexpr std::string_view kUnknown = "unknown";

// In the order in which Istio's stats filter emits them, without the two that only requests have.
const std::vector<std::string> kLabels{"reporter",
                                       "source_workload",
                                       "source_canonical_service",
                                       "source_canonical_revision",
                                       "source_workload_namespace",
                                       "source_principal",
                                       "source_app",
                                       "source_version",
                                       "source_cluster",
                                       "destination_workload",
                                       "destination_workload_namespace",
                                       "destination_principal",
                                       "destination_app",
                                       "destination_version",
                                       "destination_service",
                                       "destination_canonical_service",
                                       "destination_canonical_revision",
                                       "destination_service_name",
                                       "destination_service_namespace",
                                       "destination_cluster",
                                       "request_protocol",
                                       "response_flags",
                                       "connection_security_policy"};

std::string_view or_unknown(const std::string& text) {
    return text.empty() ? kUnknown : std::string_view(text);
}

// A field of a workload that may be unknown altogether.
std::string_view field(const model::Workload* workload, std::string model::Workload::*member) {
    return workload ? or_unknown(workload->*member) : kUnknown;
}

std::string_view revision(const model::Workload* workload) {
    return workload && !workload->canonical_revision.empty() ? std::string_view(workload->canonical_revision)
                                                             : "latest";
}

std::string_view service_field(const model::Cluster* cluster, std::string model::Cluster::*member) {
    return cluster ? or_unknown(cluster->*member) : kUnknown;
}

using Labels = std::array<std::string_view, 23>;

// Principals stay unknown: the direct lane carries what the application sends, and nothing has authenticated either
// end.
Labels labels_of(const Reading& reading, const sl_flow_key& key) {
    const model::Workload* from = reading.names.workload(key.workload);
    const model::Workload* to = reading.names.workload(key.destination_workload);
    const model::Cluster* cluster = reading.names.cluster(key.cluster);
    using W = model::Workload;
    using C = model::Cluster;
    return {"source",
            field(from, &W::name),
            field(from, &W::canonical_service),
            revision(from),
            field(from, &W::ns),
            kUnknown,
            field(from, &W::app),
            field(from, &W::version),
            kUnknown,
            field(to, &W::name),
            field(to, &W::ns),
            kUnknown,
            field(to, &W::app),
            field(to, &W::version),
            service_field(cluster, &C::host),
            field(to, &W::canonical_service),
            revision(to),
            service_field(cluster, &C::service_name),
            service_field(cluster, &C::service_namespace),
            kUnknown,
            "tcp",
            reason_flag(key.reason),
            kUnknown};
}

prometheus::MetricFamily of_flows(SeriesBook& book, const Reading& reading, const char* name, const char* help,
                                  __u64 sl_flow::*member) {
    Family family(book, name, help, MetricType::Counter, kLabels);
    for (const auto& [key, flow] : reading.flows) {
        Labels labels = labels_of(reading, key);
        family.add(labels, static_cast<double>(flow.*member));
    }
    return std::move(family).finish();
}

}  // namespace

prometheus::MetricFamily istio_opened(SeriesBook& book, const Reading& reading) {
    return of_flows(book, reading, "istio_tcp_connections_opened_total",
                    "Connections opened, and attempts that failed with their flag.", &sl_flow::opened);
}

prometheus::MetricFamily istio_closed(SeriesBook& book, const Reading& reading) {
    return of_flows(book, reading, "istio_tcp_connections_closed_total",
                    "Connections closed, and attempts that failed with their flag.", &sl_flow::closed);
}

prometheus::MetricFamily istio_sent(SeriesBook& book, const Reading& reading) {
    return of_flows(book, reading, "istio_tcp_sent_bytes_total", "Bytes sent to the client.", &sl_flow::received_bytes);
}

prometheus::MetricFamily istio_received(SeriesBook& book, const Reading& reading) {
    return of_flows(book, reading, "istio_tcp_received_bytes_total", "Bytes received from the client.",
                    &sl_flow::sent_bytes);
}

prometheus::MetricFamily istio_build(SeriesBook& book, const Reading& reading) {
    Family family(book, "istio_build", "The component and its version.", MetricType::Gauge, {"component", "tag"});
    std::array<std::string_view, 2> labels{"sluice", reading.agent.version};
    family.add(labels, 1);
    return std::move(family).finish();
}

}  // namespace sluice::telemetry
