// Columns of `sluice top`: what they hold, how wide they are, which fit a terminal, and how lines sort by them. Pure;
// all text is ASCII, so that a byte is a column on every terminal.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ctl/figures.h"

namespace sluice::ctl {

enum class ColumnId {
    kName,
    kRate,
    kSuccess,
    kP50,
    kP90,
    kP99,
    kSet,
    kConnShare,
    kRequestShare,
    kOpen,
    kOld,
    kOut,
    kEjections,
    kUnobserved,
    kConnects,
    kState,
};

struct Column {
    ColumnId id;
    const char* title;
    std::size_t width;
    int priority;  // the lowest goes first when the terminal is narrow
    const char* meaning;
};

// Those of services and versions, or of endpoints, in their order on the screen; the name is the first.
const std::vector<Column>& service_columns();
const std::vector<Column>& endpoint_columns();

struct Grid {
    std::vector<Column> columns;  // that fit; the name first, with the width that is left
    std::size_t width = 0;        // of a whole line, at most what was asked for
};

// `names`: the width of the longest name. The name gets at least 12 columns, or the whole line if there are fewer.
Grid fit(const std::vector<Column>& columns, std::size_t names, std::size_t width);

// Marks the column that lines are sorted by with a star.
std::string title_line(const Grid& grid, std::optional<ColumnId> sorted);
std::string text_line(const Grid& grid, const Figures& line);

// "-" where there is nothing.
std::string column_text(ColumnId column, const Figures& line);
// Text of at most `width` bytes, other bytes than printable ASCII replaced; what is cut ends with '~'.
std::string clipped(const std::string& text, std::size_t width);

// Whether `a` comes before `b`: the larger value first (names: in alphabetical order), what is not known last, equals
// by name. `reverse` turns the order round, but for what is not known.
bool sorts_before(ColumnId column, bool reverse, const Figures& a, const Figures& b);

}  // namespace sluice::ctl
