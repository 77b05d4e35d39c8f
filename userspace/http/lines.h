// The lines of a head, or of trailers, gathered as they come: only the shape of lines, the first line and the limits
// are checked, in the order of the octets, so that it makes no difference how octets were split. Used by the parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/parser.h"
#include "http/strict.h"

namespace sluice::http {

class Lines {
  public:
    enum class First : std::uint8_t { kRequest, kAnswer, kField };  // what the first line is; kField: trailers

    // `limits` must outlive this.
    explicit Lines(const Limits& limits) : limits_(&limits) {}

    // Before the first octet; the text that take() fills must be empty.
    void begin(First first);
    // Takes octets behind `used`, up to the end of an empty line, into `text`, and adds to `used` what it took; true
    // when that line came. After false refusal() says whether lines are refused, or there are more to come.
    bool take(std::string& text, std::string_view octets, std::size_t& used);
    Refusal refusal() const { return refusal_; }
    // Offsets in the text.
    const FirstLine& first() const { return parts_; }

  private:
    // `text` is the first line, CRLF included.
    Refusal check_first(std::string_view text);
    bool in_first() const { return first_ != First::kField && count_ == 0; }

    const Limits* limits_;
    First first_ = First::kField;
    bool cr_ = false;  // the last octet was CR
    Refusal refusal_ = Refusal::kNone;
    std::size_t begin_ = 0;  // offset of the current line in the text
    std::size_t count_ = 0;  // complete lines
    FirstLine parts_;
};

}  // namespace sluice::http
