// One reader a kind, and what they share. Readers report problems into the value's scope and fill what was good.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "config/http_rule.h"
#include "config/objects.h"
#include "config/value.h"

namespace sluice::config {

// ---- metadata.cc
void read_metadata(const Value& metadata, Kind kind, Metadata& out);
void read_labels(const Value& value, Labels& out);
void read_export_to(const Value& value, ExportTo& out);
// One entry of an exportTo list, `seen` entries before it.
void read_export_entry(const Value& value, std::string_view text, std::size_t seen, ExportTo& out);
// networking.istio.io/exportTo of a Service; `metadata` may be null.
void read_export_annotation(const Value& metadata, ExportTo& out);

// ---- shared by kinds
void read_hosts(const Value& list, bool lone_star, std::vector<std::string>& hosts, std::vector<Place>& places);
void read_endpoint_ports(const Value& value, PortMap::Map& out);

// ---- one a kind; `root` is the document's mapping, `spec` its spec
void read_virtual_service(const Value& spec, VirtualService& out);

// ---- destination.cc
// {host, subset, port}.
void read_destination(const Value& value, RouteDestination& out);
// A route's weighted list. `headers`: of an http route, whose elements may carry some, by index; null: of a tcp route.
void read_destinations(const Value& list, WeightedRule& rule, std::vector<HeaderOperations>* headers);
// Remembers the first thing in a rule that no connection-level lane can do.
void needs_request_lane(const Value& what, const char* advice, WeightedRule& rule);

// ---- http_rule.cc (its parts are in http.h), tcp_rule.cc
void read_http_rule(const Value& rule, WeightedRule& out);
void read_tcp_rule(const Value& rule, WeightedRule& out);
// Fields that HTTP and TCP matches share: a namespace, a list of gateways.
std::string read_match_namespace(const Value& value);
void read_match_gateways(const Value& list, bool& given, bool& mesh);

void read_destination_rule(const Value& spec, DestinationRule& out);
void read_traffic_policy(const Value& value, Boxed<TrafficPolicy>& out);
void read_load_balancer(const Value& value, std::optional<LoadBalancer>& out);
void read_connection_pool(const Value& value, std::optional<ConnectionPool>& out);
// "FIELD: advice" of the first field that needs a lane.
void remember_need(const Value& what, const char* advice, std::string& need);
// ---- hash_key.cc: the keys in a request that consistentHash and Experiment share.
void read_header_key(const Value& value, HashKey& out);
void read_query_key(const Value& value, HashKey& out);
void read_cookie_key(const Value& value, HashKey& out);
void read_cookie_name(const Value& value, HashKey& out);

void read_service_entry(const Value& spec, ServiceEntry& out);
void read_workload_entry(const Value& spec, const Metadata& meta, WorkloadEntry& out);
// The body of a WorkloadEntry, and of an endpoint in a ServiceEntry. True when an address was given.
bool read_workload(const Value& value, Endpoint& out, Labels& labels);

void read_experiment(const Value& spec, const Metadata& meta, Experiment& out);
void read_canary(const Value& spec, Canary& out);
// ---- canary_gates.cc
void read_gates(const Value& list, Canary& out);
std::string read_http_url(const Value& value);

void read_service(const Value& spec, Service& out);
void read_endpoint_slice(const Value& root, const Metadata& meta, EndpointSlice& out);

// Istio's protocol names in any case; empty: unknown. UDP gives nothing and `udp` = true.
std::optional<PortProtocol> protocol_of(std::string_view name, bool& udp);
// Port name prefix, as in "http-web"; kTcp without one.
PortProtocol protocol_of_port_name(std::string_view name);

}  // namespace sluice::config
