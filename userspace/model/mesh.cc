#include "model/mesh.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "model/canary.h"
#include "model/check.h"
#include "model/cluster.h"
#include "model/experiment.h"
#include "model/index.h"
#include "model/report.h"
#include "model/route.h"
#include "model/view.h"
#include "model/workload.h"

namespace sluice::model {

using config::ObjectKey;
using config::ObjectPtr;

namespace {

struct Step {
    ObjectKey key;
    ObjectPtr before, after;
};

ServicePortKey key_of(const ServicePort& port) {
    return {port.scope, port.host, port.port};
}

bool same_sources(const std::vector<Destination>& a, const std::vector<Destination>& b) {
    return std::ranges::equal(
        a, b, [](const Destination& x, const Destination& y) { return x.cluster == y.cluster && x.text == y.text; });
}

// Equal also in what only people read.
bool identical(const ServicePort& a, const ServicePort& b) {
    return a.service == b.service && a.route->source == b.route->source &&
           a.route->lane_reasons == b.route->lane_reasons &&
           same_sources(a.route->destinations, b.route->destinations) &&
           std::ranges::equal(a.route->http, b.route->http, [](const HttpRoute& x, const HttpRoute& y) {
               return same_sources(x.destinations, y.destinations) && same_sources(x.mirrors, y.mirrors);
           });
}

bool same_client(const Client& a, const Client& b) {
    return a.workload->id == b.workload->id && a.labels == b.labels && a.ns == b.ns && a.cgroup == b.cgroup;
}

}  // namespace

struct Mesh::Impl {
    Options options;
    Index index;
    Workloads workloads;
    ClusterPool clusters;
    std::map<ObjectKey, ObjectPtr> objects;
    std::map<ServicePortKey, ServicePortPtr> services;
    std::unordered_map<std::string, std::vector<ServicePortKey>> scoped;  // host: its keys in scopes other than ""
    std::map<ObjectKey, Client> clients;

    void step(const ObjectKey& key, const ObjectPtr& before, const ObjectPtr& after);
    std::vector<Step> link(std::span<const Change> changes, Touched& touched, Report& report);
    void check(const Touched& touched, Report& report) const;
    bool current(const ObjectPtr& object) const;
    void add_ports(const std::string& host, const View& view, Routes& routes, Report& report,
                   std::vector<ServicePortPtr>& out) const;
    std::vector<ServicePortPtr> build(const std::string& host, Routes& routes, Report& report) const;
    void compare(const std::string& host, const std::vector<ServicePortPtr>& ports, Delta& delta) const;
    void replace(const std::string& host, std::vector<ServicePortPtr> ports);
    std::vector<ServicePortKey> keys_of(const std::string& host) const;
    std::optional<Client> client_of(const ObjectKey& key);
    bool update_clients(const std::vector<Step>& steps, bool keep);
    std::expected<Delta, Diagnostics> apply(std::span<const Change> changes, bool keep);
};

void Mesh::Impl::step(const ObjectKey& key, const ObjectPtr& before, const ObjectPtr& after) {
    if (before != nullptr) {
        index.unlink(before);
    }
    if (after != nullptr) {
        objects[key] = after;
        index.link(after);
    } else {
        objects.erase(key);
    }
}

// Makes the changes in the index; what they touch is what they touched before or touch now.
std::vector<Step> Mesh::Impl::link(std::span<const Change> changes, Touched& touched, Report& report) {
    std::vector<Step> steps;
    std::map<ObjectKey, ObjectPtr> given;
    const std::map<std::string, int> namespaces = index.client_namespaces();
    for (const Change& change : changes) {
        if (change.object != nullptr) {
            const auto [it, fresh] = given.emplace(change.key, change.object);
            if (!fresh && it->second != change.object) {
                report.error(*change.object, change.object->place, "metadata.name",
                             change.key.text() + " is already defined at " + place_text(*it->second, {}));
                continue;
            }
        }
        const auto it = objects.find(change.key);
        const ObjectPtr before = it == objects.end() ? nullptr : it->second;
        if (before == change.object) {
            continue;
        }
        if (before != nullptr) {
            index.touch(before, touched);
        }
        step(change.key, before, change.object);
        steps.push_back({change.key, before, change.object});
    }
    for (const Step& done : steps) {
        if (done.after != nullptr) {
            index.touch(done.after, touched);
        }
    }
    const std::map<std::string, int>& now = index.client_namespaces();
    for (const auto* list : {&namespaces, &now}) {
        for (const auto& [ns, count] : *list) {
            if (namespaces.contains(ns) != now.contains(ns)) {
                index.touch_namespace(ns, touched);
            }
        }
    }
    return steps;
}

bool Mesh::Impl::current(const ObjectPtr& object) const {
    const auto it = objects.find(object->key);
    return it != objects.end() && it->second == object;
}

void Mesh::Impl::check(const Touched& touched, Report& report) const {
    for (const ObjectPtr& rule : touched.rules) {
        if (current(rule)) {
            check_references(index, *rule, options.references_warn, report);
        }
    }
    for (const ObjectPtr& service : touched.services) {
        if (current(service)) {
            check_service(index, *service, report);
        }
    }
    for (const std::string& host : touched.hosts) {
        check_experiments(index, host, options.references_warn, report);
        check_canaries(index, host, options.references_warn, report);
    }
}

void Mesh::Impl::add_ports(const std::string& host, const View& view, Routes& routes, Report& report,
                           std::vector<ServicePortPtr>& out) const {
    std::set<std::uint16_t> numbers;
    for (const ObjectPtr& object : index.find(host)->services) {
        for (const config::ServicePort& port : service_ports(*object)) {
            numbers.insert(port.number);
        }
    }
    const std::size_t base_count = out.size();
    const bool proxied = std::ranges::find(options.lanes, Lane::kProxy) != options.lanes.end();
    for (const std::uint16_t number : numbers) {
        const ServiceRef service = view.service(host, number, &report);
        if (service.object == nullptr) {
            continue;
        }
        const auto addresses = service_addresses(*service.object);
        if (addresses.empty()) {
            report.warning(*service.object, service.object->place, "spec",
                           host + " has no virtual address: it cannot be dialled, only be a destination");
            // A Host field may name it all the same.
            if (!config::is_http(service.port->protocol) || !proxied) {
                continue;
            }
        }
        auto port = std::make_shared<ServicePort>();
        port->scope = view.scope();
        port->host = host;
        port->service_name = host.ends_with(".svc.cluster.local") ? host.substr(0, host.find('.')) : host;
        port->service_namespace = service.object->key.ns;
        port->addresses.assign(addresses.begin(), addresses.end());
        std::ranges::sort(port->addresses);
        port->addresses.erase(std::unique(port->addresses.begin(), port->addresses.end()), port->addresses.end());
        port->port = number;
        port->protocol = service.port->protocol;
        port->route = routes.build(view, host, service);
        port->service = service.object;
        const auto same = [&](const ServicePortPtr& base) {
            return base->scope.empty() && same_service_port(*base, *port);
        };
        if (view.scope().empty() || std::find_if(out.begin(), out.begin() + std::ptrdiff_t(base_count), same) ==
                                        out.begin() + std::ptrdiff_t(base_count)) {
            out.push_back(std::move(port));
        }
    }
}

std::vector<ServicePortPtr> Mesh::Impl::build(const std::string& host, Routes& routes, Report& report) const {
    std::vector<ServicePortPtr> ports;
    if (!index.is_service(host)) {
        return ports;
    }
    add_ports(host, View(index, ""), routes, report, ports);
    for (const std::string& scope : index.scopes_of(host)) {
        // Without clients there the result is dropped, but its errors count: admission must not depend on who runs
        // where.
        std::vector<ServicePortPtr> checked = ports;
        add_ports(host, View(index, scope), routes, report, checked);
        if (index.client_namespaces().contains(scope) ||
            std::ranges::find(options.client_namespaces, scope) != options.client_namespaces.end()) {
            ports = std::move(checked);
        }
    }
    return ports;
}

std::vector<ServicePortKey> Mesh::Impl::keys_of(const std::string& host) const {
    std::vector<ServicePortKey> keys;
    for (auto it = services.lower_bound({"", host, 0});
         it != services.end() && it->first.scope.empty() && it->first.host == host; ++it) {
        keys.push_back(it->first);
    }
    if (const auto it = scoped.find(host); it != scoped.end()) {
        keys.insert(keys.end(), it->second.begin(), it->second.end());
    }
    return keys;
}

// Adds to the delta how `ports` differ from what the host has.
void Mesh::Impl::compare(const std::string& host, const std::vector<ServicePortPtr>& ports, Delta& delta) const {
    std::set<ServicePortKey> kept;
    for (const ServicePortPtr& port : ports) {
        const auto it = services.find(*kept.insert(key_of(*port)).first);
        if (it == services.end() || !same_service_port(*it->second, *port)) {
            delta.changed.push_back(port);
        }
    }
    for (ServicePortKey& key : keys_of(host)) {
        if (!kept.contains(key)) {
            delta.removed.push_back(std::move(key));
        }
    }
}

void Mesh::Impl::replace(const std::string& host, std::vector<ServicePortPtr> ports) {
    std::set<ServicePortKey> kept;
    std::vector<ServicePortKey> in_scopes;
    for (ServicePortPtr& port : ports) {
        const ServicePortKey& key = *kept.insert(key_of(*port)).first;
        if (!key.scope.empty()) {
            in_scopes.push_back(key);
        }
        ServicePortPtr& slot = services[key];
        if (slot == nullptr || !same_service_port(*slot, *port) || !identical(*slot, *port)) {
            slot = std::move(port);
        }
    }
    for (const ServicePortKey& key : keys_of(host)) {
        if (!kept.contains(key)) {
            services.erase(key);
        }
    }
    if (in_scopes.empty()) {
        scoped.erase(host);
    } else {
        scoped[host] = std::move(in_scopes);
    }
}

// The client that a changed WorkloadEntry is now, if it is one.
std::optional<Client> Mesh::Impl::client_of(const ObjectKey& key) {
    const auto it = index.clients().find(key);
    if (it == index.clients().end()) {
        return std::nullopt;
    }
    const config::Object& object = *it->second;
    const config::Endpoint& body = std::get<config::WorkloadEntry>(object.spec).endpoint;
    return Client{workloads.intern(object.key.ns, *body.labels, body.service_account, object.key.name), *body.labels,
                  object.key.ns, object.meta.annotations.cgroup, it->second};
}

// Whether clients differ in what a data plane acts on; `keep`: the new ones are taken over.
bool Mesh::Impl::update_clients(const std::vector<Step>& steps, bool keep) {
    bool changed = false;
    for (const Step& done : steps) {
        if (done.key.kind != config::Kind::kWorkloadEntry) {
            continue;
        }
        std::optional<Client> client = client_of(done.key);
        const auto known = clients.find(done.key);
        changed = changed || client.has_value() != (known != clients.end()) ||
                  (client && !same_client(known->second, *client));
        if (keep && client) {
            clients.insert_or_assign(done.key, std::move(*client));
        } else if (keep) {
            clients.erase(done.key);
        }
    }
    return changed;
}

std::expected<Delta, Diagnostics> Mesh::Impl::apply(std::span<const Change> changes, bool keep) {
    Report report;
    Touched touched;
    const std::vector<Step> steps = link(changes, touched, report);
    check(touched, report);
    Clusters built_clusters(index, workloads, clusters, touched.destinations, report);
    Routes routes(options, built_clusters, report);
    std::vector<std::pair<const std::string*, std::vector<ServicePortPtr>>> built;
    built.reserve(touched.hosts.size());
    for (const std::string& host : touched.hosts) {
        built.emplace_back(&host, build(host, routes, report));
    }
    const bool refused = report.has_errors();
    Delta delta;
    if (!refused) {
        for (const auto& [host, ports] : built) {
            compare(*host, ports, delta);
        }
        delta.clients_changed = update_clients(steps, keep);
    }
    if (refused || !keep) {
        for (auto it = steps.rbegin(); it != steps.rend(); ++it) {
            step(it->key, it->after, it->before);
        }
    } else {
        for (auto& [host, ports] : built) {
            replace(*host, std::move(ports));
        }
        built_clusters.commit();
    }
    if (refused) {
        return std::unexpected(report.take_all());
    }
    for (auto it = steps.rbegin(); it != steps.rend(); ++it) {
        delta.undo.push_back({it->key, it->before});
    }
    std::ranges::sort(delta.changed, {}, [](const ServicePortPtr& port) { return key_of(*port); });
    std::ranges::sort(delta.removed);
    delta.warnings = report.take_warnings();
    return delta;
}

Mesh::Mesh(Options options) : impl_(std::make_unique<Impl>()) {
    impl_->options = std::move(options);
}
Mesh::~Mesh() = default;
Mesh::Mesh(Mesh&&) noexcept = default;
Mesh& Mesh::operator=(Mesh&&) noexcept = default;

std::expected<Delta, Diagnostics> Mesh::apply(std::span<const Change> changes) {
    return impl_->apply(changes, true);
}
std::expected<Delta, Diagnostics> Mesh::preview(std::span<const Change> changes) {
    return impl_->apply(changes, false);
}

const std::map<ServicePortKey, ServicePortPtr>& Mesh::services() const {
    return impl_->services;
}
const std::map<ObjectKey, ObjectPtr>& Mesh::objects() const {
    return impl_->objects;
}

std::vector<Client> Mesh::clients() const {
    std::vector<Client> clients;
    clients.reserve(impl_->clients.size());
    for (const auto& [key, client] : impl_->clients) {
        clients.push_back(client);
    }
    return clients;
}

}  // namespace sluice::model
