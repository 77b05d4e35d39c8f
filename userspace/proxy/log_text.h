// Pieces of log lines. Octets of peers cannot leave their field.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::proxy {

inline constexpr char kHexDigits[] = "0123456789abcdef";

void append_number(std::string& out, std::uint64_t value);

// The text of a JSON string, without its quotes. Octets that are not ASCII are taken for Latin-1.
void append_json_text(std::string& out, std::string_view value);
// The same, but text that is UTF-8 stays so.
void append_json_utf8(std::string& out, std::string_view value);

// Times as 2026-11-21T04:05:06.789Z; the date is worked out once a second.
class TimeText {
  public:
    // Good until the next call.
    std::string_view text(std::int64_t unix_ns);

  private:
    std::int64_t second_ = -1;  // that text_ says
    std::array<char, 32> text_{};
};

}  // namespace sluice::proxy
