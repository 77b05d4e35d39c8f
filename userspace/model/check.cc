#include "model/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "model/endpoints.h"
#include "model/rules.h"

namespace sluice::model {

using config::Object;
using config::ObjectPtr;
using config::Place;

namespace {

// Dangling references: errors, or warnings where Istio's answer is wanted.
struct Reference {
    const Object& rule;
    bool warn;
    Report& report;
    void dangling(Place place, std::string field, std::string message) const {
        if (warn) {
            report.warning(rule, place, std::move(field), std::move(message));
        } else {
            report.error(rule, place, std::move(field), std::move(message));
        }
    }
};

std::string no_service(const std::string& host) {
    return "no ServiceEntry or Service has the host " + host;
}

bool has_port(const Index& index, const std::string& host, std::uint16_t number) {
    const HostEntry* entry = index.find(host);
    return entry != nullptr && std::ranges::any_of(entry->services, [&](const ObjectPtr& object) {
               return service_port(*object, number) != nullptr;
           });
}

void check_destination(const Index& index, const Reference& reference, const config::RouteDestination& destination,
                       const std::string& field, const char* warning) {
    const std::string host = index.resolve(destination.host, reference.rule.key.ns);
    const std::string nc = reference.warn ? warning : "";
    if (!index.is_service(host)) {
        reference.dangling(destination.host_place, field + ".host", no_service(host) + nc);
        return;
    }
    if (destination.port != 0 && !has_port(index, host, destination.port)) {
        reference.dangling(destination.port_place, field + ".port.number",
                           fmt::format("host {} has no port {}{}", host, destination.port, nc));
    }
    if (!destination.subset.empty()) {
        const std::vector<std::string> names = subsets_of(index, host);
        if (std::ranges::find(names, destination.subset) == names.end()) {
            reference.dangling(
                destination.subset_place, field + ".subset",
                fmt::format("no DestinationRule declares the subset {} of host {}; declared: {}{}", destination.subset,
                            host, names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")), nc));
        }
    }
}

void check_rules(const Index& index, const Reference& reference, const std::vector<config::WeightedRule>& rules,
                 const char* list) {
    for (std::size_t i = 0; i < rules.size(); ++i) {
        for (std::size_t j = 0; j < rules[i].destinations.size(); ++j) {
            check_destination(index, reference, rules[i].destinations[j],
                              fmt::format("spec.{}[{}].route[{}].destination", list, i, j), kShareRefused);
        }
        const std::size_t mirrors = rules[i].http != nullptr ? rules[i].http->mirrors.size() : 0;
        for (std::size_t j = 0; j < mirrors; ++j) {
            check_destination(index, reference, rules[i].http->mirrors[j].destination, mirror_field(i, j, mirrors),
                              kNotMirrored);
        }
    }
}

// Whether a host has a port of the kind that http (or tcp) rules act on.
bool has_protocol(const Index& index, const std::string& host, bool http) {
    const HostEntry* entry = index.find(host);
    return entry == nullptr || std::ranges::any_of(entry->services, [&](const ObjectPtr& object) {
               return std::ranges::any_of(service_ports(*object), [&](const config::ServicePort& port) {
                   return config::is_http(port.protocol) == http;
               });
           });
}

void check_virtual_service(const Index& index, const Reference& reference, const config::VirtualService& spec) {
    std::vector<std::string> hosts;
    for (std::size_t i = 0; i < spec.hosts.size(); ++i) {
        const std::string host = index.resolve(spec.hosts[i], reference.rule.key.ns);
        const Place place = i < spec.host_places.size() ? spec.host_places[i] : reference.rule.place;
        const std::string field = fmt::format("spec.hosts[{}]", i);
        if (std::ranges::find(hosts, host) != hosts.end()) {
            reference.report.error(reference.rule, place, field, "host " + host + " is given twice");
        }
        hosts.push_back(host);
        if (is_wildcard(host)) {
            continue;
        }
        if (!index.is_service(host)) {
            reference.dangling(place, field, no_service(host));
            continue;
        }
        for (const bool http : {true, false}) {
            if (!(http ? spec.http : spec.tcp).empty() && !has_protocol(index, host, http)) {
                reference.report.warning(reference.rule, place, field,
                                         fmt::format("spec.{} has no effect: {} has no {} port", http ? "http" : "tcp",
                                                     host, http ? "HTTP" : "TCP or TLS"));
            }
        }
    }
    check_rules(index, reference, spec.http, "http");
    check_rules(index, reference, spec.tcp, "tcp");
}

bool overlap(const Object& a, const Object& b) {
    const config::ExportTo &x = *export_of(a), &y = *export_of(b);
    if (x.all || y.all) {
        const config::ExportTo& other = x.all ? y : x;
        return other.all || !other.namespaces.empty();
    }
    return std::ranges::any_of(x.namespaces, [&](const std::string& ns) { return visible(b, ns); });
}

void check_claims(const Index& index, const Object& service, Report& report) {
    const std::vector<std::string> hosts = service_hosts(service);
    const auto addresses = service_addresses(service);
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const Place place = service_address_place(service, i);
        const std::string field =
            fmt::format("spec.{}[{}]", service.key.kind == config::Kind::kService ? "clusterIPs" : "addresses", i);
        for (const config::ServicePort& port : service_ports(service)) {
            const std::string address = endpoint_text(addresses[i], port.number);
            if (hosts.size() > 1) {
                report.error(
                    service, place, field,
                    fmt::format("{} stands for both {} and {}: a connection does not say which host it means; give "
                                "each host its own ServiceEntry and address",
                                address, hosts[0], hosts[1]));
            }
            index.for_each_claim(addresses[i], port.number, [&](const Object& other) {
                if (&other != &service && service_hosts(other) != hosts && overlap(service, other)) {
                    report.error(service, place, field,
                                 fmt::format("{} is also the address of {} ({}), and some client would see both",
                                             address, other.key.text(), place_text(other, other.place)));
                }
            });
        }
    }
}

void check_duplicate_ports(const Index& index, const Object& service, Report& report) {
    for (const std::string& host : service_hosts(service)) {
        for (const ObjectPtr& other : index.find(host)->services) {
            if (other.get() == &service || other->key.ns != service.key.ns) {
                continue;
            }
            for (const config::ServicePort& port : service_ports(service)) {
                if (service_port(*other, port.number) != nullptr) {
                    report.error(service, port.place, "spec.ports",
                                 fmt::format("port {} of {} is also declared by {} ({})", port.number, host,
                                             other->key.text(), place_text(*other, other->place)));
                }
            }
        }
    }
}

void check_endpoints(const Index& index, const Object& service, Report& report) {
    struct Seen {
        const IpAddress* address;
        std::uint16_t port;
        const config::Endpoint* endpoint;
        const Object* owner;
    };
    std::vector<Seen> seen;
    for (const config::ServicePort& port : service_ports(service)) {
        seen.clear();
        for_each_endpoint(index, service, port, [&](const FoundEndpoint& found) {
            // Kubernetes may list a pod in two slices for a moment: that is no fault of the user.
            if (found.owner.key.kind != config::Kind::kEndpointSlice) {
                seen.push_back({&found.endpoint.address, found.port, &found.endpoint, &found.owner});
            }
        });
        std::ranges::sort(seen, [](const Seen& a, const Seen& b) {
            const auto order = [](const Seen& s) {
                return std::tie(*s.address, s.port, s.owner->key, s.endpoint->place.line, s.endpoint->place.column);
            };
            return order(a) < order(b);
        });
        for (std::size_t i = 1; i < seen.size(); ++i) {
            const Seen &first = seen[i - 1], &twin = seen[i];
            if (*first.address == *twin.address && first.port == twin.port) {
                report.error(
                    *twin.owner, twin.endpoint->place, "address",
                    fmt::format("endpoint {} of {} is already given at {}", endpoint_text(*twin.address, twin.port),
                                service.key.text(), place_text(*first.owner, first.endpoint->place)));
            }
        }
    }
}

}  // namespace

std::vector<std::string> subsets_of(const Index& index, const std::string& host) {
    std::vector<std::string> names;
    index.for_each_policies(host, [&](const std::vector<ObjectPtr>& policies) {
        for (const ObjectPtr& policy : policies) {
            for (const config::Subset& subset : std::get<config::DestinationRule>(policy->spec).subsets) {
                names.push_back(subset.name);
            }
        }
        return false;
    });
    std::ranges::sort(names);
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

void check_references(const Index& index, const Object& rule, bool references_warn, Report& report) {
    const Reference reference{rule, references_warn, report};
    if (const auto* spec = std::get_if<config::VirtualService>(&rule.spec)) {
        check_virtual_service(index, reference, *spec);
    } else if (const auto* policy = std::get_if<config::DestinationRule>(&rule.spec)) {
        const std::string host = index.resolve(policy->host, rule.key.ns);
        if (!is_wildcard(host) && !index.is_service(host)) {
            reference.dangling(policy->host_place, "spec.host", no_service(host));
        }
    }
}

void check_service(const Index& index, const Object& service, Report& report) {
    check_claims(index, service, report);
    check_duplicate_ports(index, service, report);
    check_endpoints(index, service, report);
}

}  // namespace sluice::model
