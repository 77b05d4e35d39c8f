#include "proxy/log_text.h"

#include <charconv>
#include <ctime>

namespace sluice::proxy {

namespace {

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    for (std::size_t i = 0; i < text.size();) {
        const unsigned lead = at(i);
        const std::size_t more = lead < 0x80   ? 0
                                 : lead < 0xc2 ? 4
                                 : lead < 0xe0 ? 1
                                 : lead < 0xf0 ? 2
                                 : lead < 0xf5 ? 3
                                               : 4;
        if (more == 4 || text.size() - i <= more) {
            return false;
        }
        for (std::size_t j = 1; j <= more; ++j) {
            if ((at(i + j) & 0xc0) != 0x80) {
                return false;
            }
        }
        const unsigned second = more > 1 ? at(i + 1) : 0x80;
        if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
            (lead == 0xf4 && second > 0x8f)) {
            return false;
        }
        i += more + 1;
    }
    return true;
}

void append_escaped(std::string& out, std::string_view value, unsigned char first_escaped) {
    for (const char c : value) {
        const auto octet = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out.append({'\\', c});
        } else if (octet < 0x20 || octet == 0x7f || octet >= first_escaped) {
            out.append({'\\', 'u', '0', '0', kHexDigits[octet >> 4], kHexDigits[octet & 15]});
        } else {
            out += c;
        }
    }
}

}  // namespace

void append_number(std::string& out, std::uint64_t value) {
    char text[24];
    out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void append_json_text(std::string& out, std::string_view value) {
    append_escaped(out, value, 0x7f);
}

void append_json_utf8(std::string& out, std::string_view value) {
    append_escaped(out, value, is_utf8(value) ? 0xff : 0x7f);  // no octet of UTF-8 is 0xff
}

std::string_view TimeText::text(std::int64_t unix_ns) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    constexpr std::size_t kDate = 19, kAll = 24;
    const std::int64_t second = unix_ns / kSecond;
    if (second != second_) {
        second_ = second;
        const std::time_t time = second;
        std::tm parts{};
        ::gmtime_r(&time, &parts);
        std::strftime(text_.data(), text_.size(), "%Y-%m-%dT%H:%M:%S.000Z", &parts);
    }
    const auto ms = static_cast<unsigned>(unix_ns % kSecond / 1'000'000);
    text_[kDate + 1] = static_cast<char>('0' + ms / 100);
    text_[kDate + 2] = static_cast<char>('0' + ms / 10 % 10);
    text_[kDate + 3] = static_cast<char>('0' + ms % 10);
    return {text_.data(), kAll};
}

}  // namespace sluice::proxy
