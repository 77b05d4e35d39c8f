#include "telemetry/series.h"

#include <algorithm>
#include <utility>

#include "base/identity.h"

namespace sluice::telemetry {

namespace {

constexpr std::string_view kOther = "other";

std::uint64_t hash_of(const std::string& family, LabelValues labels) {
    std::string text = family;
    for (std::string_view label : labels) {
        text += '\xff';  // never part of UTF-8
        text += label;
    }
    return Identity::of(text).lo;
}

}  // namespace

bool SeriesBook::admit(std::uint64_t hash, std::size_t lines) {
    auto [it, inserted] = series_.try_emplace(hash);
    Seen& seen = it->second;
    seen.scrape = scrape_;
    if (inserted) {
        if (lines_ + lines <= limit_) {
            seen.lines = static_cast<std::uint32_t>(lines);
            lines_ += lines;
        } else {
            ++overflow_;
        }
    }
    return seen.lines != 0;
}

void SeriesBook::end_scrape() {
    for (auto it = series_.begin(); it != series_.end();) {
        if (it->second.scrape == scrape_) {
            ++it;
            continue;
        }
        lines_ -= it->second.lines;
        it = series_.erase(it);
    }
}

Family::Family(SeriesBook& book, std::string name, std::string help, prometheus::MetricType type,
               std::vector<std::string> label_names)
    : book_(book), label_names_(std::move(label_names)) {
    family_.name = std::move(name);
    family_.help = std::move(help);
    family_.type = type;
}

prometheus::ClientMetric& Family::at(LabelValues labels, std::size_t lines) {
    std::uint64_t hash = hash_of(family_.name, labels);
    auto found = index_.find(hash);
    if (found != index_.end()) {
        return family_.metric[found->second];
    }
    std::vector<std::string_view> others;
    if (!labels.empty() && !book_.admit(hash, lines)) {
        others.assign(labels.size(), kOther);
        labels = others;
        std::uint64_t own = std::exchange(hash, hash_of(family_.name, labels));
        found = index_.find(hash);
        if (found != index_.end()) {
            index_.emplace(own, found->second);
            return family_.metric[found->second];
        }
        index_.emplace(own, family_.metric.size());
    }
    index_.emplace(hash, family_.metric.size());
    prometheus::ClientMetric& metric = family_.metric.emplace_back();
    metric.label.reserve(labels.size());
    for (std::size_t i = 0; i < labels.size(); ++i) {
        metric.label.push_back({label_names_[i], std::string(labels[i])});
    }
    return metric;
}

void Family::add(LabelValues labels, double value) {
    prometheus::ClientMetric& metric = at(labels, 1);
    if (family_.type == prometheus::MetricType::Counter) {
        metric.counter.value += value;
    } else {
        metric.gauge.value += value;
    }
}

void Family::add_summary(LabelValues labels, std::uint64_t count, double sum) {
    prometheus::ClientMetric& metric = at(labels, 2);
    metric.summary.sample_count += count;
    metric.summary.sample_sum += sum;
}

void Family::add_histogram(LabelValues labels, std::span<const double> bounds, std::span<const std::uint64_t> counts,
                           double sum) {
    prometheus::ClientMetric& metric = at(labels, bounds.size() + 3);
    auto& histogram = metric.histogram;
    if (histogram.bucket.empty()) {
        for (double bound : bounds) {
            histogram.bucket.push_back({0, bound});
        }
    }
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        cumulative += counts[i];
        if (i < bounds.size()) {
            histogram.bucket[i].cumulative_count += cumulative;
        }
    }
    histogram.sample_count += cumulative;
    histogram.sample_sum += sum;
}

prometheus::MetricFamily Family::finish() && {
    std::sort(family_.metric.begin(), family_.metric.end(),
              [](const auto& a, const auto& b) { return a.label < b.label; });
    return std::move(family_);
}

}  // namespace sluice::telemetry
