#include <algorithm>
#include <array>

#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

struct ServiceReader {
    Service& service;
    std::optional<IpAddress> cluster_ip;
    Place cluster_ip_place;
    bool headless = false;
    bool list_given = false;
};

void add_ip(const Value& value, const IpAddress& address, Service& out) {
    if (std::ranges::find(out.cluster_ips, address) != out.cluster_ips.end()) {
        value.wrong("every address is named once");
        return;
    }
    out.cluster_ips.push_back(address);
    out.cluster_ip_places.push_back(value.place());
}

void read_cluster_ip(const Value& value, ServiceReader& out) {
    const auto text = value.string();
    if (!text || text->empty()) {
        return;
    }
    if (*text == "None") {
        out.headless = true;
    } else if (const auto address = value.ip()) {
        out.cluster_ip = address;
        out.cluster_ip_place = value.place();
    }
}

void read_cluster_ips(const Value& list, ServiceReader& out) {
    out.list_given = true;
    read_list(list, kMostCompared, [&](const Value& value) {
        const auto text = value.string();
        if (text && *text == "None") {
            out.headless = true;
        } else if (const auto address = text ? value.ip() : std::nullopt) {
            add_ip(value, *address, out.service);
        }
    });
}

struct PortReader {
    ServicePort port;
    std::string app_protocol;
};

void read_target_port(const Value& value, PortReader& out) {
    if (value.is_scalar() && value.node().plain && value.text().find_first_not_of("0123456789") == std::string::npos) {
        out.port.target_port = value.port().value_or(0);
        return;
    }
    const auto name = value.nonempty();
    if (!name) {
        return;
    }
    const bool letters = std::ranges::any_of(*name, [](char c) { return c >= 'a' && c <= 'z'; });
    if (!check_label(*name).empty() || name->size() > 15 || !letters) {
        value.wrong("a port from 1 to 65535, or a port's name of at most 15 of a-z, 0-9 and '-', is needed");
        return;
    }
    out.port.target_port_name = *name;
}

constexpr Field<PortReader> kPort[] = {
    {"port", [](const Value& value, PortReader& out) { out.port.number = value.port().value_or(0); }},
    {"name",
     [](const Value& value, PortReader& out) {
         if (const auto name = value.string()) {
             const std::string problem = name->empty() ? "" : check_label(*name);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             out.port.name = *name;
         }
     }},
    {"protocol",
     [](const Value& value, PortReader&) {
         static constexpr std::array<std::string_view, 3> kNames{"TCP", "UDP", "SCTP"};
         const auto index = value.one_of(kNames);
         if (index && *index > 0) {
             value.wrong(std::string(kNames[*index]) + " ports are not supported: Sluice carries TCP only");
         }
     }},
    {"appProtocol",
     [](const Value& value, PortReader& out) {
         if (const auto name = value.string()) {
             out.app_protocol = *name;
         }
     }},
    {"targetPort", read_target_port},
    {"nodePort", [](const Value& value, PortReader&) { value.integer(0, 65535); }},
};

PortProtocol detect(const PortReader& reader) {
    const std::string& app = reader.app_protocol;
    if (app == "kubernetes.io/h2c") {
        return PortProtocol::kHttp2;
    }
    if (app == "kubernetes.io/ws") {
        return PortProtocol::kHttp;
    }
    if (app == "kubernetes.io/wss") {
        return PortProtocol::kHttps;
    }
    return protocol_of_port_name(app.empty() ? reader.port.name : app);
}

void read_ports(const Value& list, ServiceReader& out) {
    std::vector<ServicePort>& ports = out.service.ports;
    read_list(list, kMostCompared, [&](const Value& value) {
        PortReader reader;
        reader.port.place = value.place();
        if (!read_fields(value, kPort, reader)) {
            return;
        }
        reader.port.protocol = detect(reader);
        const ServicePort& port = reader.port;
        if (!value.has("port")) {
            value.missing("port", "a port from 1 to 65535");
        }
        for (const ServicePort& other : ports) {
            if (port.number != 0 && other.number == port.number) {
                value.error("found a second port " + std::to_string(port.number) + "; every number is allowed once");
            }
            if (!port.name.empty() && other.name == port.name) {
                value.error("found a second port named " + quoted(port.name) + "; every name is allowed once");
            }
        }
        ports.push_back(reader.port);
    });
    if (list.is_seq() && list.is_empty()) {
        list.wrong("a list of at least one port is needed");
    }
    for (const ServicePort& port : ports) {
        if (ports.size() > 1 && port.name.empty()) {
            list.scope().report.error(port.place, list.path(),
                                      "found a port without name; with several ports each has a name");
        }
    }
    ports.shrink_to_fit();
}

void read_type(const Value& value, ServiceReader&) {
    static constexpr std::array<std::string_view, 4> kNames{"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"};
    if (value.one_of(kNames) == 3) {
        value.wrong(
            "ExternalName is an alias of DNS, which is not supported yet; allowed: ClusterIP, NodePort, "
            "LoadBalancer");
    }
}

void read_session_affinity(const Value& value, ServiceReader&) {
    static constexpr std::array<std::string_view, 2> kNames{"None", "ClientIP"};
    if (value.one_of(kNames) == 1) {
        value.wrong(
            "it is a known Kubernetes value that is not supported; write loadBalancer.consistentHash."
            "useSourceIp in a DestinationRule");
    }
}

void read_internal_policy(const Value& value, ServiceReader&) {
    static constexpr std::array<std::string_view, 2> kNames{"Cluster", "Local"};
    if (value.one_of(kNames) == 1) {
        value.wrong("it is a known Kubernetes value that is not supported yet; allowed: Cluster");
    }
}

constexpr Field<ServiceReader> kService[] = {
    {"clusterIP", read_cluster_ip},
    {"clusterIPs", read_cluster_ips},
    {"ports", read_ports},
    {"selector", [](const Value& value, ServiceReader& out) { read_labels(value, out.service.selector); }},
    {"type", read_type},
    {"sessionAffinity", read_session_affinity},
    {"internalTrafficPolicy", read_internal_policy},
    // Of no meaning for connections inside the mesh.
    {"ipFamilies"},
    {"ipFamilyPolicy"},
    {"externalTrafficPolicy"},
    {"externalIPs"},
    {"loadBalancerIP"},
    {"loadBalancerClass"},
    {"loadBalancerSourceRanges"},
    {"allocateLoadBalancerNodePorts"},
    {"healthCheckNodePort"},
    {"publishNotReadyAddresses"},  // acts through the conditions of EndpointSlices
    {"trafficDistribution"},       // a preference; all endpoints are used alike
    {"externalName", nullptr, "an alias of DNS; name the service itself"},
    {"sessionAffinityConfig", nullptr, "write loadBalancer.consistentHash.useSourceIp in a DestinationRule"},
};

}  // namespace

void read_service(const Value& spec, Service& out) {
    ServiceReader reader{out, {}, {}, false, false};
    if (!read_fields(spec, kService, reader)) {
        return;
    }
    if (reader.cluster_ip && out.cluster_ips.empty()) {
        out.cluster_ips.push_back(*reader.cluster_ip);
        out.cluster_ip_places.push_back(reader.cluster_ip_place);
    } else if (reader.cluster_ip && out.cluster_ips.front() != *reader.cluster_ip) {
        spec.error_at_key("found clusterIP " + reader.cluster_ip->text() + " and clusterIPs that begin with " +
                          out.cluster_ips.front().text() + "; the first of clusterIPs is clusterIP");
    }
    if (reader.headless && !out.cluster_ips.empty()) {
        spec.error_at_key(
            "found None beside an address in clusterIP and clusterIPs; a headless service has no address");
    }
    out.cluster_ips.shrink_to_fit();
    out.cluster_ip_places.shrink_to_fit();
    if (!spec.has("ports") && !reader.headless) {
        spec.missing("ports", "at least one port");
    }
}

}  // namespace sluice::config
