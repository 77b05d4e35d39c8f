// What clients of one scope see: which service answers for a host, which VirtualService routes it, which
// DestinationRules shape it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/index.h"
#include "model/report.h"

namespace sluice::model {

struct ServiceRef {
    config::ObjectPtr object;  // null: not seen
    const config::ServicePort* port = nullptr;
};

// DestinationRules of one host in one namespace, merged: subsets by name and trafficPolicy as a whole, oldest first.
class Policies {
  public:
    std::vector<config::ObjectPtr> rules;  // oldest first; empty: no rule

    const config::Subset* subset(const std::string& name, config::ObjectPtr* from = nullptr) const;

    // Blocks in force for a port, and subset if not null; null: Istio's default. `from` is the rule that gave each.
    struct Blocks {
        const config::LoadBalancer* load_balancer = nullptr;
        const config::ConnectionPool* connection_pool = nullptr;
        const config::OutlierDetection* outlier = nullptr;
        config::ObjectPtr load_balancer_from, connection_pool_from, outlier_from;
    };
    Blocks blocks(std::uint16_t port, const config::Subset* subset) const;

    // What the oldest rule with the annotation says.
    config::LimitScope limit_scope() const;
    std::optional<config::Drain> drain() const;  // never kUnset
};

// References into the index: used and dropped within one apply.
class View {
  public:
    View(const Index& index, std::string scope) : index_(index), scope_(std::move(scope)) {}
    const std::string& scope() const { return scope_; }
    const Index& index() const { return index_; }

    // Several objects may declare host and port: the scope's own namespace, then a Kubernetes Service, then the oldest.
    // The rest is named in a warning if `report` is given.
    ServiceRef service(const std::string& host, std::uint16_t port, Report* report = nullptr) const;
    // The port that a destination without one means: `dialled` if the host has it, else its only port; 0: none.
    std::uint16_t default_port(const std::string& host, std::uint16_t dialled) const;
    // The one VirtualService whose http (or tcp) rules the host has, or null. The ones that lose are named in a
    // warning.
    config::ObjectPtr rule(const std::string& host, bool http, Report& report) const;
    Policies policies(const std::string& host, const std::string& service_namespace) const;

  private:
    const Index& index_;
    std::string scope_;
};

}  // namespace sluice::model
