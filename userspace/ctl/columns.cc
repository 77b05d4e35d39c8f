#include "ctl/columns.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace sluice::ctl {

namespace {

constexpr std::size_t kNameMin = 12;

// At most six wide: 0.52 12.3 123 1234 12.3k 1.23M.
std::string rate_text(double value) {
    if (value >= 1e6) {
        return fmt::format("{:.3g}M", value / 1e6);
    }
    if (value >= 99'999.5) {
        return fmt::format("{:.0f}k", value / 1e3);
    }
    if (value >= 9'999.5) {
        return fmt::format("{:.1f}k", value / 1e3);
    }
    return value >= 99.95 ? fmt::format("{:.0f}", value) : fmt::format("{:.1f}", value);
}

// At most six wide: 0.52ms 12.3ms 123ms 1.23s 123s 3600s.
std::string time_text(double ms) {
    if (ms >= 999.5) {
        return ms >= 99'950 ? fmt::format("{:.0f}s", ms / 1e3) : fmt::format("{:.1f}s", ms / 1e3);
    }
    if (ms >= 99.95) {
        return fmt::format("{:.0f}ms", ms);
    }
    return ms >= 9.995 ? fmt::format("{:.1f}ms", ms) : fmt::format("{:.2f}ms", ms);
}

// At most five wide.
std::string share_text(double share) {
    return share >= 0.9995 ? "100%" : fmt::format("{:.1f}%", share * 100);
}

// At most six wide; less than all is never shown as 100%.
std::string success_text(double success) {
    return success >= 1 ? "100%" : fmt::format("{:.2f}%", std::floor(success * 10'000) / 100);
}

std::string count_text(std::uint64_t value) {
    return value < 100'000 ? std::to_string(value) : rate_text(static_cast<double>(value));
}

template <typename T, typename Text>
std::string or_dash(const std::optional<T>& value, Text text) {
    return value ? text(*value) : "-";
}

std::optional<double> sort_value(ColumnId column, const Figures& line) {
    const auto of = [](const std::optional<std::uint64_t>& value) {
        return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
    };
    switch (column) {
        case ColumnId::kRate:
            return line.rate;
        case ColumnId::kSuccess:
            return line.success;
        case ColumnId::kP50:
            return line.p50;
        case ColumnId::kP90:
            return line.p90;
        case ColumnId::kP99:
            return line.p99;
        case ColumnId::kSet:
            return line.set_share;
        case ColumnId::kConnShare:
            return line.conn_share;
        case ColumnId::kRequestShare:
            return line.request_share;
        case ColumnId::kOpen:
            return of(line.open);
        case ColumnId::kOld:
            return of(line.old);
        case ColumnId::kOut:
            return of(line.ejected);
        case ColumnId::kEjections:
            return of(line.ejections);
        case ColumnId::kUnobserved:
            return of(line.unobserved);
        case ColumnId::kConnects:
            return line.connects;
        case ColumnId::kName:
        case ColumnId::kState:
            break;
    }
    return std::nullopt;
}

std::string padded(const std::string& text, std::size_t width, bool left) {
    const std::string cut = clipped(text, width);
    const std::string pad(width - cut.size(), ' ');
    return left ? cut + pad : pad + cut;
}

// What a name may take before a column of this priority is shown.
std::size_t name_before(int priority) {
    return priority >= 70 ? kNameMin : priority >= 50 ? 24 : 48;
}

bool is_text(ColumnId column) {
    return column == ColumnId::kName || column == ColumnId::kState;
}

}  // namespace

const std::vector<Column>& service_columns() {
    static const std::vector<Column> kColumns{
        {ColumnId::kName, "SERVICE", 0, 100, "service, and below it the versions that its rule names"},
        {ColumnId::kSet, "SET", 5, 80, "share that the weights give"},
        {ColumnId::kConnShare, "CONN", 5, 40, "share of connections since those weights are in force"},
        {ColumnId::kRequestShare, "REQ", 5, 75, "share of requests in this interval"},
        {ColumnId::kRate, "REQ/S", 6, 95, "requests a second"},
        {ColumnId::kSuccess, "OK", 6, 90, "requests that did not fail (5xx, no whole answer, no connection)"},
        {ColumnId::kP50, "P50", 6, 55, "latency of half of the requests, to the last byte"},
        {ColumnId::kP90, "P90", 6, 45, "latency of 90% of them"},
        {ColumnId::kP99, "P99", 6, 85, "latency of 99% of them"},
        {ColumnId::kOut, "OUT", 6, 70, "endpoints ejected now, of all"},
        {ColumnId::kEjections, "EJECT", 6, 25, "ejections so far"},
        {ColumnId::kOpen, "OPEN", 5, 60, "connections open now"},
        {ColumnId::kOld, "OLD", 5, 50, "of these: placed by weights that are no longer in force"},
        {ColumnId::kUnobserved, "UNOBS", 6, 30, "connections that could not be watched, so far"},
        {ColumnId::kConnects, "CONN/S", 7, 20, "new connections a second"},
    };
    return kColumns;
}

const std::vector<Column>& endpoint_columns() {
    static const std::vector<Column> kColumns{
        {ColumnId::kName, "ENDPOINT", 0, 100, "address and port"},
        {ColumnId::kState, "STATE", 12, 95, "in, draining, or ejected and for how long yet"},
        {ColumnId::kConnects, "CONN/S", 7, 90, "new connections a second"},
        {ColumnId::kConnShare, "CONN", 5, 80, "share of the version's connections"},
        {ColumnId::kOpen, "OPEN", 5, 85, "connections open now"},
        {ColumnId::kEjections, "EJECT", 6, 70, "ejections so far"},
    };
    return kColumns;
}

Grid fit(const std::vector<Column>& columns, std::size_t names, std::size_t width) {
    const std::size_t name_min = std::min(width, std::min(std::max(names, std::size_t{8}), kNameMin));
    std::vector<Column> wanted(columns.begin() + 1, columns.end());
    std::ranges::sort(wanted, [](const Column& a, const Column& b) { return a.priority > b.priority; });
    std::size_t used = 0;
    int lowest = 101;
    for (const Column& column : wanted) {
        const std::size_t name = std::max(name_min, std::min(names, name_before(column.priority)));
        if (name + used + 1 + column.width > width) {
            break;
        }
        used += 1 + column.width;
        lowest = column.priority;
    }
    Grid grid;
    for (const Column& column : columns) {
        if (column.id == ColumnId::kName || column.priority >= lowest) {
            grid.columns.push_back(column);
        }
    }
    grid.columns.front().width = std::min(std::max(names, name_min), width - used);
    grid.width = used + grid.columns.front().width;
    return grid;
}

std::string clipped(const std::string& text, std::size_t width) {
    std::string out = text.substr(0, width);
    for (char& c : out) {
        c = c < 0x20 || c > 0x7e ? '?' : c;
    }
    if (text.size() > width && width > 0) {
        out.back() = '~';
    }
    return out;
}

std::string column_text(ColumnId column, const Figures& line) {
    switch (column) {
        case ColumnId::kName:
            return std::string(line.depth == 1 ? 2 : 0, ' ') + (line.name.empty() ? "(all)" : line.name);
        case ColumnId::kState:
            return line.state.empty() ? "-" : line.state;
        case ColumnId::kRate:
            return or_dash(line.rate, rate_text);
        case ColumnId::kSuccess:
            return or_dash(line.success, success_text);
        case ColumnId::kP50:
            return or_dash(line.p50, time_text);
        case ColumnId::kP90:
            return or_dash(line.p90, time_text);
        case ColumnId::kP99:
            return or_dash(line.p99, time_text);
        case ColumnId::kSet:
            return or_dash(line.set_share, share_text);
        case ColumnId::kConnShare:
            return or_dash(line.conn_share, share_text);
        case ColumnId::kRequestShare:
            return or_dash(line.request_share, share_text);
        case ColumnId::kOpen:
            return or_dash(line.open, count_text);
        case ColumnId::kOld:
            return or_dash(line.old, count_text);
        case ColumnId::kOut:
            return line.endpoints ? count_text(line.ejected.value_or(0)) + "/" + count_text(*line.endpoints) : "-";
        case ColumnId::kEjections:
            return or_dash(line.ejections, count_text);
        case ColumnId::kUnobserved:
            return or_dash(line.unobserved, count_text);
        case ColumnId::kConnects:
            return or_dash(line.connects, rate_text);
    }
    return "-";
}

std::string title_line(const Grid& grid, std::optional<ColumnId> sorted) {
    std::string out;
    for (const Column& column : grid.columns) {
        std::string title = column.title;
        if (column.id == sorted && title.size() < column.width) {
            title = is_text(column.id) ? title + "*" : "*" + title;
        }
        out += (out.empty() ? "" : " ") + padded(title, column.width, is_text(column.id));
    }
    return out;
}

std::string text_line(const Grid& grid, const Figures& line) {
    std::string out;
    for (const Column& column : grid.columns) {
        out += (out.empty() ? "" : " ") + padded(column_text(column.id, line), column.width, is_text(column.id));
    }
    return out;
}

bool sorts_before(ColumnId column, bool reverse, const Figures& a, const Figures& b) {
    if (is_text(column)) {
        const std::string& left = column == ColumnId::kState ? a.state : a.name;
        const std::string& right = column == ColumnId::kState ? b.state : b.name;
        if (left != right) {
            return reverse ? right < left : left < right;
        }
        return a.name < b.name;
    }
    const std::optional<double> left = sort_value(column, a), right = sort_value(column, b);
    if (left.has_value() != right.has_value()) {
        return left.has_value();
    }
    if (left && *left != *right) {
        return reverse ? *left < *right : *left > *right;
    }
    return a.name < b.name;
}

}  // namespace sluice::ctl
