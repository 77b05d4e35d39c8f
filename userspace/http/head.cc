#include "http/head.h"

#include <utility>

namespace sluice::http {

namespace {

constexpr unsigned char lower(char octet) {
    const auto value = static_cast<unsigned char>(octet);
    return value >= 'A' && value <= 'Z' ? value | 0x20 : value;
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) {
        return false;
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i] != b[i] && lower(a[i]) != lower(b[i])) {
            return false;
        }
    }
    return true;
}

const std::string_view* Head::find(std::string_view name) const {
    for (const Field& field : fields) {
        if (same_name(field.name, name)) {
            return &field.value;
        }
    }
    return nullptr;
}

std::optional<std::string_view> Head::value(std::string_view name, std::string& joined) const {
    const std::string_view* first = nullptr;
    bool several = false;
    for (const Field& field : fields) {
        if (!same_name(field.name, name)) {
            continue;
        }
        if (first == nullptr) {
            first = &field.value;
            continue;
        }
        if (!several) {
            joined.assign(*first);
            several = true;
        }
        joined.append(",").append(field.value);
    }
    if (first == nullptr) {
        return std::nullopt;
    }
    return several ? std::string_view(joined) : *first;
}

void Head::clear_common() {
    fields.clear();
    trailers.clear();
    minor = 1;
    framing = Framing::kNone;
    length = 0;
    keep_alive = true;
    upgrade = false;
    octets = 0;
    text_.clear();
    trailer_text_.clear();
}

// A text never lies within its string object (the parser reserves more than that holds), so views follow it.
void Head::swap_common(Head& other) {
    fields.swap(other.fields);
    trailers.swap(other.trailers);
    std::swap(minor, other.minor);
    std::swap(framing, other.framing);
    std::swap(length, other.length);
    std::swap(keep_alive, other.keep_alive);
    std::swap(upgrade, other.upgrade);
    std::swap(octets, other.octets);
    text_.swap(other.text_);
    trailer_text_.swap(other.trailer_text_);
}

void RequestHead::clear() {
    clear_common();
    method = target = path = query = scheme = authority = {};
    has_query = expect_continue = false;
}

void RequestHead::swap(RequestHead& other) {
    swap_common(other);
    std::swap(method, other.method);
    std::swap(target, other.target);
    std::swap(path, other.path);
    std::swap(query, other.query);
    std::swap(has_query, other.has_query);
    std::swap(scheme, other.scheme);
    std::swap(authority, other.authority);
    std::swap(expect_continue, other.expect_continue);
}

void ResponseHead::clear() {
    clear_common();
    status = 0;
    reason = {};
}

void ResponseHead::swap(ResponseHead& other) {
    swap_common(other);
    std::swap(status, other.status);
    std::swap(reason, other.reason);
}

}  // namespace sluice::http
