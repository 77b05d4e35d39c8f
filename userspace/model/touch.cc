// What a change makes stale: the part of Index that follows references backwards.
#include "model/index.h"

namespace sluice::model {

using config::ObjectPtr;

void Index::touch_hosts(std::string_view name, const std::string& ns, bool as_destination, Touched& touched) const {
    const auto touch_one = [&](const std::string& host) {
        if (as_destination) {
            touch_destination(host, touched);
        } else {
            touched.hosts.insert(host);
        }
    };
    for (const std::string& host : readings(name, ns)) {
        if (!is_wildcard(host)) {
            touch_one(host);
            continue;
        }
        const std::string suffix = host.substr(1);
        for (const auto& [candidate, entry] : hosts_) {
            if (!entry.services.empty() && candidate.ends_with(suffix)) {
                touch_one(candidate);
            }
        }
    }
}

void Index::touch_destination(const std::string& host, Touched& touched) const {
    touched.hosts.insert(host);
    if (!touched.destinations.insert(host).second) {
        return;
    }
    if (const HostEntry* entry = find(host)) {
        for (const ObjectPtr& user : entry->users) {
            touch(user, touched);
        }
    }
}

void Index::touch_service(const ObjectPtr& object, Touched& touched) const {
    if (!touched.services.insert(object).second) {
        return;
    }
    for (const std::string& host : service_hosts(*object)) {
        touch_destination(host, touched);
        if (const HostEntry* entry = find(host)) {
            // A short name may now mean another host.
            for (const ObjectPtr& rule : entry->rules) {
                touch(rule, touched);
            }
            for (const ObjectPtr& policy : entry->policies) {
                touch(policy, touched);
            }
        }
    }
}

void Index::touch(const ObjectPtr& object, Touched& touched) const {
    if (const auto* rule = std::get_if<config::VirtualService>(&object->spec)) {
        if (touched.rules.insert(object).second) {
            for (const std::string& host : rule->hosts) {
                touch_hosts(host, object->key.ns, false, touched);
            }
        }
    } else if (const auto* policy = std::get_if<config::DestinationRule>(&object->spec)) {
        if (touched.rules.insert(object).second) {
            touch_hosts(policy->host, object->key.ns, true, touched);
        }
    } else if (const auto* workload = std::get_if<config::WorkloadEntry>(&object->spec)) {
        for (const auto& [label, value] : *workload->endpoint.labels) {
            const auto it = selectors_.find(label_hash(object->key.ns, label, value));
            if (it == selectors_.end()) {
                continue;
            }
            for (const ObjectPtr& service : it->second) {
                if (service->key.ns == object->key.ns &&
                    matches(*workload->endpoint.labels, *workload_selector(*service))) {
                    touch_service(service, touched);
                }
            }
        }
    } else if (const auto* slice = std::get_if<config::EndpointSlice>(&object->spec)) {
        const std::string host = cluster_host(slice->service, object->key.ns);
        touch_destination(host, touched);
        if (const HostEntry* entry = find(host)) {
            for (const ObjectPtr& service : entry->services) {
                touch_service(service, touched);
            }
        }
    } else if (const auto* experiment = std::get_if<config::Experiment>(&object->spec)) {
        touch_hosts(experiment->host, object->key.ns, false, touched);
    } else if (const auto* canary = std::get_if<config::Canary>(&object->spec)) {
        touch_hosts(canary->host, object->key.ns, false, touched);
    } else {
        touch_service(object, touched);
    }
}

void Index::touch_namespace(const std::string& ns, Touched& touched) const {
    if (const auto it = scoped_.find(ns); it != scoped_.end()) {
        for (const ObjectPtr& object : it->second) {
            touch(object, touched);
        }
    }
}

}  // namespace sluice::model
