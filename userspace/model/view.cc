#include "model/view.h"

#include <algorithm>
#include <tuple>

namespace sluice::model {

using config::Kind;
using config::Object;
using config::ObjectPtr;

namespace {

constexpr const char* kRootNamespace = "istio-system";

const config::DestinationRule& spec_of(const ObjectPtr& policy) {
    return std::get<config::DestinationRule>(policy->spec);
}

// 0: private to the scope, 1: exported to it by name, 2: for all.
int distance(const Object& object, const std::string& scope) {
    const config::ExportTo* to = export_of(object);
    if (to == nullptr || to->all) {
        return 2;
    }
    return object.key.ns == scope && to->namespaces.size() == 1 ? 0 : 1;
}

config::Place host_place(const Object& rule, const std::string& host, const Index& index) {
    const auto& spec = std::get<config::VirtualService>(rule.spec);
    for (std::size_t i = 0; i < spec.hosts.size() && i < spec.host_places.size(); ++i) {
        if (index.resolve(spec.hosts[i], rule.key.ns) == host) {
            return spec.host_places[i];
        }
    }
    return spec.host_places.empty() ? rule.place : spec.host_places.front();
}

// The rules of one namespace that a scope sees, merged.
Policies merge(const std::vector<ObjectPtr>& candidates, const std::string& ns, bool any_visibility, bool only_private,
               const std::string& scope) {
    Policies merged;
    for (const ObjectPtr& policy : candidates) {
        const bool is_private = distance(*policy, ns) == 0;
        if (policy->key.ns == ns && (any_visibility ? (!only_private || is_private) : visible(*policy, scope))) {
            merged.rules.push_back(policy);
        }
    }
    if (merged.rules.size() > 1) {
        std::ranges::sort(merged.rules, [](const ObjectPtr& a, const ObjectPtr& b) { return older(*a, *b); });
        // As in Istio only rules that are exported alike merge; the oldest decides.
        const config::ExportTo first = spec_of(merged.rules.front()).export_to;
        std::erase_if(merged.rules, [&](const ObjectPtr& policy) {
            const config::ExportTo& to = spec_of(policy).export_to;
            return to.all != first.all || to.namespaces != first.namespaces;
        });
    }
    return merged;
}

}  // namespace

const config::Subset* Policies::subset(const std::string& name, ObjectPtr* from) const {
    for (const ObjectPtr& rule : rules) {
        const auto& subsets = spec_of(rule).subsets;
        if (const auto it = std::ranges::find(subsets, name, &config::Subset::name); it != subsets.end()) {
            if (from != nullptr) {
                *from = rule;
            }
            return &*it;
        }
    }
    return nullptr;
}

Policies::Blocks Policies::blocks(std::uint16_t port, const config::Subset* subset) const {
    Blocks blocks;
    const auto take = [&](const config::PolicyBlocks& from, bool whole, const ObjectPtr& rule) {
        if (whole || from.load_balancer) {
            blocks.load_balancer = from.load_balancer ? &*from.load_balancer : nullptr;
            blocks.load_balancer_from = rule;
        }
        if (whole || from.connection_pool) {
            blocks.connection_pool = from.connection_pool ? &*from.connection_pool : nullptr;
            blocks.connection_pool_from = rule;
        }
        if (whole || from.outlier) {
            blocks.outlier = from.outlier ? &*from.outlier : nullptr;
            blocks.outlier_from = rule;
        }
    };
    const auto layer = [&](const config::TrafficPolicy& policy, const ObjectPtr& rule) {
        const auto it = policy.port_level.find(port);
        if (it != policy.port_level.end()) {
            take(it->second, true, rule);
        } else {
            take(policy.blocks, false, rule);
        }
    };
    for (const ObjectPtr& rule : rules) {
        if (spec_of(rule).policy) {
            layer(*spec_of(rule).policy, rule);
            break;
        }
    }
    if (subset != nullptr && subset->policy) {
        ObjectPtr rule;
        this->subset(subset->name, &rule);
        layer(*subset->policy, rule);
    }
    return blocks;
}

config::LimitScope Policies::limit_scope() const {
    for (const ObjectPtr& rule : rules) {
        if (rule->meta.annotations.limit_scope != config::LimitScope::kUnset) {
            return rule->meta.annotations.limit_scope;
        }
    }
    return config::LimitScope::kUnset;
}

std::optional<config::Drain> Policies::drain() const {
    for (const ObjectPtr& rule : rules) {
        if (rule->meta.annotations.drain != config::Drain::kUnset) {
            return rule->meta.annotations.drain;
        }
    }
    return std::nullopt;
}

ServiceRef View::service(const std::string& host, std::uint16_t port, Report* report) const {
    const HostEntry* entry = index_.find(host);
    if (entry == nullptr) {
        return {};
    }
    const auto preferred = [&](const Object& a, const Object& b) {
        const auto rank = [&](const Object& o) { return 2 * (o.key.ns != scope_) + (o.key.kind != Kind::kService); };
        return rank(a) != rank(b) ? rank(a) < rank(b) : older(a, b);
    };
    ServiceRef best;
    for (const ObjectPtr& object : entry->services) {
        const config::ServicePort* found = visible(*object, scope_) ? service_port(*object, port) : nullptr;
        if (found != nullptr && (best.object == nullptr || preferred(*object, *best.object))) {
            best = {object, found};
        }
    }
    if (report != nullptr && entry->services.size() > 1 && best.object != nullptr) {
        for (const ObjectPtr& object : entry->services) {
            const config::ServicePort* found = visible(*object, scope_) ? service_port(*object, port) : nullptr;
            if (found != nullptr && object != best.object && object->key.ns != best.object->key.ns &&
                (object->key.ns != scope_) == (best.object->key.ns != scope_)) {
                report->warning(*object, found->place, "spec.ports",
                                "port " + std::to_string(port) + " of " + host + " is already declared by " +
                                    best.object->key.text() + " at " + place_text(*best.object, best.port->place) +
                                    ": this one is ignored");
            }
        }
    }
    return best;
}

std::uint16_t View::default_port(const std::string& host, std::uint16_t dialled) const {
    const HostEntry* entry = index_.find(host);
    std::uint16_t only = 0;
    if (entry == nullptr) {
        return 0;
    }
    bool several = false;
    for (const ObjectPtr& object : entry->services) {
        if (!visible(*object, scope_)) {
            continue;
        }
        for (const config::ServicePort& port : service_ports(*object)) {
            if (port.number == dialled) {
                return dialled;
            }
            several = several || (only != 0 && only != port.number);
            only = port.number;
        }
    }
    return several ? 0 : only;
}

ObjectPtr View::rule(const std::string& host, bool http, Report& report) const {
    ObjectPtr best;
    index_.for_each_rules(host, [&](const std::vector<ObjectPtr>& rules) {
        std::vector<ObjectPtr> seen;
        for (const ObjectPtr& rule : rules) {
            const auto& spec = std::get<config::VirtualService>(rule->spec);
            if (visible(*rule, scope_) && !(http ? spec.http : spec.tcp).empty()) {
                seen.push_back(rule);
            }
        }
        if (seen.empty()) {
            return false;
        }
        std::ranges::sort(seen, [&](const ObjectPtr& a, const ObjectPtr& b) {
            const int da = distance(*a, scope_), db = distance(*b, scope_);
            return da != db ? da < db : older(*a, *b);
        });
        best = seen.front();
        for (std::size_t i = 1; i < seen.size() && distance(*seen[i], scope_) == distance(*best, scope_); ++i) {
            const config::Place winner = host_place(*best, host, index_);
            report.warning(*seen[i], host_place(*seen[i], host, index_), "spec.hosts",
                           host + " is already routed by " + best->key.text() + " at " + place_text(*best, winner) +
                               ", which comes first (by age, then name): this VirtualService is ignored for the "
                               "host, nothing of it is merged");
        }
        return true;
    });
    return best;
}

Policies View::policies(const std::string& host, const std::string& service_namespace) const {
    const auto in = [&](const std::string& ns, bool any_visibility, bool only_private) {
        Policies found;
        index_.for_each_policies(host, [&](const std::vector<ObjectPtr>& candidates) {
            found = merge(candidates, ns, any_visibility, only_private, scope_);
            return !found.rules.empty();
        });
        return found;
    };
    if (!scope_.empty()) {
        if (Policies own = in(scope_, true, scope_ == kRootNamespace); !own.rules.empty()) {
            return own;
        }
    }
    if (Policies theirs = in(service_namespace, false, false); !theirs.rules.empty()) {
        return theirs;
    }
    return in(kRootNamespace, false, false);
}

}  // namespace sluice::model
