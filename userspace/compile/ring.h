// Hash tables of a cluster, as Envoy builds them (source/extensions/load_balancing_policies/{ring_hash,maglev}).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sluice/abi/tables.h"

namespace sluice::compile {

// Both take one key an endpoint ("ip:port", in the order of the endpoint list) of equal weight. No keys: no entries.

// Ring hash: ceil(minimum_size / endpoints) nodes for each, node i at XXH64("<key>_<i>"); sorted by hash.
std::vector<sl_hash_entry> build_ring(std::span<const std::string> keys, std::uint32_t minimum_size);
// Its number of entries for that many keys.
std::size_t ring_size(std::size_t keys, std::uint32_t minimum_size);

// Maglev (Eisenbud et al. 2016): exactly `size` slots, size a prime above the number of keys.
std::vector<sl_hash_entry> build_maglev(std::span<const std::string> keys, std::uint32_t size);

}  // namespace sluice::compile
