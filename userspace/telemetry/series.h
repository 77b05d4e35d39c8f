// Bounded metric families and their Prometheus text: series are made on first use, and past the bound they are summed
// under the label value `other`, so that no rule or client can make a scrape grow without end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <linux/types.h>

namespace sluice::telemetry {

enum class Kind { kCounter, kGauge, kSummary, kHistogram };

// Remembers which series have a place. A series keeps its answer (own or `other`) for as long as each scrape shows it,
// so counters never move between the two. Histograms may use three quarters of the room: their buckets come to take it
// all, and the counters behind them (istio_requests_total) would be the ones left out. Not thread-safe.
class SeriesBook {
  public:
    static constexpr std::size_t kLines = 20'000;
    static constexpr std::size_t kBytes = 24u << 20;  // of text: long names must not make it grow either
    explicit SeriesBook(std::size_t lines = kLines, std::size_t bytes = kBytes) : limit_{lines, bytes} {}

    void begin_scrape() { ++scrape_; }
    // True: the series `hash`, which makes `lines` lines of `bytes` together, has its place. False: it belongs under
    // `other`.
    bool admit(std::uint64_t hash, Kind kind, std::size_t lines, std::size_t bytes);
    // Forgets what the scrape did not show.
    void end_scrape();

    std::size_t size() const { return used_.lines; }
    std::uint64_t overflow_total() const { return overflow_; }  // series that found no place, since start

  private:
    struct Room {
        std::size_t lines = 0;
        std::size_t bytes = 0;
        void add(const Room& more);
        void take(const Room& less);
    };
    struct Seen {
        std::uint64_t scrape = 0;
        Room room;  // none: folded into `other`
        bool histogram = false;
    };
    bool fits(Kind kind, const Room& room) const;

    Room limit_;
    Room used_;
    Room histograms_;  // part of used_
    std::uint64_t scrape_ = 0;
    std::uint64_t overflow_ = 0;
    std::unordered_map<std::uint64_t, Seen> series_;
};

using LabelValues = std::span<const std::string_view>;

// Collects one family; values for the same labels are summed. The text of a series' labels is made once, because a
// histogram repeats it in each of its lines.
class Family {
  public:
    Family(SeriesBook& book, std::string name, std::string help, Kind kind, std::span<const std::string> label_names);

    // Adds to a counter or gauge.
    void add(LabelValues labels, double value);
    // Adds to a summary without quantiles.
    void add_summary(LabelValues labels, std::uint64_t count, double sum);
    // Adds to a histogram; `counts` are per bucket (not cumulative) and one longer than `bounds`, whose last is +Inf.
    // All histograms of a family have the same bounds.
    void add_histogram(LabelValues labels, std::span<const double> bounds, std::span<const __u64> counts, double sum);

    // Appends the family in Prometheus' text format, ordered by labels; nothing when it has no series.
    void write(std::string& out) &&;

  private:
    struct Series {
        std::string labels;  // a="b",c="d"
        double value = 0;    // of a summary or histogram: its sum
        std::uint64_t count = 0;
        std::size_t first = 0;  // of a histogram: its place in counts_
    };
    Series& at(LabelValues labels, std::size_t lines);
    std::uint64_t hash_of(LabelValues labels);
    std::string text_of(LabelValues labels) const;
    void write_histogram(const Series& series, std::string& out) const;

    SeriesBook& book_;
    std::string name_;
    std::string help_;
    Kind kind_;
    std::vector<std::string> heads_;  // what stands before each value: `a="`, then `",b="`
    std::string scratch_;
    std::vector<Series> series_;
    std::vector<std::string> bounds_;                       // of histograms, as text
    std::vector<std::uint64_t> counts_;                     // of all histograms, bounds_.size() + 1 each
    std::unordered_map<std::uint64_t, std::size_t> index_;  // hash of the labels -> place in series_
};

}  // namespace sluice::telemetry
