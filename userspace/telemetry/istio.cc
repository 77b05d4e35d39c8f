// Istio's metrics of connections.
#include "telemetry/exposition.h"
#include "telemetry/labels.h"

namespace sluice::telemetry {

void build_family(SeriesBook& book, const Reading& reading, std::string& out) {
    static const std::vector<std::string> kLabels{"component", "tag"};
    Family family(book, "istio_build", "The component and its version.", Kind::kGauge, kLabels);
    family.add(std::array<std::string_view, 2>{"sluice", reading.agent.version}, 1);
    std::move(family).write(out);
}

void connection_counters(SeriesBook& book, const Reading& reading, std::string& out) {
    struct Metric {
        const char* name;
        const char* help;
        __u64 sl_flow::*member;
    };
    for (const Metric& metric :
         {Metric{"istio_tcp_connections_opened_total", "Connections opened, and attempts that failed with their flag.",
                 &sl_flow::opened},
          Metric{"istio_tcp_connections_closed_total", "Connections closed, and attempts that failed with their flag.",
                 &sl_flow::closed},
          Metric{"istio_tcp_sent_bytes_total", "Bytes sent to the client.", &sl_flow::received_bytes},
          Metric{"istio_tcp_received_bytes_total", "Bytes received from the client.", &sl_flow::sent_bytes}}) {
        Family family(book, metric.name, metric.help, Kind::kCounter, istio_tcp_label_names());
        for (const auto& [key, flow] : reading.flows) {
            const Ends ends{key.workload, key.cluster, key.destination_workload};
            family.add(istio_tcp_labels(reading.names, ends, reason_flag(key.reason)),
                       static_cast<double>(flow.*metric.member));
        }
        std::move(family).write(out);
    }
}

}  // namespace sluice::telemetry
