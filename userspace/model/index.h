// Who names whom: from a host to the objects that declare, route, shape or use it, from labels to WorkloadEntries. One
// change is linked in or out in constant time, and what depends on it is found without a scan (wildcard rules excepted:
// they look at every host once).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/mesh.h"
#include "model/names.h"

namespace sluice::model {

// Everything that names one host. A short name is listed under each of its readings.
struct HostEntry {
    std::vector<config::ObjectPtr> services;  // ServiceEntries and Services that declare it
    std::vector<config::ObjectPtr> rules;     // VirtualServices with this host
    std::vector<config::ObjectPtr> policies;  // DestinationRules of this host
    std::vector<config::ObjectPtr> users;     // VirtualServices with a destination here
    std::vector<config::ObjectPtr> slices;    // EndpointSlices of the Kubernetes Service
    std::vector<config::ObjectPtr> experiments;
    std::vector<config::ObjectPtr> canaries;
    bool empty() const {
        return services.empty() && rules.empty() && policies.empty() && users.empty() && slices.empty() &&
               experiments.empty() && canaries.empty();
    }
};

// What a change makes stale. Objects in it may be gone by the time it is read.
struct Touched {
    std::set<std::string> hosts;         // their routes
    std::set<std::string> destinations;  // their clusters
    std::set<config::ObjectPtr> rules;   // VirtualServices and DestinationRules whose references are to be checked
    std::set<config::ObjectPtr>
        services;  // ServiceEntries and Services whose addresses and endpoints are to be checked
};

class Index {
  public:
    void link(const config::ObjectPtr& object) { edit(object, true); }
    // Undoes link() of the same pointer.
    void unlink(const config::ObjectPtr& object) { edit(object, false); }

    // Adds all that depends on `object` as things stand.
    void touch(const config::ObjectPtr& object, Touched& touched) const;
    // Adds all that clients of a namespace could see otherwise than everybody.
    void touch_namespace(const std::string& ns, Touched& touched) const;

    const HostEntry* find(const std::string& host) const;
    bool is_service(const std::string& host) const;
    // The service that a host in a rule of namespace `ns` means; the first reading if there is none.
    std::string resolve(std::string_view host, std::string_view ns) const;
    // VirtualServices for a service host: exact ones, or wildcards, most specific first. Stops when `visit` returns
    // true.
    void for_each_rules(const std::string& host,
                        const std::function<bool(const std::vector<config::ObjectPtr>&)>& visit) const;
    // DestinationRules in the same order.
    void for_each_policies(const std::string& host,
                           const std::function<bool(const std::vector<config::ObjectPtr>&)>& visit) const;
    // Experiments of namespace `ns` for a host, oldest first.
    std::vector<config::ObjectPtr> experiments(const std::string& host, const std::string& ns) const;
    // Canaries for a host, oldest first.
    std::vector<config::ObjectPtr> canaries(const std::string& host) const;
    // WorkloadEntries with an address that a ServiceEntry or Service selects.
    void for_each_workload(const config::Object& service,
                           const std::function<void(const config::ObjectPtr&)>& visit) const;
    // Services that claim an address and port.
    void for_each_claim(const IpAddress& address, std::uint16_t port,
                        const std::function<void(const config::Object&)>& visit) const;

    // WorkloadEntries that are clients.
    const std::map<config::ObjectKey, config::ObjectPtr>& clients() const { return clients_; }
    // Their namespaces, with how many clients each has.
    const std::map<std::string, int>& client_namespaces() const { return client_namespaces_; }
    // Namespaces, with or without clients, in which a host could look otherwise than to everybody.
    std::set<std::string> scopes_of(const std::string& host) const;

  private:
    using Objects = std::vector<config::ObjectPtr>;
    struct Claim {
        IpAddress address;
        std::uint16_t port;
        bool operator==(const Claim&) const = default;
    };
    struct ClaimHash {
        std::size_t operator()(const Claim& claim) const;
    };

    static std::uint64_t label_hash(std::string_view ns, std::string_view label, std::string_view value);
    void edit(const config::ObjectPtr& object, bool add);
    void edit_host(const std::string& host, Objects HostEntry::*list, const config::ObjectPtr& object, bool add);
    void edit_claims(const config::ObjectPtr& object, bool add);
    void edit_rule(const config::ObjectPtr& object, bool add);
    void edit_workload(const config::ObjectPtr& object, bool add);
    void touch_destination(const std::string& host, Touched& touched) const;
    void touch_service(const config::ObjectPtr& object, Touched& touched) const;
    void touch_hosts(std::string_view host, const std::string& ns, bool as_destination, Touched& touched) const;

    std::unordered_map<std::string, HostEntry> hosts_;
    std::map<std::string, Objects> wildcard_rules_, wildcard_policies_;  // by suffix: "*.x" is ".x", "*" is ""
    // Hash of (namespace, label, value): WorkloadEntries with that label; services whose selector begins with it. A
    // collision only adds candidates: the labels are compared again.
    std::unordered_map<std::uint64_t, Objects> workloads_, selectors_;
    std::unordered_map<std::string, Objects> scoped_;  // namespace: objects that its clients see otherwise
    std::unordered_multimap<Claim, const config::Object*, ClaimHash> claims_;
    std::map<config::ObjectKey, config::ObjectPtr> clients_;
    std::map<std::string, int> client_namespaces_;
};

}  // namespace sluice::model
