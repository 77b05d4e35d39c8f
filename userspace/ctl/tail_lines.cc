#include "ctl/tail_lines.h"

#include <algorithm>

#include <fmt/format.h>

namespace sluice::ctl {

namespace {

constexpr const char* kRed = "\033[31m";
constexpr const char* kYellow = "\033[33m";
constexpr const char* kBold = "\033[1m";
constexpr const char* kPlain = "\033[0m";
constexpr std::size_t kFirstNumber = 6, kLastNumber = 10;  // columns that are aligned to the right

std::string text(const Json& sample, const char* name) {
    return cell(sample.value(name, Json()), name);
}

// 04:05:06.789 of 2026-11-21T04:05:06.789Z.
std::string clock_text(const std::string& time) {
    constexpr std::size_t kDate = 11;
    return time.size() > kDate + 1 ? time.substr(kDate, time.size() - kDate - 1) : time;
}

std::string milliseconds(const Json& sample, const char* name) {
    const Json value = sample.value(name, Json());
    return value.is_number() ? fmt::format("{:.3f}ms", value.get<double>()) : "-";
}

bool failed(const Json& sample) {
    const Json status = sample.value("status", Json());
    return !sample.value("reason", Json()).is_null() || (status.is_number() && status.get<int>() >= 500);
}

}  // namespace

std::string TailLines::joined(const Cells& cells) {
    std::string out;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        widths_[i] = std::max(widths_[i], cells[i].size());
        const std::string pad(widths_[i] - cells[i].size(), ' ');
        const bool right = i >= kFirstNumber && i <= kLastNumber;
        out += (i == 0 ? "" : "  ") + (right ? pad + cells[i] : cells[i] + pad);
    }
    out.resize(out.find_last_not_of(' ') + 1);
    return out;
}

std::string TailLines::title() {
    const std::string line = joined({"TIME        ", "CLIENT", "SERVICE", "SUBSET", "ENDPOINT", "METHOD", "STATUS",
                                     "LATENCY", "FIRST BYTE", "BYTES OUT/IN", "TRIES", "ROUTE", "FLAG", "REASON"});
    return (colour_ ? kBold + line + kPlain : line) + "\n";
}

std::string TailLines::line(const Json& sample) {
    const std::string status = text(sample, "status");
    const std::string line = joined(
        {clock_text(text(sample, "time")), text(sample, "client"), text(sample, "host") + ":" + text(sample, "port"),
         text(sample, "subset"), text(sample, "endpoint"), text(sample, "method"), status == "0" ? "-" : status,
         milliseconds(sample, "duration_ms"), milliseconds(sample, "first_byte_ms"),
         text(sample, "request_bytes") + "/" + text(sample, "response_bytes"), text(sample, "attempts"),
         text(sample, "route"), text(sample, "flag"), text(sample, "reason")});
    if (!colour_) {
        return line + "\n";
    }
    const bool refused = status.starts_with("4");
    return (failed(sample) ? kRed : refused ? kYellow : "") + line + (failed(sample) || refused ? kPlain : "") + "\n";
}

}  // namespace sluice::ctl
