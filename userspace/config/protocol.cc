#include <algorithm>
#include <array>
#include <cctype>

#include "config/kinds.h"

namespace sluice::config {

std::optional<PortProtocol> protocol_of(std::string_view name, bool& udp) {
    static constexpr std::array<std::pair<std::string_view, PortProtocol>, 10> kProtocols{{
        {"tcp", PortProtocol::kTcp},
        {"http", PortProtocol::kHttp},
        {"http2", PortProtocol::kHttp2},
        {"https", PortProtocol::kHttps},
        {"tls", PortProtocol::kTls},
        {"grpc", PortProtocol::kGrpc},
        {"grpc-web", PortProtocol::kGrpcWeb},
        {"mongo", PortProtocol::kTcp},
        {"mysql", PortProtocol::kTcp},
        {"redis", PortProtocol::kTcp},
    }};
    std::string lower(name);
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    udp = lower == "udp";
    const auto found =
        std::ranges::find(kProtocols, std::string_view(lower), &std::pair<std::string_view, PortProtocol>::first);
    return found == kProtocols.end() ? std::nullopt : std::optional(found->second);
}

PortProtocol protocol_of_port_name(std::string_view name) {
    bool udp = false;
    constexpr std::string_view kGrpcWeb = "grpc-web";
    if (name.starts_with(kGrpcWeb)) {
        return PortProtocol::kGrpcWeb;
    }
    return protocol_of(name.substr(0, name.find('-')), udp).value_or(PortProtocol::kTcp);
}

}  // namespace sluice::config
