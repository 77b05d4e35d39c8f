#include "proxy/routing.h"

#include "bpf/lib/request.h"
#include "proxy/match.h"
#include "proxy/path.h"

namespace sluice::proxy {

namespace {

constexpr std::string_view kForwardedProto = "x-forwarded-proto";

}  // namespace

bool ask(const http::RequestHead& head, const Client& client, std::uint16_t port, std::string& path, Asked& asked) {
    asked.head = &head;
    asked.client = &client;
    asked.port = port;
    asked.query = head.query;
    asked.has_query = head.has_query;
    asked.authority = head.authority;
    asked.scheme = head.scheme;
    asked.path = {};
    for (std::size_t i = 0; asked.scheme.empty() && i < head.fields.size(); ++i) {
        const http::Field& field = head.fields[i];
        if (field.name.size() == kForwardedProto.size() && same_text(field.name, kForwardedProto)) {
            asked.scheme = field.value;
        }
    }
    if (asked.scheme.empty()) {
        asked.scheme = "http";
    }
    if (head.method == "CONNECT") {
        return true;
    }
    // The path of "http://host".
    return normalise_path(head.path.empty() && !head.scheme.empty() ? "/" : head.path, path, asked.path);
}

bool allow_upgrade(const http::RequestHead& head, std::string_view& protocol) {
    if (head.method == "CONNECT") {
        return false;
    }
    const std::string_view* asked = head.upgrade ? head.find("upgrade") : nullptr;
    if (asked == nullptr || head.framing != http::Framing::kNone) {
        return true;
    }
    if (http::same_name(*asked, "websocket")) {
        protocol = *asked;
        return true;
    }
    return http::same_name(*asked, "h2c") || asked->starts_with("TLS/");
}

bool drawn(config::Millionths share, std::uint64_t random) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(random) * config::kAlways) >> 64) < share;
}

std::optional<std::size_t> choose(const Rule& rule, const Asked& asked, std::uint64_t random,
                                  std::optional<Assigned>* assigned) {
    if (rule.split != nullptr) {
        const std::optional<Assigned> found = assign(*rule.split, asked);
        if (assigned != nullptr) {
            *assigned = found;
        }
        if (found) {
            return rule.split->arms[found->arm].destination;
        }
    }
    const auto count = static_cast<std::uint32_t>(rule.columns.size());
    const std::uint32_t column = sl_choose_column(rule.columns.data(), count, random);
    return column < count ? std::optional<std::size_t>(column) : std::nullopt;
}

void make_request_id(std::uint64_t high, std::uint64_t low, std::string& out) {
    high = (high & ~0xf000ull) | 0x4000ull;                       // version 4
    low = (low & 0x3fffffffffffffffull) | 0x8000000000000000ull;  // variant of RFC 9562
    char text[36];
    std::size_t at = 0;
    for (int digit = 0; digit < 32; ++digit) {
        if (digit == 8 || digit == 12 || digit == 16 || digit == 20) {
            text[at++] = '-';
        }
        const std::uint64_t word = digit < 16 ? high : low;
        text[at++] = "0123456789abcdef"[(word >> (60 - 4 * (digit % 16))) & 15];
    }
    out.assign(text, sizeof(text));
}

}  // namespace sluice::proxy
