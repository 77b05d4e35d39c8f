#include "config/scalar.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace sluice::config {

namespace {

bool digit(char c) {
    return c >= '0' && c <= '9';
}
bool all_digits(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, digit);
}

template <std::size_t N>
bool among(std::string_view text, const std::array<std::string_view, N>& words) {
    return std::ranges::find(words, text) != words.end();
}

// 0x1f, 0o17, 0b1, each with _ between digits.
bool prefixed_number(std::string_view text) {
    if (text.size() < 3 || text[0] != '0') {
        return false;
    }
    const char base = text[1];
    return std::ranges::all_of(text.substr(2), [&](char c) {
        if (c == '_') {
            return true;
        }
        switch (base) {
            case 'x':
                return std::isxdigit(static_cast<unsigned char>(c)) != 0;
            case 'o':
                return c >= '0' && c <= '7';
            case 'b':
                return c == '0' || c == '1';
            default:
                return false;
        }
    });
}

// [digits][.digits][e[sign]digits] with at least one digit in front of the exponent; _ between digits.
bool decimal_number(std::string_view text) {
    std::size_t at = 0;
    std::size_t digits = 0;
    const auto run = [&] {
        for (; at < text.size() && (digit(text[at]) || (text[at] == '_' && digits > 0)); ++at) {
            digits += digit(text[at]) ? 1 : 0;
        }
    };
    run();
    if (at < text.size() && text[at] == '.') {
        ++at;
        run();
    }
    if (digits == 0) {
        return false;
    }
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
        ++at;
        if (at < text.size() && (text[at] == '+' || text[at] == '-')) {
            ++at;
        }
        return all_digits(text.substr(at));
    }
    return at == text.size();
}

}  // namespace

Scalar classify(std::string_view plain) {
    static constexpr std::array<std::string_view, 5> kNulls{"", "~", "null", "Null", "NULL"};
    static constexpr std::array<std::string_view, 6> kBools{"true", "True", "TRUE", "false", "False", "FALSE"};
    static constexpr std::array<std::string_view, 16> kWords{"y", "Y", "yes", "Yes", "YES", "on",  "On",  "ON",
                                                             "n", "N", "no",  "No",  "NO",  "off", "Off", "OFF"};
    static constexpr std::array<std::string_view, 6> kSpecial{".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    if (plain.size() <= 5) {
        if (among(plain, kNulls)) {
            return Scalar::kNull;
        }
        if (among(plain, kBools)) {
            return Scalar::kBool;
        }
        if (among(plain, kWords)) {
            return Scalar::kBoolWord;
        }
    }
    const std::string_view body = plain[0] == '-' || plain[0] == '+' ? plain.substr(1) : plain;
    if (body.empty() || !(digit(body[0]) || body[0] == '.')) {
        return Scalar::kText;
    }
    if (all_digits(body)) {
        return plain[0] != '+' && (body.size() == 1 || body[0] != '0') ? Scalar::kInteger : Scalar::kOtherNumber;
    }
    const bool number = prefixed_number(body) || decimal_number(body) || among(body, kSpecial);
    return number ? Scalar::kOtherNumber : Scalar::kText;
}

std::expected<std::int64_t, std::string> parse_integer(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size()) {
        return std::unexpected("not a 64-bit integer");
    }
    return value;
}

std::expected<std::chrono::nanoseconds, std::string> parse_duration(std::string_view text, bool zero_allowed) {
    struct Unit {
        std::string_view name;
        std::int64_t nanoseconds;
    };
    static constexpr std::array<Unit, 8> kUnits{{{"ns", 1},
                                                 {"us", 1'000},
                                                 {"µs", 1'000},
                                                 {"μs", 1'000},
                                                 {"ms", 1'000'000},
                                                 {"s", 1'000'000'000},
                                                 {"m", 60'000'000'000},
                                                 {"h", 3'600'000'000'000}}};
    constexpr std::int64_t kMillisecond = 1'000'000;
    const auto bad = [](const char* why) { return std::unexpected(std::string(why)); };
    if (!text.empty() && text[0] == '+') {
        text.remove_prefix(1);
    }
    if (!text.empty() && text[0] == '-') {
        return bad("a duration may not be negative");
    }
    if (text.empty()) {
        return bad("a duration is numbers with units, such as 1.5s, 300ms or 1h2m3s");
    }
    __int128 total = 0;
    while (!text.empty() && text != "0") {
        // Whole part and fraction exactly, as integers: 18 digits are more than any duration here needs.
        std::size_t at = 0;
        __int128 value = 0;
        __int128 scale = 1;
        std::size_t digits = 0;
        bool fraction = false;
        for (; at < text.size() && (digit(text[at]) || (text[at] == '.' && !fraction)); ++at) {
            if (text[at] == '.') {
                fraction = true;
                continue;
            }
            if (++digits > 18) {
                return bad("a duration of so many digits is out of range");
            }
            value = value * 10 + (text[at] - '0');
            scale *= fraction ? 10 : 1;
        }
        std::size_t unit_end = at;
        while (unit_end < text.size() && text[unit_end] != '.' && !digit(text[unit_end])) {
            ++unit_end;
        }
        const std::string_view name = text.substr(at, unit_end - at);
        const auto unit = std::ranges::find(kUnits, name, &Unit::name);
        if (digits == 0) {
            return bad("a duration is numbers with units, such as 1.5s, 300ms or 1h2m3s");
        }
        if (unit == kUnits.end()) {
            return bad(name.empty() ? "a duration needs a unit after every number: h, m, s or ms"
                                    : "the units of a duration are h, m, s and ms");
        }
        if (value * unit->nanoseconds % scale != 0) {
            return bad("a duration is a multiple of 1ms");
        }
        total += value * unit->nanoseconds / scale;
        text.remove_prefix(unit_end);
    }
    if (total > std::chrono::nanoseconds(std::chrono::hours(24 * 36500)).count()) {
        return bad("a duration is at most 876000h (100 years)");
    }
    const auto result = static_cast<std::int64_t>(total);
    if (result == 0 && zero_allowed) {
        return std::chrono::nanoseconds(0);
    }
    if (result < kMillisecond) {
        return bad("a duration is at least 1ms");
    }
    if (result % kMillisecond != 0) {
        return bad("a duration is a multiple of 1ms");
    }
    return std::chrono::nanoseconds(result);
}

}  // namespace sluice::config
