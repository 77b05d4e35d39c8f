#include "config/split.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace sluice::config {

namespace {

std::string_view line_at(std::string_view bytes, std::size_t begin, std::size_t end) {
    const std::size_t newline = bytes.find('\n', begin);
    return bytes.substr(begin, (newline == std::string_view::npos || newline >= end ? end : newline + 1) - begin);
}

bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool separator(std::string_view line) {
    return line.size() >= 3 && (line.starts_with("---") || line.starts_with("...")) &&
           (line.size() == 3 || blank(line[3]));
}

// Column of what follows a separator on its line, or 0.
int text_behind(std::string_view line) {
    const auto text = std::ranges::find_if_not(line.begin() + 3, line.end(), blank);
    return text == line.end() || *text == '#' ? 0 : static_cast<int>(text - line.begin()) + 1;
}

}  // namespace

std::optional<Section> Sections::next() {
    if (done_) {
        return std::nullopt;
    }
    Section section{at_, bytes_.size(), line_, text_column_};
    const char* const data = bytes_.data();
    std::size_t begin = at_;
    while (begin < bytes_.size()) {
        const std::string_view rest = bytes_.substr(begin, 4);
        const bool candidate = rest.size() >= 3 && (rest[0] == '-' || rest[0] == '.') && separator(rest);
        const void* newline = std::memchr(data + begin, '\n', bytes_.size() - begin);
        const std::size_t next_line =
            newline == nullptr ? bytes_.size() : static_cast<std::size_t>(static_cast<const char*>(newline) - data) + 1;
        ++line_;
        if (candidate) {
            section.end = begin;
            text_column_ = text_behind(bytes_.substr(begin, next_line - begin));
            at_ = next_line;
            return section;
        }
        begin = next_line;
    }
    done_ = true;
    return section;
}

Section trim(std::string_view bytes, Section section) {
    while (section.begin < section.end) {
        const std::string_view line = line_at(bytes, section.begin, section.end);
        const auto text = std::ranges::find_if_not(line, blank);
        if (text != line.end() && *text != '#') {
            break;
        }
        section.begin += line.size();
        ++section.line;
    }
    // Behind the content only comments at the line's start are sure to be comments: others may be in a block of text.
    while (section.begin < section.end) {
        const std::size_t last = bytes.substr(0, section.end - 1).rfind('\n');
        const std::size_t begin = last == std::string_view::npos ? section.begin : std::max(last + 1, section.begin);
        const std::string_view line = bytes.substr(begin, section.end - begin);
        if (line[0] != '#' && !std::ranges::all_of(line, blank)) {
            break;
        }
        section.end = begin;
    }
    return section;
}

std::optional<EncodingProblem> check_encoding(std::string_view bytes, int line) {
    constexpr char kHex[] = "0123456789abcdef";
    std::size_t line_begin = 0;
    const auto problem = [&](std::size_t at, std::string message) {
        std::size_t characters = 0;
        for (std::size_t i = line_begin; i < at; ++i) {
            characters += (static_cast<unsigned char>(bytes[i]) & 0xc0) == 0x80 ? 0 : 1;
        }
        return EncodingProblem{{line, static_cast<int>(characters) + 1}, std::move(message)};
    };
    const auto byte_text = [&](unsigned char byte) { return std::string("0x") + kHex[byte >> 4] + kHex[byte & 15]; };
    for (std::size_t i = 0; i < bytes.size();) {
        const auto first = static_cast<unsigned char>(bytes[i]);
        if (first >= 0x20 && first < 0x7f) {
            ++i;
            continue;
        }
        if (first == '\n') {
            ++line;
            line_begin = ++i;
            continue;
        }
        if (first == '\t' || (first == '\r' && i + 1 < bytes.size() && bytes[i + 1] == '\n')) {
            ++i;
            continue;
        }
        if (first == '\r') {
            return problem(i, "found a carriage return without a line feed; lines end in LF or CR LF");
        }
        if (first < 0x80) {
            return problem(i, first == 0
                                  ? "found a NUL byte; a rule file is UTF-8 text"
                                  : "found the control character " + byte_text(first) + "; a rule file is UTF-8 text");
        }
        const int more = first >= 0xc2 && first < 0xe0   ? 1
                         : first >= 0xe0 && first < 0xf0 ? 2
                         : first >= 0xf0 && first < 0xf5 ? 3
                                                         : 0;
        std::uint32_t code = more == 1 ? first & 0x1f : more == 2 ? first & 0x0f : first & 0x07;
        bool good = more > 0 && bytes.size() - i > static_cast<std::size_t>(more);
        for (int j = 1; good && j <= more; ++j) {
            const auto byte = static_cast<unsigned char>(bytes[i + static_cast<std::size_t>(j)]);
            good = (byte & 0xc0) == 0x80;
            code = (code << 6) | (byte & 0x3f);
        }
        if (!good || (more == 2 && code < 0x800) || (more == 3 && code < 0x10000) || code > 0x10ffff ||
            (code >= 0xd800 && code < 0xe000)) {
            return problem(i, "found the byte " + byte_text(first) + ", which is not UTF-8; a rule file is UTF-8 text");
        }
        if ((code < 0xa0) || code == 0x2028 || code == 0x2029 || code == 0xfeff || code == 0xfffe || code == 0xffff) {
            return problem(i,
                           "found a control character or byte order mark inside the text; a rule file is UTF-8 text");
        }
        i += static_cast<std::size_t>(more) + 1;
    }
    return std::nullopt;
}

}  // namespace sluice::config
