#include "model/index.h"

#include <algorithm>
#include <string_view>

namespace sluice::model {

using config::Object;
using config::ObjectPtr;

namespace {

void edit_list(std::vector<ObjectPtr>& list, const ObjectPtr& object, bool add) {
    if (add) {
        list.push_back(object);
        return;
    }
    // From the back: undoing a change takes away what was added last.
    const auto it = std::find(list.rbegin(), list.rend(), object);
    if (it != list.rend()) {
        *it = std::move(list.back());
        list.pop_back();
    }
}

template <typename Map, typename Key>
void edit_map(Map& map, const Key& key, const ObjectPtr& object, bool add) {
    auto& list = map[key];
    edit_list(list, object, add);
    if (list.empty()) {
        map.erase(key);
    }
}

bool is_client(const Object& object) {
    return object.key.kind == config::Kind::kWorkloadEntry && !object.meta.annotations.cgroup.empty();
}

// Calls visit(suffix) for ".b.c", ".c" and "" of "a.b.c" until it returns true.
template <typename Visit>
void for_each_suffix(const std::string& host, const Visit& visit) {
    for (std::size_t dot = host.find('.'); dot != std::string::npos; dot = host.find('.', dot + 1)) {
        if (visit(host.substr(dot))) {
            return;
        }
    }
    visit(std::string());
}

}  // namespace

std::size_t Index::ClaimHash::operator()(const Claim& claim) const {
    const std::string_view bytes(reinterpret_cast<const char*>(claim.address.bytes.data()), claim.address.bytes.size());
    return Identity::of(bytes).lo + claim.port;
}

std::uint64_t Index::label_hash(std::string_view ns, std::string_view label, std::string_view value) {
    std::string text;
    text.reserve(ns.size() + label.size() + value.size() + 2);
    text.append(ns).push_back('\0');
    text.append(label).push_back('\0');
    text.append(value);
    return Identity::of(text).lo;
}

void Index::edit_host(const std::string& host, Objects HostEntry::*list, const ObjectPtr& object, bool add) {
    HostEntry& entry = hosts_[host];
    edit_list(entry.*list, object, add);
    if (entry.empty()) {
        hosts_.erase(host);
    }
}

void Index::edit_claims(const ObjectPtr& object, bool add) {
    for (const IpAddress& address : service_addresses(*object)) {
        for (const config::ServicePort& port : service_ports(*object)) {
            const Claim claim{address, port.number};
            if (add) {
                claims_.emplace(claim, object.get());
                continue;
            }
            const auto [first, last] = claims_.equal_range(claim);
            const auto it = std::find_if(first, last, [&](const auto& c) { return c.second == object.get(); });
            if (it != last) {
                claims_.erase(it);
            }
        }
    }
}

void Index::edit_rule(const ObjectPtr& object, bool add) {
    const bool is_policy = object->key.kind == config::Kind::kDestinationRule;
    std::vector<std::string> names;
    if (is_policy) {
        names.push_back(std::get<config::DestinationRule>(object->spec).host);
    } else {
        names = std::get<config::VirtualService>(object->spec).hosts;
    }
    for (const std::string& name : names) {
        for (const std::string& host : readings(name, object->key.ns)) {
            if (is_wildcard(host)) {
                edit_map(is_policy ? wildcard_policies_ : wildcard_rules_, host.substr(1), object, add);
            } else {
                edit_host(host, is_policy ? &HostEntry::policies : &HostEntry::rules, object, add);
            }
        }
    }
    if (!is_policy) {
        for (const std::string& host : destination_hosts(*object)) {
            edit_host(host, &HostEntry::users, object, add);
        }
    }
}

void Index::edit_workload(const ObjectPtr& object, bool add) {
    const auto& entry = std::get<config::WorkloadEntry>(object->spec);
    if (entry.has_address) {
        for (const auto& [label, value] : *entry.endpoint.labels) {
            edit_map(workloads_, label_hash(object->key.ns, label, value), object, add);
        }
    }
    if (!is_client(*object)) {
        return;
    }
    if (add) {
        clients_[object->key] = object;
        ++client_namespaces_[object->key.ns];
        return;
    }
    clients_.erase(object->key);
    if (--client_namespaces_[object->key.ns] == 0) {
        client_namespaces_.erase(object->key.ns);
    }
}

void Index::edit(const ObjectPtr& object, bool add) {
    for (const std::string& ns : special_namespaces(*object)) {
        edit_map(scoped_, ns, object, add);
    }
    switch (object->key.kind) {
        case config::Kind::kVirtualService:
        case config::Kind::kDestinationRule:
            edit_rule(object, add);
            return;
        case config::Kind::kWorkloadEntry:
            edit_workload(object, add);
            return;
        case config::Kind::kEndpointSlice:
            edit_host(cluster_host(std::get<config::EndpointSlice>(object->spec).service, object->key.ns),
                      &HostEntry::slices, object, add);
            return;
        case config::Kind::kExperiment:
            for (const std::string& host : readings(std::get<config::Experiment>(object->spec).host, object->key.ns)) {
                edit_host(host, &HostEntry::experiments, object, add);
            }
            return;
        case config::Kind::kCanary:
            for (const std::string& host : readings(std::get<config::Canary>(object->spec).host, object->key.ns)) {
                edit_host(host, &HostEntry::canaries, object, add);
            }
            return;
        case config::Kind::kServiceEntry:
        case config::Kind::kService:
            break;
    }
    for (const std::string& host : service_hosts(*object)) {
        edit_host(host, &HostEntry::services, object, add);
    }
    edit_claims(object, add);
    if (const config::Labels* selector = workload_selector(*object)) {
        const auto& [label, value] = *selector->begin();
        edit_map(selectors_, label_hash(object->key.ns, label, value), object, add);
    }
}

const HostEntry* Index::find(const std::string& host) const {
    const auto it = hosts_.find(host);
    return it == hosts_.end() ? nullptr : &it->second;
}

bool Index::is_service(const std::string& host) const {
    const HostEntry* entry = find(host);
    return entry != nullptr && !entry->services.empty();
}

std::string Index::resolve(std::string_view name, std::string_view ns) const {
    std::vector<std::string> hosts = readings(name, ns);
    for (std::string& host : hosts) {
        if (is_service(host)) {
            return std::move(host);
        }
    }
    return std::move(hosts.front());
}

void Index::for_each_rules(const std::string& host, const std::function<bool(const Objects&)>& visit) const {
    if (const HostEntry* entry = find(host); entry != nullptr && !entry->rules.empty()) {
        // Under a short name's other reading the rule means another service.
        Objects own;
        for (const ObjectPtr& rule : entry->rules) {
            const auto& hosts = std::get<config::VirtualService>(rule->spec).hosts;
            if (std::ranges::find(own, rule) == own.end() &&
                std::ranges::any_of(hosts, [&](const std::string& h) { return resolve(h, rule->key.ns) == host; })) {
                own.push_back(rule);
            }
        }
        if (!own.empty() && visit(own)) {
            return;
        }
    }
    if (wildcard_rules_.empty()) {
        return;
    }
    for_each_suffix(host, [&](const std::string& suffix) {
        const auto it = wildcard_rules_.find(suffix);
        return it != wildcard_rules_.end() && visit(it->second);
    });
}

void Index::for_each_policies(const std::string& host, const std::function<bool(const Objects&)>& visit) const {
    if (const HostEntry* entry = find(host); entry != nullptr && !entry->policies.empty()) {
        Objects own;
        for (const ObjectPtr& policy : entry->policies) {
            if (resolve(std::get<config::DestinationRule>(policy->spec).host, policy->key.ns) == host) {
                own.push_back(policy);
            }
        }
        if (!own.empty() && visit(own)) {
            return;
        }
    }
    if (wildcard_policies_.empty()) {
        return;
    }
    for_each_suffix(host, [&](const std::string& suffix) {
        const auto it = wildcard_policies_.find(suffix);
        return it != wildcard_policies_.end() && visit(it->second);
    });
}

std::vector<ObjectPtr> Index::experiments(const std::string& host, const std::string& ns) const {
    std::vector<ObjectPtr> out;
    if (const HostEntry* entry = find(host)) {
        std::ranges::copy_if(entry->experiments, std::back_inserter(out), [&](const ObjectPtr& object) {
            return object->key.ns == ns && resolve(std::get<config::Experiment>(object->spec).host, ns) == host;
        });
        std::ranges::sort(out, [](const ObjectPtr& a, const ObjectPtr& b) { return older(*a, *b); });
    }
    return out;
}

std::vector<ObjectPtr> Index::canaries(const std::string& host) const {
    std::vector<ObjectPtr> out;
    if (const HostEntry* entry = find(host)) {
        std::ranges::copy_if(entry->canaries, std::back_inserter(out), [&](const ObjectPtr& object) {
            return resolve(std::get<config::Canary>(object->spec).host, object->key.ns) == host;
        });
        std::ranges::sort(out, [](const ObjectPtr& a, const ObjectPtr& b) { return older(*a, *b); });
    }
    return out;
}

void Index::for_each_workload(const Object& service, const std::function<void(const ObjectPtr&)>& visit) const {
    const config::Labels* selector = workload_selector(service);
    if (selector == nullptr) {
        return;
    }
    const Objects* fewest = nullptr;
    for (const auto& [label, value] : *selector) {
        const auto it = workloads_.find(label_hash(service.key.ns, label, value));
        if (it == workloads_.end()) {
            return;
        }
        if (fewest == nullptr || it->second.size() < fewest->size()) {
            fewest = &it->second;
        }
    }
    for (const ObjectPtr& object : *fewest) {
        const auto& labels = *std::get<config::WorkloadEntry>(object->spec).endpoint.labels;
        if (object->key.ns == service.key.ns && matches(labels, *selector)) {
            visit(object);
        }
    }
}

void Index::for_each_claim(const IpAddress& address, std::uint16_t port,
                           const std::function<void(const Object&)>& visit) const {
    const auto [first, last] = claims_.equal_range(Claim{address, port});
    for (auto it = first; it != last; ++it) {
        visit(*it->second);
    }
}

std::set<std::string> Index::scopes_of(const std::string& host) const {
    std::set<std::string> scopes;
    const auto add = [&](const Object& object) { scopes.merge(special_namespaces(object)); };
    const auto add_all = [&](const Objects& objects) {
        for (const ObjectPtr& object : objects) {
            add(*object);
        }
        return false;
    };
    const auto add_destination = [&](const std::string& name) {
        if (const HostEntry* entry = find(name)) {
            add_all(entry->services);
        }
        for_each_policies(name, add_all);
    };
    add_destination(host);
    for_each_rules(host, [&](const Objects& rules) {
        add_all(rules);
        for (const ObjectPtr& rule : rules) {
            for (const std::string& name : destination_hosts(*rule)) {
                add_destination(name);
            }
        }
        return false;
    });
    return scopes;
}

}  // namespace sluice::model
