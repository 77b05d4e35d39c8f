// Bounded metric families: series are made on first use, and past the bound they are summed under the label value
// `other`, so that no rule or client can make a scrape grow without end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <prometheus/metric_family.h>

namespace sluice::telemetry {

// Remembers which series have a place. A series keeps its answer (own or `other`) for as long as each scrape shows it,
// so counters never move between the two. Not thread-safe.
class SeriesBook {
  public:
    static constexpr std::size_t kLimit = 20'000;
    explicit SeriesBook(std::size_t limit = kLimit) : limit_(limit) {}

    void begin_scrape() { ++scrape_; }
    // True: the series `hash`, which makes `lines` lines, has its place. False: it belongs under `other`.
    bool admit(std::uint64_t hash, std::size_t lines);
    // Forgets what the scrape did not show.
    void end_scrape();

    std::size_t size() const { return lines_; }
    std::uint64_t overflow_total() const { return overflow_; }  // series that found no place, since start

  private:
    struct Seen {
        std::uint64_t scrape = 0;
        std::uint32_t lines = 0;  // 0: folded into `other`
    };
    std::size_t limit_;
    std::size_t lines_ = 0;
    std::uint64_t scrape_ = 0;
    std::uint64_t overflow_ = 0;
    std::unordered_map<std::uint64_t, Seen> series_;
};

using LabelValues = std::span<const std::string_view>;

// Collects one family; values for the same labels are summed.
class Family {
  public:
    Family(SeriesBook& book, std::string name, std::string help, prometheus::MetricType type,
           std::vector<std::string> label_names);

    // Adds to a counter or gauge.
    void add(LabelValues labels, double value);
    // Adds to a summary without quantiles.
    void add_summary(LabelValues labels, std::uint64_t count, double sum);
    // Adds to a histogram; `counts` are per bucket (not cumulative) and one longer than `bounds`, whose last is +Inf.
    void add_histogram(LabelValues labels, std::span<const double> bounds, std::span<const std::uint64_t> counts,
                       double sum);

    // Ordered by labels.
    prometheus::MetricFamily finish() &&;

  private:
    prometheus::ClientMetric& at(LabelValues labels, std::size_t lines);

    SeriesBook& book_;
    std::vector<std::string> label_names_;
    prometheus::MetricFamily family_;
    std::unordered_map<std::uint64_t, std::size_t> index_;  // hash of the labels -> place in family_.metric
};

}  // namespace sluice::telemetry
