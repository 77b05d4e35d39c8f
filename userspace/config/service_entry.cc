#include <algorithm>
#include <array>
#include <set>

#include "config/intern.h"
#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

void read_addresses(const Value& list, ServiceEntry& out) {
    read_list(list, kMostCompared, [&](const Value& value) {
        if (value.is_scalar() && value.text().find('/') != std::string_view::npos) {
            value.wrong("a CIDR prefix as address is not supported yet: list the addresses");
            return;
        }
        const auto address = value.ip();
        if (!address) {
            return;
        }
        if (std::ranges::find(out.addresses, *address) != out.addresses.end()) {
            value.wrong("every address is named once");
            return;
        }
        out.addresses.push_back(*address);
        out.address_places.push_back(value.place());
    });
    out.addresses.shrink_to_fit();
    out.address_places.shrink_to_fit();
}

struct PortReader {
    ServicePort port;
    bool protocol_given = false;
};

constexpr Field<PortReader> kPort[] = {
    {"number", [](const Value& value, PortReader& out) { out.port.number = value.port().value_or(0); }},
    {"name",
     [](const Value& value, PortReader& out) {
         if (const auto name = value.nonempty()) {
             const std::string problem = check_label(*name);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             out.port.name = *name;
         }
     }},
    {"protocol",
     [](const Value& value, PortReader& out) {
         const auto name = value.string();
         if (!name || name->empty()) {
             return;
         }
         bool udp = false;
         const auto protocol = protocol_of(*name, udp);
         if (udp) {
             value.wrong("UDP ports are not supported: Sluice carries TCP only");
         } else if (!protocol) {
             value.wrong("allowed: HTTP, HTTP2, HTTPS, GRPC, GRPC-WEB, TLS, TCP, MONGO, MYSQL, REDIS");
         } else {
             out.port.protocol = *protocol;
             out.protocol_given = true;
         }
     }},
    {"targetPort", [](const Value& value, PortReader& out) { out.port.target_port = value.port().value_or(0); }},
};

void read_ports(const Value& list, ServiceEntry& out) {
    read_list(list, kMostCompared, [&](const Value& value) {
        PortReader reader;
        reader.port.place = value.place();
        if (!read_fields(value, kPort, reader)) {
            return;
        }
        ServicePort& port = reader.port;
        if (!value.has("number")) {
            value.missing("number", "a port from 1 to 65535");
        }
        if (!value.has("name")) {
            value.missing("name", "a name that is unique among the ports");
        }
        if (!reader.protocol_given) {
            port.protocol = protocol_of_port_name(port.name);
        }
        for (const ServicePort& other : out.ports) {
            if (port.number != 0 && other.number == port.number) {
                value.error("found a second port " + std::to_string(port.number) + "; every number is allowed once");
            }
            if (!port.name.empty() && other.name == port.name) {
                value.error("found a second port named " + quoted(port.name) + "; every name is allowed once");
            }
        }
        out.ports.push_back(std::move(port));
    });
    out.ports.shrink_to_fit();
    if (list.is_seq() && list.is_empty()) {
        list.wrong("a list of at least one port is needed");
    }
}

void read_endpoints(const Value& list, ServiceEntry& out) {
    read_list(list, [&](const Value& value) {
        Endpoint endpoint;
        endpoint.place = value.place();
        Labels labels;
        const std::size_t problems = value.scope().report.errors();
        const bool address = read_workload(value, endpoint, labels);
        if (!address && value.is_map() && value.scope().report.errors() == problems) {
            value.missing("address", "an IPv4 or IPv6 address");
        }
        endpoint.labels = intern(std::move(labels));
        out.endpoints.push_back(std::move(endpoint));
    });
    out.endpoints.shrink_to_fit();
}

constexpr Field<ServiceEntry> kSelector[] = {
    {"labels", [](const Value& value, ServiceEntry& out) { read_labels(value, out.workload_selector.emplace()); }},
};

constexpr Field<ServiceEntry> kServiceEntry[] = {
    {"hosts", [](const Value& value, ServiceEntry& out) { read_hosts(value, false, out.hosts, out.host_places); }},
    {"addresses", read_addresses},
    {"ports", read_ports},
    {"location",
     [](const Value& value, ServiceEntry&) {
         static constexpr std::array<std::string_view, 2> kNames{"MESH_INTERNAL", "MESH_EXTERNAL"};
         value.one_of(kNames);
     }},
    {"resolution",
     [](const Value& value, ServiceEntry&) {
         static constexpr std::array<std::string_view, 5> kNames{"STATIC", "NONE", "DNS", "DNS_ROUND_ROBIN",
                                                                 "DYNAMIC_DNS"};
         const auto index = value.one_of(kNames);
         if (index && *index > 0) {
             value.wrong("it is a known Istio value that is not supported yet; allowed: STATIC");
         }
     }},
    {"endpoints", read_endpoints},
    {"workloadSelector",
     [](const Value& value, ServiceEntry& out) {
         if (read_fields(value, kSelector, out) && !out.workload_selector) {
             value.missing("labels", "the labels that WorkloadEntries of this namespace need");
         }
     }},
    {"exportTo", [](const Value& value, ServiceEntry& out) { read_export_to(value, out.export_to); }},
    {"subjectAltNames", nullptr, "TLS between workloads comes with a later release"},
};

// Every named port of an endpoint is a port of the service.
void check_endpoint_ports(const Value& spec, const ServiceEntry& entry) {
    std::set<std::string_view> known;
    for (const ServicePort& port : entry.ports) {
        known.insert(port.name);
    }
    for (std::size_t i = 0; i < entry.endpoints.size(); ++i) {
        for (const auto& [name, number] : entry.endpoints[i].ports) {
            if (!known.contains(name)) {
                spec.scope().report.error(entry.endpoints[i].place,
                                          spec.path() + ".endpoints[" + std::to_string(i) + "].ports",
                                          "found the port name " + quoted(name) + "; allowed are the names in ports");
            }
        }
    }
}

}  // namespace

void read_service_entry(const Value& spec, ServiceEntry& out) {
    const std::size_t problems = spec.scope().report.errors();
    if (!read_fields(spec, kServiceEntry, out)) {
        return;
    }
    if (!spec.has("hosts")) {
        spec.missing("hosts", "at least one host");
    }
    if (!spec.has("ports")) {
        spec.missing("ports", "at least one port with number and name");
    }
    if (!spec.has("resolution")) {
        spec.missing("resolution", "write STATIC (Istio's default, NONE, is not supported yet)");
    }
    if (spec.has("endpoints") && spec.has("workloadSelector")) {
        spec.error_at_key("found both endpoints and workloadSelector; one of them is allowed");
    }
    if (spec.scope().report.errors() == problems) {
        check_endpoint_ports(spec, out);
    }
}

}  // namespace sluice::config
