// Pure translations: what one cluster or route says, as the fields of its row.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip.h"
#include "base/result.h"
#include "bpf/lib/request.h"
#include "model/mesh.h"
#include "sluice/abi/tables.h"

namespace sluice::compile {

// Everything of a cluster row but `cluster`, ranges, counts and `in_use`.
sl_cluster_row policy_row(const model::Cluster& cluster);

// True when both rows ask for the same policy; ranges, counts and references are not compared.
bool same_policy(const sl_cluster_row& a, const sl_cluster_row& b);

// Weighted destinations with their alias columns; clusters[i] is the record number of destination i (SL_NONE: NC).
// Fails when there are too many or none, or several that all weigh 0.
Result<std::vector<sl_destination>> alias_columns(const std::vector<std::uint32_t>& weights,
                                                  const std::vector<std::uint32_t>& clusters);

// The same of a route's destinations; one that is NC where a client must be refused (Route::no_fallback).
Result<std::vector<sl_destination>> route_destinations(const model::Route& route,
                                                       const std::vector<std::uint32_t>& clusters);

// The curve of a slow start (Envoy): at a part x of the duration max(minimum, x^(1/aggression)) of the full share.
sl_warmup warmup_curve(const config::Warmup& warmup);

// The ring or Maglev table of these endpoints ("ip:port", in list order); empty for other load balancers.
std::vector<sl_hash_entry> hash_table(const model::Cluster& cluster, const std::vector<std::string>& keys);

// How many entries hash_table() makes for that many endpoints.
std::size_t hash_table_entries(const model::Cluster& cluster, std::size_t endpoints);

// The order of endpoint lists: IPv4 first, then by address and port.
bool endpoint_before(const IpAddress& a, std::uint16_t a_port, const IpAddress& b, std::uint16_t b_port);

IpAddress address_of(const sl_endpoint& endpoint);
std::uint16_t port_of(const sl_endpoint& endpoint);  // host byte order

}  // namespace sluice::compile
