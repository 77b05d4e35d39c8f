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
        case Kind::kExperiment:
            return "Experiment";
        case Kind::kCanary:
            return "Canary";
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
        case PortProtocol::kGrpcWeb:
            return "grpc-web";
    }
    return "unknown";
}

bool is_http(PortProtocol protocol) {
    return is_http1(protocol) || protocol == PortProtocol::kHttp2 || protocol == PortProtocol::kGrpc;
}

bool is_http1(PortProtocol protocol) {
    return protocol == PortProtocol::kHttp || protocol == PortProtocol::kGrpcWeb;
}

const char* drain_name(Drain drain) {
    switch (drain) {
        case Drain::kIdle:
            return "idle";
        case Drain::kNow:
            return "now";
        case Drain::kUnset:
        case Drain::kNone:
            break;
    }
    return "none";
}

const PortMap::Map& PortMap::map() const {
    static const Map kEmpty;
    return map_ ? *map_ : kEmpty;
}

}  // namespace sluice::config
