#include "telemetry/series.h"

#include <algorithm>
#include <utility>

#include "base/identity.h"
#include "telemetry/text.h"

namespace sluice::telemetry {

namespace {

constexpr std::string_view kOther = "other";
constexpr std::size_t kValueBytes = 24;  // suffix, `le` and number of a line, roughly

const char* type_name(Kind kind) {
    switch (kind) {
        case Kind::kCounter:
            return "counter";
        case Kind::kGauge:
            return "gauge";
        case Kind::kSummary:
            return "summary";
        case Kind::kHistogram:
            return "histogram";
    }
    return "untyped";
}

template <class Number>
void write_line(std::string& out, std::string_view name, std::string_view suffix, const std::string& labels,
                std::string_view bound, Number value) {
    out += name;
    out += suffix;
    if (!labels.empty() || !bound.empty()) {
        out += '{';
        out += labels;
        if (!bound.empty()) {
            out += labels.empty() ? "le=\"" : ",le=\"";
            out += bound;
            out += '"';
        }
        out += '}';
    }
    out += ' ';
    append_number(out, value);
    out += '\n';
}

}  // namespace

void SeriesBook::Room::add(const Room& more) {
    lines += more.lines;
    bytes += more.bytes;
}

void SeriesBook::Room::take(const Room& less) {
    lines -= less.lines;
    bytes -= less.bytes;
}

bool SeriesBook::fits(Kind kind, const Room& room) const {
    auto within = [&](const Room& used, std::size_t quarters) {
        return used.lines + room.lines <= limit_.lines * quarters / 4 &&
               used.bytes + room.bytes <= limit_.bytes * quarters / 4;
    };
    return within(used_, 4) && (kind != Kind::kHistogram || within(histograms_, 3));
}

bool SeriesBook::admit(std::uint64_t hash, Kind kind, std::size_t lines, std::size_t bytes) {
    auto [it, inserted] = series_.try_emplace(hash);
    Seen& seen = it->second;
    seen.scrape = scrape_;
    if (inserted) {
        const Room room{lines, bytes};
        if (fits(kind, room)) {
            seen.room = room;
            seen.histogram = kind == Kind::kHistogram;
            used_.add(room);
            if (seen.histogram) {
                histograms_.add(room);
            }
        } else {
            ++overflow_;
        }
    }
    return seen.room.lines != 0;
}

void SeriesBook::end_scrape() {
    for (auto it = series_.begin(); it != series_.end();) {
        if (it->second.scrape == scrape_) {
            ++it;
            continue;
        }
        used_.take(it->second.room);
        if (it->second.histogram) {
            histograms_.take(it->second.room);
        }
        it = series_.erase(it);
    }
}

Family::Family(SeriesBook& book, std::string name, std::string help, Kind kind,
               std::span<const std::string> label_names)
    : book_(book), name_(std::move(name)), help_(std::move(help)), kind_(kind) {
    for (const std::string& label : label_names) {
        heads_.push_back((heads_.empty() ? "" : "\",") + label + "=\"");
    }
}

std::uint64_t Family::hash_of(LabelValues labels) {
    scratch_ = name_;
    for (std::string_view label : labels) {
        scratch_ += '\xff';  // never part of UTF-8
        scratch_ += label;
    }
    return Identity::of(scratch_).lo;
}

std::string Family::text_of(LabelValues labels) const {
    std::string text;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        text += heads_[i];
        append_label_value(text, labels[i]);
    }
    if (!labels.empty()) {
        text += '"';
    }
    return text;
}

Family::Series& Family::at(LabelValues labels, std::size_t lines) {
    std::uint64_t hash = hash_of(labels);
    auto found = index_.find(hash);
    if (found != index_.end()) {
        return series_[found->second];
    }
    std::string text = text_of(labels);
    const std::size_t bytes = lines * (name_.size() + text.size() + kValueBytes);
    const bool other = std::ranges::all_of(labels, [](std::string_view label) { return label == kOther; });
    if (!other && !book_.admit(hash, kind_, lines, bytes)) {
        const std::vector<std::string_view> others(labels.size(), kOther);
        const std::uint64_t own = std::exchange(hash, hash_of(others));
        found = index_.find(hash);
        if (found != index_.end()) {
            index_.emplace(own, found->second);
            return series_[found->second];
        }
        index_.emplace(own, series_.size());
        text = text_of(others);
    }
    index_.emplace(hash, series_.size());
    return series_.emplace_back(Series{.labels = std::move(text)});
}

void Family::add(LabelValues labels, double value) {
    at(labels, 1).value += value;
}

void Family::add_summary(LabelValues labels, std::uint64_t count, double sum) {
    Series& series = at(labels, 2);
    series.count += count;
    series.value += sum;
}

void Family::add_histogram(LabelValues labels, std::span<const double> bounds, std::span<const __u64> counts,
                           double sum) {
    if (bounds_.empty()) {
        for (double bound : bounds) {
            append_number(bounds_.emplace_back(), bound);
        }
        bounds_.push_back("+Inf");
    }
    const std::size_t known = series_.size();
    Series& series = at(labels, counts.size() + 2);
    if (series_.size() != known) {
        series.first = counts_.size();
        counts_.resize(counts_.size() + counts.size());
    }
    for (std::size_t i = 0; i < counts.size(); ++i) {
        counts_[series.first + i] += counts[i];
        series.count += counts[i];
    }
    series.value += sum;
}

void Family::write_histogram(const Series& series, std::string& out) const {
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < bounds_.size(); ++i) {
        cumulative += counts_[series.first + i];
        write_line(out, name_, "_bucket", series.labels, bounds_[i], cumulative);
    }
}

void Family::write(std::string& out) && {
    if (series_.empty()) {
        return;
    }
    std::ranges::sort(series_, {}, &Series::labels);
    out += "# HELP " + name_ + ' ';
    append_help(out, help_);
    out += "\n# TYPE " + name_ + ' ' + type_name(kind_) + '\n';
    for (const Series& series : series_) {
        if (kind_ == Kind::kCounter || kind_ == Kind::kGauge) {
            write_line(out, name_, "", series.labels, "", series.value);
            continue;
        }
        if (kind_ == Kind::kHistogram) {
            write_histogram(series, out);
        }
        write_line(out, name_, "_sum", series.labels, "", series.value);
        write_line(out, name_, "_count", series.labels, "", series.count);
    }
}

}  // namespace sluice::telemetry
