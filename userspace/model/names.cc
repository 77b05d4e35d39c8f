#include "model/names.h"

#include <algorithm>
#include <tuple>

#include "model/rules.h"

namespace sluice::model {

using config::Object;

namespace {

template <typename Visit>
void for_each_destination(const config::VirtualService& rule, const Visit& visit) {
    for (const auto* list : {&rule.http, &rule.tcp}) {
        for (const config::WeightedRule& route : *list) {
            for (const config::RouteDestination& destination : route.destinations) {
                visit(destination);
            }
            if (route.http != nullptr) {
                for (const config::Mirror& mirror : route.http->mirrors) {
                    visit(mirror.destination);
                }
            }
        }
    }
}

}  // namespace

std::string canonical_host(std::string_view host) {
    if (host.size() > 1 && host.back() == '.') {
        host.remove_suffix(1);
    }
    std::string text(host);
    std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    return text;
}

bool is_wildcard(std::string_view host) {
    return !host.empty() && host.front() == '*';
}

std::string cluster_host(std::string_view name, std::string_view ns) {
    constexpr std::string_view kDomain = ".svc.cluster.local";
    std::string host;
    host.reserve(name.size() + 1 + ns.size() + kDomain.size());
    host.append(name).append(".").append(ns).append(kDomain);
    return host;
}

std::vector<std::string> readings(std::string_view host, std::string_view ns) {
    std::string text = canonical_host(host);
    if (text == "*" || text.find('.') != std::string::npos) {
        return {std::move(text)};
    }
    std::string full = cluster_host(text, ns);
    return {std::move(full), std::move(text)};
}

std::vector<std::string> service_hosts(const Object& object) {
    if (const auto* entry = std::get_if<config::ServiceEntry>(&object.spec)) {
        std::vector<std::string> hosts;
        for (const std::string& host : entry->hosts) {
            std::string text = canonical_host(host);
            if (std::ranges::find(hosts, text) == hosts.end()) {
                hosts.push_back(std::move(text));
            }
        }
        return hosts;
    }
    if (std::holds_alternative<config::Service>(object.spec)) {
        return {cluster_host(object.key.name, object.key.ns)};
    }
    return {};
}

std::span<const config::ServicePort> service_ports(const Object& object) {
    if (const auto* entry = std::get_if<config::ServiceEntry>(&object.spec)) {
        return entry->ports;
    }
    if (const auto* service = std::get_if<config::Service>(&object.spec)) {
        return service->ports;
    }
    return {};
}

const config::ServicePort* service_port(const Object& object, std::uint16_t number) {
    const auto ports = service_ports(object);
    const auto it = std::ranges::find(ports, number, &config::ServicePort::number);
    return it == ports.end() ? nullptr : &*it;
}

std::span<const IpAddress> service_addresses(const Object& object) {
    if (const auto* entry = std::get_if<config::ServiceEntry>(&object.spec)) {
        return entry->addresses;
    }
    if (const auto* service = std::get_if<config::Service>(&object.spec)) {
        return service->cluster_ips;
    }
    return {};
}

config::Place service_address_place(const Object& object, std::size_t index) {
    const std::vector<config::Place>* places = nullptr;
    if (const auto* entry = std::get_if<config::ServiceEntry>(&object.spec)) {
        places = &entry->address_places;
    } else if (const auto* service = std::get_if<config::Service>(&object.spec)) {
        places = &service->cluster_ip_places;
    }
    return places != nullptr && index < places->size() ? (*places)[index] : object.place;
}

const config::ExportTo* export_of(const Object& object) {
    struct {
        const config::ExportTo* operator()(const config::VirtualService& v) const { return &v.export_to; }
        const config::ExportTo* operator()(const config::DestinationRule& v) const { return &v.export_to; }
        const config::ExportTo* operator()(const config::ServiceEntry& v) const { return &v.export_to; }
        const config::ExportTo* operator()(const config::Service& v) const { return &v.export_to; }
        const config::ExportTo* operator()(const config::WorkloadEntry&) const { return nullptr; }
        const config::ExportTo* operator()(const config::EndpointSlice&) const { return nullptr; }
        const config::ExportTo* operator()(const config::Experiment&) const { return nullptr; }
        const config::ExportTo* operator()(const config::Canary&) const { return nullptr; }
    } view;
    return std::visit(view, object.spec);
}

bool visible(const Object& object, const std::string& scope) {
    const config::ExportTo* to = export_of(object);
    return to == nullptr || to->all ||
           (!scope.empty() && std::ranges::find(to->namespaces, scope) != to->namespaces.end());
}

const config::Labels* workload_selector(const Object& object) {
    if (const auto* entry = std::get_if<config::ServiceEntry>(&object.spec)) {
        return entry->workload_selector && !entry->workload_selector->empty() ? &*entry->workload_selector : nullptr;
    }
    if (const auto* service = std::get_if<config::Service>(&object.spec)) {
        return service->selector.empty() ? nullptr : &service->selector;
    }
    return nullptr;
}

bool matches(const config::Labels& labels, const config::Labels& wanted) {
    return std::ranges::all_of(wanted, [&](const auto& pair) {
        const auto it = labels.find(pair.first);
        return it != labels.end() && it->second == pair.second;
    });
}

std::set<std::string> special_namespaces(const Object& object) {
    std::set<std::string> namespaces;
    if (const config::ExportTo* to = export_of(object); to != nullptr && !to->all) {
        namespaces.insert(to->namespaces.begin(), to->namespaces.end());
    }
    if (object.key.kind == config::Kind::kDestinationRule) {
        namespaces.insert(object.key.ns);
    }
    if (const auto* rule = std::get_if<config::VirtualService>(&object.spec)) {
        for (std::string& ns : source_namespaces(*rule)) {
            namespaces.insert(std::move(ns));
        }
    }
    return namespaces;
}

std::set<std::string> destination_hosts(const Object& object) {
    std::set<std::string> hosts;
    for_each_destination(std::get<config::VirtualService>(object.spec), [&](const config::RouteDestination& d) {
        for (std::string& host : readings(d.host, object.key.ns)) {
            hosts.insert(std::move(host));
        }
    });
    return hosts;
}

bool older(const Object& a, const Object& b) {
    return std::tie(a.meta.creation_timestamp, a.key.name, a.key.ns) <
           std::tie(b.meta.creation_timestamp, b.key.name, b.key.ns);
}

}  // namespace sluice::model
