#include <algorithm>
#include <charconv>
#include <limits>

#include "http/strict.h"
#include "http/writer.h"

namespace sluice::http {

namespace {

// Some implementations read "_" in a name as "-" (they make variables of names).
bool nearly_same(std::string_view name, std::string_view dashed) {
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (dashed[i] == '-' ? name[i] != '-' && name[i] != '_' : (name[i] | 0x20) != dashed[i]) {
            return false;
        }
    }
    return name.size() == dashed.size();
}

// The tokens of Connection fields, all together.
struct Options {
    bool close = false;
    bool keep_alive = false;
    bool upgrade = false;
    bool vital = false;  // names a field that the message cannot do without
};

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
        text.remove_suffix(1);
    }
    return text;
}

template <typename Each>
void each_token(std::string_view list, const Each& each) {
    while (!list.empty()) {
        const std::size_t end = std::min(list.find(','), list.size());
        each(trimmed(list.substr(0, end)));
        list.remove_prefix(std::min(end + 1, list.size()));
    }
}

void add_options(std::string_view list, Options& options) {
    each_token(list, [&](std::string_view token) {
        options.close |= same_name(token, "close");
        options.keep_alive |= same_name(token, "keep-alive");
        options.upgrade |= same_name(token, "upgrade");
        options.vital |= same_name(token, "host") || same_name(token, "content-length");
    });
}

struct Known {
    Options options;
    const std::string_view* host = nullptr;
    unsigned hosts = 0;
    bool upgrade = false;
    bool expect_continue = false;
};

Refusal add_length(std::string_view value, Coding& coding) {
    std::uint64_t length = 0;
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, length);
    if (coding.length || error != std::errc() || stop != end ||
        length > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return Refusal::kBadFraming;
    }
    coding.length = length;
    return Refusal::kNone;
}

Refusal add_coding(std::string_view value, Coding& coding) {
    if (!same_name(value, "chunked")) {
        return Refusal::kBadCoding;
    }
    if (coding.chunked) {
        return Refusal::kBadFraming;
    }
    coding.chunked = true;
    return Refusal::kNone;
}

// Names are told apart by their lengths first: most fields of a head are none of these.
Refusal add_field(const Field& field, Known& known, Coding& coding) {
    switch (field.name.size()) {
        case 4:
            if (same_name(field.name, "host")) {
                known.host = &field.value;
                ++known.hosts;
            }
            break;
        case 6:
            known.expect_continue |= same_name(field.name, "expect") && same_name(field.value, "100-continue");
            break;
        case 7:
            known.upgrade |= same_name(field.name, "upgrade");
            break;
        case 10:
            if (same_name(field.name, "connection")) {
                add_options(field.value, known.options);
            }
            break;
        case 14:
            if (same_name(field.name, "content-length")) {
                return add_length(field.value, coding);
            }
            return nearly_same(field.name, "content-length") ? Refusal::kBadFraming : Refusal::kNone;
        case 17:
            if (same_name(field.name, "transfer-encoding")) {
                return add_coding(field.value, coding);
            }
            return nearly_same(field.name, "transfer-encoding") ? Refusal::kBadFraming : Refusal::kNone;
        default:
            break;
    }
    return Refusal::kNone;
}

Refusal settle_common(Head& head, Known& known, Coding& coding) {
    for (const Field& field : head.fields) {
        const Refusal refusal = add_field(field, known, coding);
        if (refusal != Refusal::kNone) {
            return refusal;
        }
    }
    if (coding.chunked && (coding.length || head.minor == 0)) {
        return Refusal::kBadFraming;
    }
    if (known.options.vital) {
        return Refusal::kMalformed;
    }
    head.keep_alive = !known.options.close && (head.minor == 1 || known.options.keep_alive);
    head.upgrade = known.upgrade && known.options.upgrade && head.minor == 1;
    if (coding.chunked) {
        head.framing = Framing::kChunked;
    } else if (coding.length) {
        head.framing = Framing::kLength;
        head.length = *coding.length;
    }
    return Refusal::kNone;
}

void split_path(RequestHead& head, std::string_view rest) {
    rest = rest.substr(0, rest.find('#'));
    const std::size_t mark = rest.find('?');
    head.has_query = mark != std::string_view::npos;
    head.query = head.has_query ? rest.substr(mark + 1) : std::string_view();
    head.path = rest.substr(0, mark);
}

// llhttp has checked the characters. Origin-form; absolute-form of http and https, without user; authority-form for
// CONNECT alone, with a port; "*" for OPTIONS alone.
Refusal settle_target(RequestHead& head) {
    const std::string_view target = head.target;
    if (head.method == "CONNECT") {
        head.authority = target;
        return check_host(target) == Host::kWithPort ? Refusal::kNone : Refusal::kMalformed;
    }
    if (target.starts_with('/')) {
        split_path(head, target);
        return Refusal::kNone;
    }
    if (target.starts_with('*')) {
        head.path = target;
        return target == "*" && head.method == "OPTIONS" ? Refusal::kNone : Refusal::kMalformed;
    }
    const std::size_t colon = target.find("://");
    if (colon == std::string_view::npos) {
        return Refusal::kMalformed;
    }
    head.scheme = target.substr(0, colon);
    const std::string_view behind = target.substr(colon + 3);
    const std::size_t end = std::min(behind.find_first_of("/?#"), behind.size());
    head.authority = behind.substr(0, end);
    split_path(head, behind.substr(end));
    if (head.path.empty()) {
        head.path = "/";
    }
    if (!same_name(head.scheme, "http") && !same_name(head.scheme, "https")) {
        return Refusal::kMalformed;
    }
    return check_host(head.authority) == Host::kBad ? Refusal::kBadHost : Refusal::kNone;
}

}  // namespace

Refusal settle(RequestHead& head, Coding& coding) {
    Known known;
    Refusal refusal = settle_common(head, known, coding);
    if (refusal == Refusal::kNone) {
        refusal = settle_target(head);
    }
    if (refusal != Refusal::kNone) {
        return refusal;
    }
    if (known.hosts > 1 || (known.hosts == 0 && head.minor == 1) ||
        (known.hosts == 1 && check_host(*known.host) == Host::kBad)) {
        return Refusal::kBadHost;
    }
    if (head.authority.empty() && known.host != nullptr) {
        head.authority = *known.host;
    }
    if (head.method == "CONNECT") {
        if (coding.chunked || coding.length.value_or(0) != 0) {
            return Refusal::kBadFraming;
        }
        head.framing = Framing::kNone;
    }
    head.expect_continue = known.expect_continue && head.minor == 1;
    return Refusal::kNone;
}

// No body follows an answer to HEAD, 1xx, 204, 304 and an answer that opens a tunnel; a length or coding there says
// what would have been sent (HEAD, 304), or is wrong: some would wait for that body. RFC 9112, 6.3.
Refusal settle(ResponseHead& head, bool head_request, bool connect_request, Coding& coding) {
    Known known;
    const Refusal refusal = settle_common(head, known, coding);
    if (refusal != Refusal::kNone) {
        return refusal;
    }
    const bool never = head.status < 200 || head.status == 204 || (connect_request && head.status < 300);
    if (never && (coding.chunked || coding.length.value_or(0) != 0)) {
        return Refusal::kBadFraming;
    }
    coding.body = !never && !head_request && head.status != 304;
    if (never) {
        head.framing = Framing::kNone;
    } else if (coding.body && !coding.chunked && !coding.length) {
        head.framing = Framing::kUntilClose;
        head.keep_alive = false;
    }
    return Refusal::kNone;
}

Refusal settle_trailers(Head& head) {
    for (const Field& field : head.trailers) {
        if (same_name(field.name, "host") || nearly_same(field.name, "content-length") ||
            nearly_same(field.name, "transfer-encoding")) {
            return Refusal::kBadFraming;
        }
    }
    std::erase_if(head.trailers, [](const Field& field) { return is_hop_by_hop(field.name); });
    return Refusal::kNone;
}

bool named_by_connection(const Head& head, std::string_view name) {
    bool named = false;
    for (const Field& field : head.fields) {
        if (field.name.size() == 10 && same_name(field.name, "connection")) {
            each_token(field.value, [&](std::string_view token) { named |= same_name(token, name); });
        }
    }
    return named;
}

}  // namespace sluice::http
