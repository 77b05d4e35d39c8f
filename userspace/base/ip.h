// IP addresses as the tables keep them: 16 bytes, network byte order, IPv4 v4-mapped.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

struct IpAddress {
    std::array<std::uint8_t, 16> bytes{};

    // Strict textual forms of inet_pton, IPv4 or IPv6, without brackets, zone or prefix length; "::ffff:1.2.3.4" equals
    // "1.2.3.4". Empty on anything else.
    static std::optional<IpAddress> parse(std::string_view text);
    bool is_v4() const;
    std::string text() const;  // dotted for IPv4, RFC 5952 for IPv6
    auto operator<=>(const IpAddress&) const = default;
};

// "1.2.3.4:80" or "[::1]:80".
std::string endpoint_text(const IpAddress& address, std::uint16_t port);

}  // namespace sluice
