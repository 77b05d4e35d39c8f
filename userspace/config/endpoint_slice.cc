#include <array>

#include "config/intern.h"
#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

constexpr std::string_view kServiceName = "kubernetes.io/service-name";

struct SliceReader {
    EndpointSlice& slice;
    std::shared_ptr<const Labels> labels;
    std::optional<bool> v4;  // addressType
};

struct PortReader {
    std::string name;
    std::uint16_t number = 0;
};

constexpr Field<PortReader> kPort[] = {
    {"name",
     [](const Value& value, PortReader& out) {
         if (const auto name = value.string()) {
             const std::string problem = name->empty() ? "" : check_label(*name);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             out.name = *name;
         }
     }},
    {"port", [](const Value& value, PortReader& out) { out.number = value.port().value_or(0); }},
    {"protocol",
     [](const Value& value, PortReader&) {
         static constexpr std::array<std::string_view, 3> kNames{"TCP", "UDP", "SCTP"};
         const auto index = value.one_of(kNames);
         if (index && *index > 0) {
             value.wrong(std::string(kNames[*index]) + " ports are not supported: Sluice carries TCP only");
         }
     }},
    {"appProtocol", [](const Value& value, PortReader&) { value.string(); }},
};

void read_ports(const Value& list, SliceReader& out) {
    read_list(list, [&](const Value& value) {
        PortReader port;
        if (!read_fields(value, kPort, port)) {
            return;
        }
        if (!value.has("port")) {
            value.missing("port", "a port from 1 to 65535 (all ports of an address are not supported)");
        } else if (!out.slice.ports.emplace(port.name, port.number).second) {
            value.error("found a second port named " + quoted(port.name) + "; every name is allowed once");
        }
    });
}

struct Conditions {
    std::optional<bool> ready;
    bool terminating = false;
};

constexpr Field<Conditions> kConditions[] = {
    {"ready", [](const Value& value, Conditions& out) { out.ready = value.boolean(); }},
    // Only says more about endpoints that take no new connection anyway.
    {"serving", [](const Value& value, Conditions&) { value.boolean(); }},
    {"terminating", [](const Value& value, Conditions& out) { out.terminating = value.boolean().value_or(false); }},
};

struct EndpointReader {
    Endpoint endpoint;
    std::vector<std::pair<IpAddress, Place>> addresses;
    std::optional<bool> v4;
};

void read_addresses(const Value& list, EndpointReader& out) {
    read_list(list, [&](const Value& value) {
        const auto address = value.ip();
        if (address && out.v4 && address->is_v4() != *out.v4) {
            value.wrong(std::string("an ") + (*out.v4 ? "IPv4" : "IPv6") + " address is needed, as addressType says");
        } else if (address) {
            out.addresses.emplace_back(*address, value.place());
        }
    });
}

constexpr Field<EndpointReader> kEndpoint[] = {
    {"addresses", read_addresses},
    {"conditions",
     [](const Value& value, EndpointReader& out) {
         Conditions conditions;
         read_fields(value, kConditions, conditions);
         out.endpoint.ready = conditions.ready.value_or(true);
         out.endpoint.terminating = conditions.terminating;
     }},
    // Who and where it is; nothing here is decided by it.
    {"targetRef"},
    {"hostname"},
    {"nodeName"},
    {"zone"},
    {"hints"},
    {"deprecatedTopology"},
    {"topology"},
};

void read_endpoints(const Value& list, SliceReader& out) {
    read_list(list, [&](const Value& value) {
        EndpointReader reader{{}, {}, out.v4};
        if (!read_fields(value, kEndpoint, reader)) {
            return;
        }
        if (!value.has("addresses")) {
            value.missing("addresses", "a list of at least one address");
        }
        for (const auto& [address, place] : reader.addresses) {
            Endpoint& endpoint = out.slice.endpoints.emplace_back(reader.endpoint);
            endpoint.address = address;
            endpoint.place = place;
            endpoint.labels = out.labels;
        }
    });
    out.slice.endpoints.shrink_to_fit();
}

constexpr Field<SliceReader> kSlice[] = {
    {"apiVersion"},        {"kind"},
    {"metadata"},          {"addressType"},  // read before the others
    {"ports", read_ports}, {"endpoints", read_endpoints},
};

void read_address_type(const Value& root, SliceReader& out) {
    if (!root.has("addressType")) {
        root.missing("addressType", "IPv4 or IPv6");
        return;
    }
    root.each_field([&](const Value& value) {
        if (value.key() != "addressType") {
            return;
        }
        static constexpr std::array<std::string_view, 3> kNames{"IPv4", "IPv6", "FQDN"};
        const auto index = value.one_of(kNames);
        if (index == 2) {
            value.wrong("FQDN endpoints are not supported yet; allowed: IPv4, IPv6");
        } else if (index) {
            out.v4 = *index == 0;
        }
    });
}

}  // namespace

void read_endpoint_slice(const Value& root, const Metadata& meta, EndpointSlice& out) {
    Labels labels;
    for (const auto& [key, value] : meta.labels) {
        if (key == kServiceName) {
            out.service = value;
        } else if (!key.starts_with("endpointslice.kubernetes.io/") && key != "service.kubernetes.io/headless") {
            labels.emplace(key, value);
        }
    }
    SliceReader reader{out, intern(std::move(labels)), std::nullopt};
    if (out.service.empty()) {
        root.scope().report.error(root.place(), "metadata.labels[\"kubernetes.io/service-name\"]",
                                  "is required and missing; the name of the Service that the endpoints belong to");
    }
    read_address_type(root, reader);
    read_fields(root, kSlice, reader);
}

}  // namespace sluice::config
