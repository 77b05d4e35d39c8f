// Metrics of the proxy lane alone: a shadow is judged by them, and nothing that was turned away goes uncounted.
#include <array>
#include <string>

#include "telemetry/buckets.h"
#include "telemetry/exposition.h"
#include "telemetry/labels.h"

namespace sluice::telemetry {

namespace {

constexpr double kSecond = 1e9;
const std::vector<std::string> kMirrorLabels{"service", "port", "subset", "version", "response_code", "response_flags"};

using MirrorLabels = std::array<std::string_view, 6>;

MirrorLabels mirror_labels(const ProxiedRow& row, std::string_view code) {
    if (row.other) {
        MirrorLabels labels;
        labels.fill("other");
        return labels;
    }
    return {row.service.host, row.service.port, row.service.subset, version_of(row.to.get()), code, row.flags};
}

std::string_view or_unknown(const std::string& text) {
    return text.empty() ? std::string_view("unknown") : text;
}

void service_counts(SeriesBook& book, const Reading& reading, ProxiedCount::What what, const char* name,
                    const char* help, std::string& out) {
    static const std::vector<std::string> kLabels{"service", "port", "subset", "reason"};
    Family family(book, name, help, Kind::kCounter, kLabels);
    for (const ProxiedCount& row : reading.proxied_counts) {
        if (row.what == what) {
            family.add(std::array<std::string_view, 4>{or_unknown(row.service.host), or_unknown(row.service.port),
                                                       row.service.subset, row.reason},
                       static_cast<double>(row.count));
        }
    }
    std::move(family).write(out);
}

void reason_counts(SeriesBook& book, const Reading& reading, ProxiedCount::What what, const char* name,
                   const char* help, std::string& out) {
    static const std::vector<std::string> kLabels{"reason"};
    Family family(book, name, help, Kind::kCounter, kLabels);
    for (const ProxiedCount& row : reading.proxied_counts) {
        if (row.what == what) {
            family.add(std::array<std::string_view, 1>{row.reason}, static_cast<double>(row.count));
        }
    }
    std::move(family).write(out);
}

}  // namespace

void proxy_counters(SeriesBook& book, const Reading& reading, std::string& out) {
    Family family(book, "sluice_mirror_requests_total", "Copies sent by mirror rules, by the answer that they got.",
                  Kind::kCounter, kMirrorLabels);
    for (const ProxiedRow& row : reading.proxied) {
        if (row.side == ProxiedRow::Side::kMirror) {
            family.add(mirror_labels(row, std::to_string(row.status)), static_cast<double>(row.counts.requests));
        }
    }
    std::move(family).write(out);
    using What = ProxiedCount::What;
    service_counts(book, reading, What::kMirrorSkipped, "sluice_mirror_skipped_total", "Copies that were not sent.",
                   out);
    service_counts(book, reading, What::kRefused, "sluice_proxy_refused_total",
                   "Connections and requests that the proxy lane turned away before they had a route.", out);
    reason_counts(book, reading, What::kLogDropped, "sluice_access_log_dropped_total",
                  "Lines of the access log that were not written.", out);
    reason_counts(book, reading, What::kSampleLost, "sluice_proxy_samples_lost_total",
                  "Finished requests that `sluice tail` waited for and that found no room.", out);
}

void mirror_durations(SeriesBook& book, const Reading& reading, std::string& out) {
    Family family(book, "sluice_mirror_duration_seconds", "First byte of the copy sent to last byte of its answer.",
                  Kind::kHistogram, kMirrorLabels);
    for (const ProxiedRow& row : reading.proxied) {
        if (row.side == ProxiedRow::Side::kMirror) {
            family.add_histogram(mirror_labels(row, std::to_string(row.status)), kBoundsSeconds, row.counts.duration,
                                 static_cast<double>(row.counts.duration_ns) / kSecond);
        }
    }
    std::move(family).write(out);
}

}  // namespace sluice::telemetry
