#include "telemetry/text.h"

#include <charconv>
#include <cmath>

namespace sluice::telemetry {

namespace {

void append_escaped(std::string& out, std::string_view text, std::string_view special) {
    while (true) {
        std::size_t at = text.find_first_of(special);
        out += text.substr(0, at);
        if (at == std::string_view::npos) {
            return;
        }
        out += '\\';
        out += text[at] == '\n' ? 'n' : text[at];
        text.remove_prefix(at + 1);
    }
}

template <class... Number>
void append_chars(std::string& out, Number... value) {
    char digits[64];  // the longest double takes 26
    auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value...);
    out.append(digits, end);
}

}  // namespace

void append_label_value(std::string& out, std::string_view value) {
    append_escaped(out, value, "\\\"\n");
}

void append_help(std::string& out, std::string_view help) {
    append_escaped(out, help, "\\\n");
}

void append_number(std::string& out, double value) {
    constexpr double kWhole = 9007199254740992.0;  // 2^53
    if (std::isnan(value)) {
        out += "NaN";
    } else if (std::isinf(value)) {
        out += value > 0 ? "+Inf" : "-Inf";
    } else if (std::abs(value) < kWhole && value == std::trunc(value)) {
        append_chars(out, static_cast<std::int64_t>(value));
    } else if (std::abs(value) >= 1e-4 && std::abs(value) < 1e21) {
        append_chars(out, value, std::chars_format::fixed);
    } else {
        append_chars(out, value, std::chars_format::scientific);
    }
}

void append_number(std::string& out, std::uint64_t value) {
    append_chars(out, value);
}

}  // namespace sluice::telemetry
