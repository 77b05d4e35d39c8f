#include "telemetry/exposition.h"

#include <utility>

namespace sluice::telemetry {

namespace {

void single(SeriesBook& book, std::string& out, const char* name, const char* help, Kind kind, std::uint64_t value) {
    Family family(book, name, help, kind, {});
    family.add({}, static_cast<double>(value));
    std::move(family).write(out);
}

}  // namespace

std::string Exposition::text(const Reading& reading) {
    constexpr std::size_t kSlack = 64u << 10;
    std::string out;
    out.reserve(last_bytes_ + kSlack);
    book_.begin_scrape();
    // In this order new series take their places: the agent's own first, because they are few; what counts before what
    // has buckets.
    for (auto* write : {build_family, agent_families, drain_families, canary_families, request_counters, proxy_counters,
                        experiment_counters, table_families, flow_counters, connection_counters, route_weight_family,
                        request_durations, experiment_durations, mirror_durations, flow_durations, request_sizes}) {
        write(book_, reading, out);
    }
    book_.end_scrape();
    single(book_, out, "sluice_metric_series", "Series with labels now shown.", Kind::kGauge, book_.size());
    single(book_, out, "sluice_metric_series_overflow_total", "Series folded into `other` for want of a place.",
           Kind::kCounter, book_.overflow_total());
    last_bytes_ = out.size();
    return out;
}

}  // namespace sluice::telemetry
