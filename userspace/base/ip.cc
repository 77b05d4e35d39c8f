#include "base/ip.h"

#include <arpa/inet.h>

#include <algorithm>

namespace sluice {

namespace {
constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    const std::string copy(text);
    if (copy.find('\0') != std::string::npos) {
        return std::nullopt;
    }
    IpAddress result;
    std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), result.bytes.begin());
    if (inet_pton(AF_INET, copy.c_str(), result.bytes.data() + kMappedPrefix.size()) == 1) {
        return result;
    }
    if (inet_pton(AF_INET6, copy.c_str(), result.bytes.data()) == 1) {
        return result;
    }
    return std::nullopt;
}

bool IpAddress::is_v4() const {
    return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
}

std::string IpAddress::text() const {
    char buffer[INET6_ADDRSTRLEN] = {};
    if (is_v4()) {
        inet_ntop(AF_INET, bytes.data() + kMappedPrefix.size(), buffer, sizeof buffer);
    } else {
        inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
    }
    return buffer;
}

std::string endpoint_text(const IpAddress& address, std::uint16_t port) {
    const std::string host = address.text();
    return (address.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}

}  // namespace sluice
