// Pieces of Prometheus' text format 0.0.4.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::telemetry {

// A label's value: backslash, quote and newline are escaped.
void append_label_value(std::string& out, std::string_view value);
// A help text: backslash and newline are escaped.
void append_help(std::string& out, std::string_view help);
// The shortest text that reads back as `value`, as Go's %v writes it: without exponent from 1e-4 to 1e21.
void append_number(std::string& out, double value);
void append_number(std::string& out, std::uint64_t value);

}  // namespace sluice::telemetry
