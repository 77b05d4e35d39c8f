// One publication, worked out before anything is visible. Private to the room.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/identity.h"
#include "model/mesh.h"
#include "sluice/abi/tables.h"

namespace sluice::compile {

enum class TableName {
    kServices,
    kRoutes,
    kDestinations,
    kClusters,
    kClusterRows,
    kEndpointList,
    kEndpoints,
    kHashEntries,
    kIdentities,
};
const char* table_name(TableName table);  // as in --capacity NAME=N

struct ClusterPlan {
    std::uint32_t number = SL_NONE;
    model::ClusterPtr cluster;  // null: removed
    bool created = false;
    bool publishes = false;  // its slot changes, to `row`
    std::uint32_t row = SL_NONE;
    bool new_list = false;
    bool new_hash = false;
    std::vector<std::uint32_t> slots;                                // afterwards, in list order
    std::vector<std::uint32_t> listed;                               // of these, who takes new connections
    std::vector<std::uint32_t> revived;                              // retired ones that are wanted again
    std::vector<std::uint32_t> dropped;                              // live ones that are not wanted any more
    std::vector<std::pair<std::uint32_t, std::uint32_t>> workloads;  // endpoint -> new workload number
};

struct ServicePlan {
    std::uint32_t number = SL_NONE;
    model::ServicePortPtr port;  // null: removed
    bool created = false;
    bool indexes = false;    // its key may not be in the index yet
    bool publishes = false;  // its slot changes, to `row`
    std::uint32_t row = SL_NONE;
};

struct PortPlan {
    model::ServicePortKey key;
    model::ServicePortPtr port;  // null: removed
};

struct Plan {
    std::uint64_t generation = 0;  // that this plan makes, if it changes what readers see
    bool rules_changed = false;    // of the proxy lane: they are in no table, but a generation tells them apart
    std::vector<PortPlan> ports;
    std::vector<ClusterPlan> clusters;
    std::vector<ServicePlan> services;
    std::unordered_map<Identity, std::int64_t, IdentityHash> references;  // change of cluster references
    std::unordered_map<Identity, model::ClusterPtr, IdentityHash> wanted_clusters;
    std::unordered_map<Identity, std::uint32_t, IdentityHash> cluster_numbers;
    std::map<std::string, std::int64_t> scope_references;  // change
    std::map<std::string, std::uint32_t> scope_numbers;

    // What to give back when the plan is not carried out.
    std::vector<std::pair<TableName, std::uint32_t>> taken_rows;
    struct Range {
        TableName table;
        std::uint32_t first;
        std::uint32_t count;
    };
    std::vector<Range> taken_ranges;
    std::vector<std::uint32_t> held_identities;
    std::vector<sl_service_key> inserted_keys;

    bool changes_generation() const;
};

}  // namespace sluice::compile
