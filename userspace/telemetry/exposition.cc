#include "telemetry/exposition.h"

#include <sstream>

#include <prometheus/text_serializer.h>

namespace sluice::telemetry {

namespace {

// Family by family, so that only one is held beside the text. A family without a series is left out.
void write(std::ostringstream& out, prometheus::MetricFamily family) {
    if (family.metric.empty()) {
        return;
    }
    std::vector<prometheus::MetricFamily> one;
    one.push_back(std::move(family));
    prometheus::TextSerializer().Serialize(out, one);
}

void write(std::ostringstream& out, Families families) {
    for (prometheus::MetricFamily& family : families) {
        write(out, std::move(family));
    }
}

}  // namespace

std::string Exposition::text(const Reading& reading) {
    std::ostringstream out;
    book_.begin_scrape();
    // The agent's own and Sluice's first: they are few, and must not be crowded out by a wide client population.
    Families families;
    agent_families(book_, reading, families);
    table_families(book_, reading, families);
    write(out, std::exchange(families, {}));
    flow_families(book_, reading, families);
    write(out, std::exchange(families, {}));
    for (auto* istio : {istio_build, istio_opened, istio_closed, istio_sent, istio_received}) {
        write(out, istio(book_, reading));
    }
    book_.end_scrape();
    for (auto [name, help, type, value] :
         {std::tuple{"sluice_metric_series", "Series with labels now shown.", prometheus::MetricType::Gauge,
                     static_cast<double>(book_.size())},
          std::tuple{"sluice_metric_series_overflow_total", "Series folded into `other` for want of a place.",
                     prometheus::MetricType::Counter, static_cast<double>(book_.overflow_total())}}) {
        Family family(book_, name, help, type, {});
        family.add({}, value);
        write(out, std::move(family).finish());
    }
    return std::move(out).str();
}

}  // namespace sluice::telemetry
