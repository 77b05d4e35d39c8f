// Host names as rules write them, and what config objects say in common.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/objects.h"

namespace sluice::model {

// Lower case, without a trailing dot.
std::string canonical_host(std::string_view host);
bool is_wildcard(std::string_view host);
// NAME.NS.svc.cluster.local.
std::string cluster_host(std::string_view name, std::string_view ns);
// What a host in a rule of namespace `ns` can mean, best reading first: a name with a dot (or `*`) is literal; a short
// name is NAME.NS.svc.cluster.local, or else a ServiceEntry that has exactly the short name as its host.
std::vector<std::string> readings(std::string_view host, std::string_view ns);

// Kind-independent views of a ServiceEntry or Service; empty for other kinds.
std::vector<std::string> service_hosts(const config::Object& object);
std::span<const config::ServicePort> service_ports(const config::Object& object);
const config::ServicePort* service_port(const config::Object& object, std::uint16_t number);
std::span<const IpAddress> service_addresses(const config::Object& object);
config::Place service_address_place(const config::Object& object, std::size_t index);
// The exportTo of a VirtualService, DestinationRule, ServiceEntry or Service; null for other kinds.
const config::ExportTo* export_of(const config::Object& object);
// Whether clients of `scope` ("": those of any namespace) see the object.
bool visible(const config::Object& object, const std::string& scope);
// Labels that choose a service's WorkloadEntries; null: none.
const config::Labels* workload_selector(const config::Object& object);
bool matches(const config::Labels& labels, const config::Labels& wanted);

// Namespaces that an object is shown to by name or has rules for, and those whose clients prefer it.
std::set<std::string> special_namespaces(const config::Object& object);
// Every host that a VirtualService sends to, in every reading.
std::set<std::string> destination_hosts(const config::Object& object);

// Order of rules that compete: oldest first, then name, then namespace. A rule without creationTimestamp is oldest.
bool older(const config::Object& a, const config::Object& b);

}  // namespace sluice::model
