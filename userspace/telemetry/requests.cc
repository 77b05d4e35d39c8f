// Metrics of requests: Istio's standard ones, the time to the first byte, and what could not be watched.
#include <array>
#include <numeric>
#include <string>

#include "telemetry/buckets.h"
#include "telemetry/exposition.h"
#include "telemetry/labels.h"

namespace sluice::telemetry {

namespace {

constexpr double kMillisecond = 1e6;  // in nanoseconds
constexpr double kSecond = 1e9;
constexpr std::string_view kOther = "other";

// What the kernel counted without a row of its own.
bool is_overflow(const sl_request_key& key) {
    return key.workload == SL_NONE && key.cluster == SL_NONE;
}

bool is_request(const sl_request_key& key) {
    return !SL_REASON_IS_UNOBSERVED(key.reason);
}

IstioLabels labels_of(const Reading& reading, const sl_request_key& key, std::string_view code) {
    IstioLabels labels;
    if (is_overflow(key)) {
        labels.fill(kOther);
        return labels;
    }
    return istio_labels(reading.names, {key.workload, key.cluster, key.destination_workload}, "http", code,
                        reason_flag(key.reason));
}

// A connect that came to nothing was somebody's request on an HTTP port: nobody answered it. Without a cluster (NC) the
// port is not known any more; the rules that can name a missing host are nearly always http ones.
bool is_lost_request(const Reading& reading, const sl_flow_key& key) {
    if (!is_refusal(key.reason) && !is_connect_failure(key.reason)) {
        return false;
    }
    const model::Cluster* cluster = reading.names.cluster(key.cluster);
    return cluster ? cluster->http : key.reason == SL_REASON_NO_CLUSTER;
}

IstioLabels labels_of(const ProxiedRow& row, std::string_view code) {
    const std::string_view reporter = row.side == ProxiedRow::Side::kSource ? "source" : "destination";
    if (row.other) {
        IstioLabels labels;
        labels.fill(kOther);
        labels[0] = reporter;
        return labels;
    }
    return istio_labels({.reporter = reporter,
                         .from = row.from.get(),
                         .to = row.to.get(),
                         .host = row.service.host,
                         .service_name = row.service.name,
                         .service_namespace = row.service.ns,
                         .grpc_status = row.grpc_status},
                        row.grpc ? "grpc" : "http", code, row.flags);
}

bool answered(const sl_request_counts& counts) {
    return std::accumulate(std::begin(counts.first_byte), std::end(counts.first_byte), 0ull) != 0;
}

// What histograms of one family show.
struct Distribution {
    const char* name;
    const char* help;
    __u64 sl_request_counts::*sum;
    __u64 (sl_request_counts::*counts)[SL_HISTOGRAM_BUCKETS];
    double unit;
};

void istio_histogram(SeriesBook& book, const Reading& reading, const Distribution& what, std::string& out) {
    Family family(book, what.name, what.help, Kind::kHistogram, istio_label_names());
    for (const auto& [key, counts] : reading.requests) {
        if (is_request(key)) {
            family.add_histogram(labels_of(reading, key, std::to_string(key.status)), kBounds, counts.*what.counts,
                                 static_cast<double>(counts.*what.sum) / what.unit);
        }
    }
    for (const ProxiedRow& row : reading.proxied) {
        if (row.side != ProxiedRow::Side::kMirror) {
            family.add_histogram(labels_of(row, std::to_string(row.status)), kBounds, row.counts.*what.counts,
                                 static_cast<double>(row.counts.*what.sum) / what.unit);
        }
    }
    std::move(family).write(out);
}

void unobserved(SeriesBook& book, const Reading& reading, std::string& out) {
    static const std::vector<std::string> kLabels{"service", "port", "subset", "version", "reason"};
    Family family(book, "sluice_unobserved_connections_total",
                  "Connections of HTTP ports that could not be watched, or from some point on.", Kind::kCounter,
                  kLabels);
    for (const auto& [key, counts] : reading.requests) {
        if (is_request(key)) {
            continue;
        }
        const ClusterLabels cluster(reading.names.cluster(key.cluster));
        family.add(std::array<std::string_view, 5>{cluster.service, cluster.port, cluster.subset,
                                                   version_of(reading.names.workload(key.destination_workload)),
                                                   reason_label(key.reason)},
                   static_cast<double>(counts.requests));
    }
    std::move(family).write(out);
}

}  // namespace

void request_counters(SeriesBook& book, const Reading& reading, std::string& out) {
    Family family(book, "istio_requests_total", "Requests by the answer that they got; code 0: none.", Kind::kCounter,
                  istio_label_names());
    for (const auto& [key, counts] : reading.requests) {
        if (is_request(key)) {
            family.add(labels_of(reading, key, std::to_string(key.status)), static_cast<double>(counts.requests));
        }
    }
    for (const auto& [key, flow] : reading.flows) {
        if (is_lost_request(reading, key)) {
            const Ends ends{key.workload, key.cluster, key.destination_workload};
            family.add(istio_labels(reading.names, ends, "http", "0", reason_flag(key.reason)),
                       static_cast<double>(flow.opened));
        }
    }
    for (const ProxiedRow& row : reading.proxied) {
        if (row.side != ProxiedRow::Side::kMirror) {
            family.add(labels_of(row, std::to_string(row.status)), static_cast<double>(row.counts.requests));
        }
    }
    std::move(family).write(out);
    unobserved(book, reading, out);
}

void request_durations(SeriesBook& book, const Reading& reading, std::string& out) {
    istio_histogram(book, reading,
                    {"istio_request_duration_milliseconds", "First byte of the request to last byte of the answer.",
                     &sl_request_counts::duration_ns, &sl_request_counts::duration, kMillisecond},
                    out);
    static const std::vector<std::string> kLabels{"source_workload",      "source_workload_namespace",
                                                  "destination_workload", "destination_version",
                                                  "destination_service",  "response_code"};
    Family family(book, "sluice_request_first_byte_seconds", "First byte of the request to first byte of the answer.",
                  Kind::kHistogram, kLabels);
    const auto add = [&](const IstioLabels& all, const sl_request_counts& counts) {
        family.add_histogram(std::array{all[1], all[4], all[9], all[13], all[14], all[kResponseCodeAt]}, kBoundsSeconds,
                             counts.first_byte, static_cast<double>(counts.first_byte_ns) / kSecond);
    };
    for (const auto& [key, counts] : reading.requests) {
        if (is_request(key) && answered(counts)) {
            const std::string code = std::to_string(key.status);
            add(labels_of(reading, key, code), counts);
        }
    }
    for (const ProxiedRow& row : reading.proxied) {
        if (row.side == ProxiedRow::Side::kSource && answered(row.counts)) {
            const std::string code = std::to_string(row.status);
            add(labels_of(row, code), row.counts);
        }
    }
    std::move(family).write(out);
}

void request_sizes(SeriesBook& book, const Reading& reading, std::string& out) {
    istio_histogram(book, reading,
                    {"istio_response_bytes", "Answers with their heads.", &sl_request_counts::response_bytes,
                     &sl_request_counts::response_size, 1},
                    out);
    istio_histogram(book, reading,
                    {"istio_request_bytes", "Requests with their heads.", &sl_request_counts::request_bytes,
                     &sl_request_counts::request_size, 1},
                    out);
}

}  // namespace sluice::telemetry
