#include "proxy/hash_key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>

#include "bpf/lib/hash.h"
#include "proxy/match.h"
#include "proxy/path.h"
#include "proxy/routing.h"

namespace sluice::proxy {

namespace {

using config::HashKey;

// Lines of one header that are hashed in order of their values; what is sent beyond is left out.
constexpr std::size_t kHeaderLines = 16;

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
        text.remove_suffix(1);
    }
    return text;
}

bool cookie_in(std::string_view cookies, std::string_view name, std::string_view& value) {
    for (std::size_t at = 0; at < cookies.size();) {
        const std::size_t end = std::min(cookies.find(';', at), cookies.size());
        const std::string_view pair = cookies.substr(at, end - at);
        const std::size_t equals = pair.find('=');
        if (equals != std::string_view::npos && trimmed(pair.substr(0, equals)) == name) {
            value = trimmed(pair.substr(equals + 1));
            if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
                value = value.substr(1, value.size() - 2);
            }
            return true;
        }
        at = end + 1;
    }
    return false;
}

// Envoy hashes the sorted values one after the other, each seeding the next.
std::optional<std::uint64_t> hash_header(const Asked& asked, std::string_view name) {
    std::array<std::string_view, kHeaderLines> values;
    std::size_t count = 0;
    for (const http::Field& field : asked.head->fields) {
        if (count < values.size() && same_text(field.name, name)) {
            values[count++] = field.value;
        }
    }
    if (count == 0) {
        return std::nullopt;
    }
    std::sort(values.begin(), values.begin() + count);
    std::uint64_t hash = 0;
    for (std::size_t i = 0; i < count; ++i) {
        hash = XXH64(values[i].data(), values[i].size(), hash);
    }
    return hash;
}

// A Set-Cookie's value as Envoy makes it; the cookie's own value is of the connection.
std::uint64_t make_cookie(const HashKey& key, std::uint64_t connection, std::string& set_cookie) {
    char digits[16];
    std::uint64_t value = XXH64(&connection, sizeof(connection), 0);
    for (int i = 15; i >= 0; --i, value >>= 4) {
        digits[i] = "0123456789abcdef"[value & 15];
    }
    set_cookie.assign(key.name).append("=\"").append(digits, sizeof(digits)).append("\"");
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*key.ttl).count();
    if (seconds > 0) {
        char text[24];
        set_cookie.append("; Max-Age=").append(text, std::to_chars(text, text + sizeof(text), seconds).ptr);
    }
    if (!key.path.empty()) {
        set_cookie.append("; Path=").append(key.path);
    }
    for (const auto& [name, attribute] : key.attributes) {
        set_cookie.append("; ").append(name);
        if (!attribute.empty()) {
            set_cookie.append("=").append(attribute);
        }
    }
    set_cookie.append("; HttpOnly");
    return XXH64(digits, sizeof(digits), 0);
}

}  // namespace

bool find_key(const HashKey& key, const Asked& asked, std::string_view& value) {
    if (key.kind == HashKey::Kind::kQuery) {
        return asked.has_query && query_parameter(asked.query, key.name, value);
    }
    const bool cookie = key.kind == HashKey::Kind::kCookie;
    for (const http::Field& field : asked.head->fields) {
        if (cookie) {
            if (same_text(field.name, "cookie") && cookie_in(field.value, key.name, value)) {
                return true;
            }
        } else if (same_text(field.name, key.name)) {
            value = field.value;
            return true;
        }
    }
    return false;
}

std::optional<std::uint64_t> hash_key(const model::Cluster& cluster, const Asked& asked, std::uint64_t connection,
                                      std::string& set_cookie) {
    set_cookie.clear();
    if (cluster.load_balancer != SL_LB_RING_HASH && cluster.load_balancer != SL_LB_MAGLEV) {
        return std::nullopt;
    }
    if (!cluster.hash_key) {
        return sl_hash_address(asked.client->address.bytes.data());
    }
    const HashKey& key = *cluster.hash_key;
    if (key.kind == HashKey::Kind::kHeader) {
        return hash_header(asked, key.name);
    }
    std::string_view value;
    const bool found = find_key(key, asked, value);
    if (key.kind == HashKey::Kind::kCookie && (!found || value.empty())) {
        return key.ttl ? std::optional(make_cookie(key, connection, set_cookie)) : std::nullopt;
    }
    return found ? std::optional<std::uint64_t>(XXH64(value.data(), value.size(), 0)) : std::nullopt;
}

}  // namespace sluice::proxy
