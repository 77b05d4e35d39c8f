#include "config/objects.h"

#include <algorithm>

namespace sluice::config {

const char* kind_name(Kind kind) {
    switch (kind) {
        case Kind::kVirtualService:
            return "VirtualService";
        case Kind::kDestinationRule:
            return "DestinationRule";
        case Kind::kServiceEntry:
            return "ServiceEntry";
        case Kind::kWorkloadEntry:
            return "WorkloadEntry";
        case Kind::kService:
            return "Service";
        case Kind::kEndpointSlice:
            return "EndpointSlice";
    }
    return "unknown";
}

std::string ObjectKey::text() const {
    return std::string(kind_name(kind)) + " " + ns + "/" + name;
}

bool ExportTo::visible_in(const std::string& ns) const {
    return all || std::ranges::find(namespaces, ns) != namespaces.end();
}

const char* protocol_name(PortProtocol protocol) {
    switch (protocol) {
        case PortProtocol::kTcp:
            return "tcp";
        case PortProtocol::kHttp:
            return "http";
        case PortProtocol::kHttp2:
            return "http2";
        case PortProtocol::kHttps:
            return "https";
        case PortProtocol::kTls:
            return "tls";
        case PortProtocol::kGrpc:
            return "grpc";
    }
    return "unknown";
}

bool is_http(PortProtocol protocol) {
    return protocol == PortProtocol::kHttp || protocol == PortProtocol::kHttp2 || protocol == PortProtocol::kGrpc;
}

const PortMap::Map& PortMap::map() const {
    static const Map kEmpty;
    return map_ ? *map_ : kEmpty;
}

}  // namespace sluice::config
