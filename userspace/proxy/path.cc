#include "proxy/path.h"

#include <array>
#include <cstdint>

namespace sluice::proxy {

namespace {

enum Octet : std::uint8_t {
    kPlain = 0,
    kUnreserved = 1,  // plain, and decoded when escaped
    kEscape = 2,      // not allowed in a path: escaped
    kSpecial = 3,     // '%', '\\', '#'
};

constexpr std::array<std::uint8_t, 256> kOctets = [] {
    std::array<std::uint8_t, 256> table{};
    for (int c = 0; c < 256; ++c) {
        const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (alnum || c == '-' || c == '.' || c == '_' || c == '~') {
            table[c] = kUnreserved;
        } else if (c <= ' ' || c >= 0x7f) {
            table[c] = kEscape;
        }
    }
    for (const char c : {'"', '<', '>', '?', '^', '`', '{', '|', '}'}) {
        table[static_cast<std::uint8_t>(c)] = kEscape;
    }
    for (const char c : {'%', '\\', '#'}) {
        table[static_cast<std::uint8_t>(c)] = kSpecial;
    }
    return table;
}();

int hex(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char low = static_cast<char>(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Where a '%' is that a digit at the end of `text` would make an escape; npos: there is none.
std::size_t open_escape(const std::string& text) {
    const std::size_t n = text.size();
    if (n >= 1 && text[n - 1] == '%') {
        return n - 1;
    }
    return n >= 2 && text[n - 2] == '%' && hex(text[n - 1]) >= 0 ? n - 2 : std::string::npos;
}

// What an escape at `at` becomes; moves `at` behind what was taken. False: NUL.
bool decode(std::string_view raw, std::size_t& at, std::string& out) {
    if (at + 2 >= raw.size() || hex(raw[at + 1]) < 0 || hex(raw[at + 2]) < 0) {
        out += raw[at++];
        return true;
    }
    const int octet = hex(raw[at + 1]) * 16 + hex(raw[at + 2]);
    if (octet == 0) {
        return false;
    }
    const char c = static_cast<char>(octet);
    if (kOctets[octet] == kUnreserved) {
        // What was no escape must not become one.
        const std::size_t open = hex(c) >= 0 ? open_escape(out) : std::string::npos;
        if (open != std::string::npos) {
            out.insert(open + 1, "25");
        }
        out += c;
    } else {
        out.append(raw.substr(at, 3));
    }
    at += 3;
    return true;
}

void escape(char c, std::string& out) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    const auto octet = static_cast<std::uint8_t>(c);
    out += '%';
    out += kDigits[octet >> 4];
    out += kDigits[octet & 15];
}

// One segment, up to a slash or the end. False: NUL.
bool segment(std::string_view raw, std::size_t& at, std::string& out) {
    while (at < raw.size() && raw[at] != '/' && raw[at] != '\\') {
        const char c = raw[at];
        if (c == '%') {
            if (!decode(raw, at, out)) {
                return false;
            }
            continue;
        }
        if (kOctets[static_cast<std::uint8_t>(c)] == kEscape) {
            escape(c, out);
        } else {
            out += c;
        }
        ++at;
    }
    return true;
}

// True when nothing of the path has to change.
bool is_normal(std::string_view raw) {
    char before = 0;
    for (const char c : raw) {
        if (kOctets[static_cast<std::uint8_t>(c)] >= kEscape || (c == '.' && before == '/')) {
            return false;
        }
        before = c;
    }
    return true;
}

}  // namespace

bool normalise_path(std::string_view raw, std::string& buffer, std::string_view& path) {
    if (raw.empty() || (raw.front() != '/' && raw.front() != '\\')) {
        path = raw;
        return raw == "*";
    }
    if (is_normal(raw)) {
        path = raw;
        return true;
    }
    raw = raw.substr(0, raw.find('#'));
    buffer.assign(1, '/');
    for (std::size_t at = 1;;) {
        const std::size_t start = buffer.size();  // behind the slash that the segment follows
        if (!segment(raw, at, buffer)) {
            return false;
        }
        const bool more = at < raw.size();
        ++at;
        const std::string_view last = std::string_view(buffer).substr(start);
        if (last == "." || last == "..") {
            const std::size_t parent = last == ".." && start > 1 ? buffer.rfind('/', start - 2) + 1 : start;
            buffer.resize(parent);
        } else if (more) {
            buffer += '/';
        }
        if (!more) {
            break;
        }
    }
    path = buffer;
    return true;
}

bool query_parameter(std::string_view query, std::string_view name, std::string_view& value) {
    for (std::size_t at = 0; at < query.size();) {
        const std::size_t end = std::min(query.find('&', at), query.size());
        const std::string_view pair = query.substr(at, end - at);
        if (pair.starts_with(name) && (pair.size() == name.size() || pair[name.size()] == '=')) {
            value = pair.substr(std::min(name.size() + 1, pair.size()));
            return true;
        }
        at = end + 1;
    }
    return false;
}

}  // namespace sluice::proxy
