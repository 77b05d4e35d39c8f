// Objects made by hand and a mesh to put them into: what the model's tests are written in.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "model/mesh.h"

namespace sluice::model::test {

using config::Kind;
using config::Object;
using config::ObjectPtr;
using config::PortProtocol;

// A document under construction; every one has a line of its own in rules.yaml, its parts follow in the next lines.
struct Draft {
    Object object;

    Draft(Kind kind, const std::string& ns, const std::string& name) {
        static int line = 0;
        line += 100;
        object.key = {kind, ns, name};
        object.meta.name = name;
        object.meta.ns = ns;
        object.file = "rules.yaml";
        object.place = {line, 1};
        last_line = line;
    }
    ObjectPtr done() const { return std::make_shared<const Object>(object); }
    config::Place next() { return {++last_line, 5}; }

    template <typename Edit>
    Draft& annotate(Edit edit) {
        edit(object.meta.annotations);
        return *this;
    }
    Draft& created(const std::string& time) {
        object.meta.creation_timestamp = time;
        return *this;
    }
    Draft& export_to(std::vector<std::string> namespaces) {
        const config::ExportTo to{false, std::move(namespaces)};
        std::visit(
            [&](auto& spec) {
                if constexpr (requires { spec.export_to; }) {
                    spec.export_to = to;
                }
            },
            object.spec);
        return *this;
    }

    int last_line = 0;
};

inline IpAddress ip(const std::string& text) {
    return IpAddress::parse(text).value();
}

inline config::Endpoint endpoint(const std::string& address, config::Labels labels = {}) {
    config::Endpoint e;
    e.address = ip(address);
    e.labels = std::make_shared<const config::Labels>(std::move(labels));
    return e;
}

inline config::ServicePort port(std::uint16_t number, PortProtocol protocol = PortProtocol::kTcp) {
    config::ServicePort p;
    p.number = number;
    p.name = "p" + std::to_string(number);
    p.protocol = protocol;
    return p;
}

struct ServiceEntry : Draft {
    ServiceEntry(const std::string& ns, const std::string& name, const std::string& host, const std::string& address)
        : Draft(Kind::kServiceEntry, ns, name) {
        config::ServiceEntry spec;
        spec.hosts = {host};
        spec.host_places = {next()};
        if (!address.empty()) {
            spec.addresses = {ip(address)};
            spec.address_places = {next()};
        }
        object.spec = std::move(spec);
    }
    config::ServiceEntry& spec() { return std::get<config::ServiceEntry>(object.spec); }
    ServiceEntry& with(config::ServicePort p) {
        p.place = next();
        spec().ports.push_back(std::move(p));
        return *this;
    }
    ServiceEntry& with(config::Endpoint e) {
        e.place = next();
        spec().endpoints.push_back(std::move(e));
        return *this;
    }
    ServiceEntry& select(config::Labels labels) {
        spec().workload_selector = std::move(labels);
        return *this;
    }
};

struct Service : Draft {
    Service(const std::string& ns, const std::string& name, const std::string& address)
        : Draft(Kind::kService, ns, name) {
        config::Service spec;
        if (!address.empty()) {
            spec.cluster_ips = {ip(address)};
            spec.cluster_ip_places = {next()};
        }
        object.spec = std::move(spec);
    }
    config::Service& spec() { return std::get<config::Service>(object.spec); }
    Service& with(config::ServicePort p) {
        p.place = next();
        spec().ports.push_back(std::move(p));
        return *this;
    }
};

struct Slice : Draft {
    Slice(const std::string& ns, const std::string& name, const std::string& service)
        : Draft(Kind::kEndpointSlice, ns, name) {
        config::EndpointSlice spec;
        spec.service = service;
        object.spec = std::move(spec);
    }
    config::EndpointSlice& spec() { return std::get<config::EndpointSlice>(object.spec); }
    Slice& with(config::Endpoint e) {
        e.place = next();
        spec().endpoints.push_back(std::move(e));
        return *this;
    }
};

struct WorkloadEntry : Draft {
    WorkloadEntry(const std::string& ns, const std::string& name, const std::string& address, config::Labels labels)
        : Draft(Kind::kWorkloadEntry, ns, name) {
        config::WorkloadEntry spec;
        spec.endpoint = endpoint(address.empty() ? "127.0.0.1" : address, std::move(labels));
        spec.endpoint.place = next();
        spec.has_address = !address.empty();
        object.spec = std::move(spec);
    }
    config::WorkloadEntry& spec() { return std::get<config::WorkloadEntry>(object.spec); }
};

// A client: no address, only a cgroup.
inline WorkloadEntry client(const std::string& ns, const std::string& name) {
    WorkloadEntry entry(ns, name, "", {{"app", name}});
    entry.object.meta.annotations.cgroup = "/clients/" + name;
    return entry;
}

// "host/subset:port=weight" parts are given apart; port 0 and weight -1 mean not given.
struct To {
    std::string host;
    std::string subset;
    int weight = -1;
    std::uint16_t port = 0;
};

struct VirtualService : Draft {
    VirtualService(const std::string& ns, const std::string& name, const std::string& host)
        : Draft(Kind::kVirtualService, ns, name) {
        config::VirtualService spec;
        spec.hosts = {host};
        spec.host_places = {next()};
        object.spec = std::move(spec);
    }
    config::VirtualService& spec() { return std::get<config::VirtualService>(object.spec); }
    config::WeightedRule rule(const std::vector<To>& destinations) {
        config::WeightedRule rule;
        rule.place = next();
        for (const To& to : destinations) {
            config::RouteDestination d;
            d.place = next();
            d.host = to.host;
            d.host_place = next();
            d.subset = to.subset;
            d.subset_place = next();
            d.port = to.port;
            d.port_place = next();
            if (to.weight >= 0) {
                d.weight = static_cast<std::uint32_t>(to.weight);
            }
            rule.destinations.push_back(std::move(d));
        }
        return rule;
    }
    VirtualService& tcp(const std::vector<To>& destinations) {
        spec().tcp.push_back(rule(destinations));
        return *this;
    }
    VirtualService& http(const std::vector<To>& destinations) {
        spec().http.push_back(rule(destinations));
        return *this;
    }
    // Edits what the last http rule asks of a request lane.
    template <typename Edit>
    VirtualService& also(Edit edit) {
        config::WeightedRule& last = spec().http.back();
        config::HttpRule request = last.http != nullptr ? *last.http : config::HttpRule{};
        edit(request);
        last.http = std::make_shared<const config::HttpRule>(std::move(request));
        return *this;
    }
    VirtualService& when(config::HttpMatch match) {
        match.place = next();
        return also([&](config::HttpRule& request) { request.matches.push_back(std::move(match)); });
    }
    VirtualService& mirror(const To& to) {
        config::WeightedRule parts = rule({to});
        return also([&](config::HttpRule& request) { request.mirrors.push_back({parts.destinations.front()}); });
    }
    VirtualService& named(const std::string& name) {
        spec().http.back().name = name;
        return *this;
    }
};

// Matches of one condition.
inline config::HttpMatch header(const std::string& name, const std::string& value) {
    config::HttpMatch match;
    match.headers.push_back({name, {config::StringMatch::Kind::kExact, value, {}}});
    return match;
}
inline config::HttpMatch uri(config::StringMatch::Kind kind, const std::string& text) {
    config::HttpMatch match;
    match.uri = {kind, text, {}};
    return match;
}
inline config::HttpMatch dialled(std::uint16_t port) {
    config::HttpMatch match;
    match.port = port;
    return match;
}
inline config::HttpMatch from_namespace(const std::string& ns) {
    config::HttpMatch match;
    match.source_namespace = ns;
    return match;
}
inline config::HttpMatch from_labels(config::Labels labels) {
    config::HttpMatch match;
    match.source_labels = std::move(labels);
    return match;
}

struct Experiment : Draft {
    Experiment(const std::string& ns, const std::string& name, const std::string& host, const std::string& route = "")
        : Draft(Kind::kExperiment, ns, name) {
        config::Experiment spec;
        spec.host = host;
        spec.host_place = next();
        spec.route = route;
        spec.route_place = next();
        spec.name = name;
        spec.key = {config::HashKey::Kind::kHeader, "x-user", "", std::nullopt, {}};
        spec.place = next();
        object.spec = std::move(spec);
    }
    config::Experiment& spec() { return std::get<config::Experiment>(object.spec); }
};

struct Canary : Draft {
    Canary(const std::string& ns, const std::string& name, const std::string& host, const std::string& champion,
           const std::string& challenger, const std::string& route = "")
        : Draft(Kind::kCanary, ns, name) {
        config::Canary spec;
        spec.host = host;
        spec.host_place = next();
        spec.route = route;
        spec.route_place = next();
        spec.champion = champion;
        spec.champion_place = next();
        spec.challenger = challenger;
        spec.challenger_place = next();
        spec.stages = {{10, std::chrono::minutes(1)}};
        spec.gates.emplace_back().max = 0.01;
        spec.place = next();
        object.spec = std::move(spec);
    }
    config::Canary& spec() { return std::get<config::Canary>(object.spec); }
};

struct DestinationRule : Draft {
    DestinationRule(const std::string& ns, const std::string& name, const std::string& host)
        : Draft(Kind::kDestinationRule, ns, name) {
        config::DestinationRule spec;
        spec.host = host;
        spec.host_place = next();
        object.spec = std::move(spec);
    }
    config::DestinationRule& spec() { return std::get<config::DestinationRule>(object.spec); }
    config::TrafficPolicy& policy() { return spec().policy ? *spec().policy : spec().policy.emplace(); }
    DestinationRule& subset(const std::string& name, config::Labels labels,
                            std::optional<config::TrafficPolicy> policy = std::nullopt) {
        spec().subsets.push_back({name, std::move(labels), std::move(policy), next()});
        return *this;
    }
};

inline Change put(const Draft& draft) {
    return {draft.object.key, draft.done()};
}
inline Change drop(const Draft& draft) {
    return {draft.object.key, nullptr};
}

inline Options with_proxy(bool references_warn = false) {
    return {.references_warn = references_warn, .lanes = {Lane::kDirect, Lane::kProxy}};
}

// "v1=85 v2=15": subset or host, and weight.
inline std::string shares_text(const std::vector<Destination>& destinations) {
    std::string out;
    for (const Destination& d : destinations) {
        const std::string name = !d.cluster ? "NC" : d.cluster->subset.empty() ? d.cluster->host : d.cluster->subset;
        out += (out.empty() ? "" : " ") + name + "=" + std::to_string(d.weight);
    }
    return out;
}

// A mesh whose last delta or diagnostics are at hand.
struct TestMesh {
    explicit TestMesh(Options options = {}) : mesh(std::move(options)) {}

    // Applies and expects success.
    Delta& apply(std::vector<Change> changes) {
        auto result = mesh.apply(changes);
        EXPECT_TRUE(result.has_value()) << (result ? "" : text(result.error()));
        delta = result ? std::move(*result) : Delta{};
        return delta;
    }
    // Applies and expects errors, which it returns as text.
    std::string refuse(std::vector<Change> changes) {
        auto result = mesh.apply(changes);
        EXPECT_FALSE(result.has_value());
        return result ? "" : text(result.error());
    }
    static std::string text(const Diagnostics& diagnostics) {
        std::string out;
        for (const Diagnostic& d : diagnostics.items) {
            out += d.text() + "\n";
        }
        return out;
    }
    std::string warnings() const { return text(delta.warnings); }

    ServicePortPtr find(const std::string& host, std::uint16_t number, const std::string& scope = "") const {
        const auto it = mesh.services().find({scope, host, number});
        return it == mesh.services().end() ? nullptr : it->second;
    }
    std::string shares(const std::string& host, std::uint16_t number, const std::string& scope = "") const {
        const ServicePortPtr found = find(host, number, scope);
        if (found == nullptr) {
            return "no service";
        }
        return shares_text(found->route->destinations);
    }
    // "v1=100 | v1=85 v2=15 | plain rank=100": the rules of the proxy lane.
    std::string rules(const std::string& host, std::uint16_t number, const std::string& scope = "") const {
        const ServicePortPtr found = find(host, number, scope);
        std::string out;
        for (const HttpRoute& rule : found != nullptr ? found->route->http : std::vector<HttpRoute>()) {
            out += (out.empty() ? "" : " | ") + std::string(rule.rule == nullptr ? "plain " : "") +
                   shares_text(rule.destinations);
        }
        return out;
    }
    ClusterPtr cluster(const std::string& host, std::uint16_t number, std::size_t i = 0,
                       const std::string& scope = "") const {
        const ServicePortPtr found = find(host, number, scope);
        return found && i < found->route->destinations.size() ? found->route->destinations[i].cluster : nullptr;
    }

    Mesh mesh;
    Delta delta;
};

}  // namespace sluice::model::test
