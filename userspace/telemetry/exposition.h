// The Prometheus text of one scrape: Istio's standard metrics with every label, and Sluice's own.
//
// Names, labels and units: DESIGN.md "Metrics". Buckets: of milliseconds and bytes Istio's (SL_HISTOGRAM_BOUNDS_X2), of
// sluice_connect_duration_seconds 16 us * 2^i, i = 0..18.
#pragma once

#include <string>

#include "telemetry/reading.h"
#include "telemetry/series.h"

namespace sluice::telemetry {

// Each appends the text of some families. The agent's own, and words of the tables:
void build_family(SeriesBook& book, const Reading& reading, std::string& out);
void agent_families(SeriesBook& book, const Reading& reading, std::string& out);
void drain_families(SeriesBook& book, const Reading& reading, std::string& out);
void table_families(SeriesBook& book, const Reading& reading, std::string& out);
// Connections. As in Istio `sent` is what the client was sent (endpoint to client) and `received` what came from it.
void connection_counters(SeriesBook& book, const Reading& reading, std::string& out);
void flow_counters(SeriesBook& book, const Reading& reading, std::string& out);
void flow_durations(SeriesBook& book, const Reading& reading, std::string& out);
// Requests. istio_requests_total holds too, with code 0, the connects on HTTP ports that came to nothing.
void request_counters(SeriesBook& book, const Reading& reading, std::string& out);
void request_durations(SeriesBook& book, const Reading& reading, std::string& out);
void request_sizes(SeriesBook& book, const Reading& reading, std::string& out);
// The proxy lane: copies by mirror rules, and what was turned away.
void proxy_counters(SeriesBook& book, const Reading& reading, std::string& out);
void mirror_durations(SeriesBook& book, const Reading& reading, std::string& out);
// Canaries, and the weights of rules.
void canary_families(SeriesBook& book, const Reading& reading, std::string& out);
void route_weight_family(SeriesBook& book, const Reading& reading, std::string& out);
// Experiments, arm by arm.
void experiment_counters(SeriesBook& book, const Reading& reading, std::string& out);
void experiment_durations(SeriesBook& book, const Reading& reading, std::string& out);

// Owns what must outlive a scrape: which series have a place. Not thread-safe.
class Exposition {
  public:
    explicit Exposition(SeriesBook book = SeriesBook()) : book_(std::move(book)) {}
    std::string text(const Reading& reading);

  private:
    SeriesBook book_;
    std::size_t last_bytes_ = 0;
};

}  // namespace sluice::telemetry
