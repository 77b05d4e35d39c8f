// The Prometheus text of one scrape: Istio's standard TCP metrics with every label, and Sluice's own.
//
// Names, labels and units: DESIGN.md "Metrics". Buckets of sluice_connect_duration_seconds: 16 us * 2^i, i = 0..18.
#pragma once

#include <string>
#include <vector>

#include <prometheus/metric_family.h>

#include "telemetry/reading.h"
#include "telemetry/series.h"

namespace sluice::telemetry {

// istio_tcp_connections_{opened,closed}_total, istio_tcp_{sent,received}_bytes_total, istio_build. As in Istio `sent`
// is what the client was sent (endpoint to client) and `received` what came from it.
prometheus::MetricFamily istio_opened(SeriesBook& book, const Reading& reading);
prometheus::MetricFamily istio_closed(SeriesBook& book, const Reading& reading);
prometheus::MetricFamily istio_sent(SeriesBook& book, const Reading& reading);
prometheus::MetricFamily istio_received(SeriesBook& book, const Reading& reading);
prometheus::MetricFamily istio_build(SeriesBook& book, const Reading& reading);

// Appends the sluice_* families that come from flow rows, from table words, and from the agent itself.
using Families = std::vector<prometheus::MetricFamily>;
void flow_families(SeriesBook& book, const Reading& reading, Families& out);
void table_families(SeriesBook& book, const Reading& reading, Families& out);
void agent_families(SeriesBook& book, const Reading& reading, Families& out);

// Owns what must outlive a scrape: which series have a place. Not thread-safe.
class Exposition {
  public:
    explicit Exposition(std::size_t series_limit = SeriesBook::kLimit) : book_(series_limit) {}
    std::string text(const Reading& reading);

  private:
    SeriesBook book_;
};

}  // namespace sluice::telemetry
