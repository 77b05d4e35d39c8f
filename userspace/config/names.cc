#include "config/names.h"

#include <algorithm>
#include <vector>

#include "base/ip.h"
#include "config/scalar.h"

namespace sluice::config {

namespace {

bool lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool digit(char c) {
    return c >= '0' && c <= '9';
}
bool alnum(char c) {
    return lower(c) || upper(c) || digit(c);
}
char to_lower(char c) {
    return upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}

bool dns_label(std::string_view label, bool allow_upper) {
    const auto outer = [&](char c) { return lower(c) || digit(c) || (allow_upper && upper(c)); };
    return !label.empty() && label.size() <= 63 && outer(label.front()) && outer(label.back()) &&
           std::ranges::all_of(label, [&](char c) { return outer(c) || c == '-'; });
}

// "*", "*-name" or a plain label.
bool wildcard_label(std::string_view label) {
    if (label == "*") {
        return true;
    }
    return dns_label(label.starts_with("*-") ? label.substr(2) : label, true);
}

std::string check_dns_name(std::string_view host, bool wildcard) {
    constexpr const char* kWhat =
        "a host is a DNS name of at most 255 characters: labels of letters, digits and '-' joined by '.'";
    if (host.empty() || host.size() > 255) {
        return kWhat;
    }
    if (IpAddress::parse(host)) {
        return "a host is a DNS name, not an IP address";
    }
    if (host.ends_with('.')) {
        host.remove_suffix(1);
    }
    bool first = true;
    std::string_view label;
    for (std::size_t begin = 0; begin <= host.size();) {
        const std::size_t dot = std::min(host.find('.', begin), host.size());
        label = host.substr(begin, dot - begin);
        if (!(first && wildcard ? wildcard_label(label) : dns_label(label, true))) {
            return label.find('*') != std::string_view::npos && !wildcard
                       ? "a wildcard is not allowed here"
                       : (label.find('*') != std::string_view::npos
                              ? "a wildcard is the whole first label, as in *.example.com"
                              : kWhat);
        }
        first = false;
        begin = dot + 1;
    }
    if (host.find('.') != std::string_view::npos && std::ranges::all_of(label, digit)) {
        return "the last label of a host may not be all digits";
    }
    return {};
}

// Name part of label keys, and label values: alphanumeric ends, '-', '_', '.' inside.
bool label_word(std::string_view text) {
    return !text.empty() && text.size() <= 63 && alnum(text.front()) && alnum(text.back()) &&
           std::ranges::all_of(text, [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

// Optimal string alignment distance, letter case ignored.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        last[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = to_lower(a[i - 1]) == to_lower(b[j - 1]);
            now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
            if (i > 1 && j > 1 && to_lower(a[i - 1]) == to_lower(b[j - 2]) &&
                to_lower(a[i - 2]) == to_lower(b[j - 1])) {
                now[j] = std::min(now[j], before[j - 2] + 1);
            }
        }
        std::swap(before, last);
        std::swap(last, now);
    }
    return last[b.size()];
}

}  // namespace

std::string check_label(std::string_view name) {
    return dns_label(name, false)
               ? ""
               : "a name here is a DNS label: at most 63 of a-z, 0-9 and '-', with a letter or digit "
                 "at both ends";
}

std::string check_subdomain(std::string_view name) {
    bool good = !name.empty() && name.size() <= 253;
    for (std::size_t begin = 0; good && begin <= name.size();) {
        const std::size_t dot = std::min(name.find('.', begin), name.size());
        good = dns_label(name.substr(begin, dot - begin), false);
        begin = dot + 1;
    }
    return good ? ""
                : "a name is at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends of every part";
}

std::string check_host(std::string_view host) {
    return check_dns_name(host, false);
}

std::string check_wildcard_host(std::string_view host, bool lone_star) {
    if (host == "*") {
        return lone_star ? "" : "a lone \"*\" is not allowed here: name the hosts";
    }
    return check_dns_name(host, true);
}

std::string check_label_key(std::string_view key) {
    constexpr const char* kWhat =
        "a key is a name of at most 63 letters, digits, '-', '_' and '.', with an optional DNS prefix and '/'";
    const std::size_t slash = key.find('/');
    if (slash != std::string_view::npos) {
        if (!check_subdomain(key.substr(0, slash)).empty()) {
            return kWhat;
        }
        key = key.substr(slash + 1);
    }
    return label_word(key) ? "" : kWhat;
}

std::string check_label_value(std::string_view value) {
    return value.empty() || label_word(value)
               ? ""
               : "a label value is at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends";
}

std::string check_http_url(std::string_view url) {
    constexpr const char* kWhat =
        "a URL is http:// or https://, a host or an address ([…] around one with colons), perhaps :PORT and /PATH";
    const std::string_view rest = url.substr(url.starts_with("https://")  ? 8
                                             : url.starts_with("http://") ? 7
                                                                          : url.size());
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    const bool printable = std::ranges::all_of(url, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
    if (authority.empty() || !printable || url.find_first_of("#\"<>\\^`{|}") != std::string_view::npos) {
        return kWhat;
    }
    if (authority.find('@') != std::string_view::npos) {
        return "a user and a password do not belong in a rule, which many can read";
    }
    std::string_view host = authority, port;
    if (const std::size_t close = authority.find(']'); authority.front() == '[' && close != std::string_view::npos) {
        host = authority.substr(1, close - 1);
        port = authority.substr(close + 1);
        const auto address = IpAddress::parse(host);
        if (!address || address->is_v4()) {
            return kWhat;
        }
    } else {
        host = authority.substr(0, authority.find(':'));
        port = authority.substr(host.size());
        if (!IpAddress::parse(host) && !check_host(host).empty()) {
            return kWhat;
        }
    }
    if (!port.empty()) {
        const auto number = parse_integer(port.substr(1));
        return port[0] == ':' && std::ranges::all_of(port.substr(1), digit) && number && *number >= 1 &&
                       *number <= 65535
                   ? ""
                   : kWhat;
    }
    return {};
}

std::string check_header_name(std::string_view name, bool pseudo) {
    if (pseudo && name.starts_with(':')) {
        name.remove_prefix(1);
    }
    constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
    const bool good = !name.empty() && name.size() <= 256 && std::ranges::all_of(name, [&](char c) {
        return alnum(c) || kTokenMarks.find(c) != std::string_view::npos;
    });
    return good ? "" : "a header name is letters, digits and !#$%&'*+-.^_`|~";
}

std::optional<std::string_view> closest(std::string_view word, std::span<const std::string_view> allowed) {
    std::optional<std::string_view> best;
    std::size_t best_distance = 0;
    for (const std::string_view candidate : allowed) {
        const std::size_t far = std::max<std::size_t>(1, std::max(candidate.size(), word.size()) / 3);
        if (candidate.size() > word.size() + far || word.size() > candidate.size() + far) {
            continue;
        }
        const std::size_t found = distance(word, candidate);
        if (found <= far && (!best || found < best_distance)) {
            best = candidate;
            best_distance = found;
        }
    }
    return best;
}

}  // namespace sluice::config
