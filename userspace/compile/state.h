// What the publisher knows beyond the tables. Private to the room.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "compile/allocator.h"
#include "compile/identities.h"
#include "compile/plan.h"
#include "compile/publisher.h"
#include "compile/rows.h"

namespace sluice::compile {

struct ServiceKeyHash {
    std::size_t operator()(const sl_service_key& key) const {
        return static_cast<std::size_t>(Identity::of({reinterpret_cast<const char*>(&key), sizeof key}).lo);
    }
};
struct ServiceKeyEqual {
    bool operator()(const sl_service_key& a, const sl_service_key& b) const {
        return std::memcmp(&a, &b, sizeof a) == 0;
    }
};

enum class Life {
    kFree,
    kLive,
    kRemoved,  // gone from the generation in force; readers of older ones may still see it
    kErased,   // services: its key is out of the index too; it waits for connections, or to be wanted again
};

struct ServiceState {
    Life life = Life::kFree;
    sl_service_key key{};
    model::ServicePortPtr owner;       // null: adopted, not seen since
    std::uint64_t stamp = 0;           // of its retirement
    std::uint64_t changed = 0;         // generation that last wrote its slots
    std::vector<std::uint32_t> older;  // rows that are not in force but not free yet
};

struct ClusterState {
    Life life = Life::kFree;
    Identity id;
    model::ClusterPtr cluster;  // null: adopted, not seen since
    std::uint64_t references = 0;
    std::uint64_t stamp = 0;
    std::uint64_t changed = 0;
    std::vector<std::uint32_t> slots;  // endpoint records in list order, also unlisted and retired ones
};

struct PortState {
    model::ServicePortPtr port;
    std::vector<std::uint32_t> records;  // one an address, as in port->addresses
};

struct ScopeState {
    std::uint32_t number = 0;
    std::uint64_t references = 0;  // service ports
};

// Something that readers of an older generation may still see, or that connections still hold.
struct Retired {
    enum Kind { kRoute, kDestinations, kClusterRow, kList, kHash, kUnlisted, kEndpoint, kCluster, kService };
    Kind kind = kRoute;
    std::uint32_t index = 0;
    std::uint32_t count = 1;
    std::uint64_t stamp = 0;  // of the record when it was retired; another one there now: it came back
};

struct Publisher::Impl {
    Impl(sl_tables tables, std::span<sl_identity> identity_table, ServiceIndex& services, ClientIndex& clients,
         GracePeriod grace_period);

    // plan.cc: everything that can fail, nothing that a reader can see. On failure the plan is undone.
    Result<Plan> plan(std::span<const model::ServicePortPtr> changed, std::span<const model::ServicePortKey> removed,
                      bool everything);
    Result<> plan_ports(Plan& p, std::span<const model::ServicePortPtr> changed,
                        std::span<const model::ServicePortKey> removed, bool everything);
    Result<> plan_clusters(Plan& p, bool everything);
    Result<> plan_cluster(Plan& p, const Identity& id, const model::ClusterPtr& cluster);
    Result<> plan_endpoints(Plan& p, ClusterPlan& c);
    Result<> plan_cluster_row(Plan& p, ClusterPlan& c);
    void plan_removed_cluster(Plan& p, std::uint32_t number);
    Result<> plan_services(Plan& p, bool everything);
    Result<> plan_service(Plan& p, const sl_service_key& key, const model::ServicePortPtr& port,
                          const std::vector<sl_destination>& destinations);
    Result<std::uint32_t> take_row(Plan& p, TableName table);
    Result<std::uint32_t> take_range(Plan& p, TableName table, std::uint64_t count);
    Result<std::uint32_t> hold_identity(Plan& p, sl_identity_kind kind, const Identity& id);
    Result<std::uint32_t> new_endpoint(Plan& p, std::uint32_t cluster, const model::Endpoint& endpoint);
    Result<> insert_keys(Plan& p);
    void undo(Plan& p);
    std::unexpected<Error> full(TableName table, std::uint64_t needed) const;

    // commit.cc: cannot fail.
    std::uint64_t commit(Plan& p);
    bool overwrites_readable(const Plan& p) const;
    void commit_cluster(ClusterPlan& c, std::uint64_t generation);
    void commit_service(const ServicePlan& s, std::uint64_t generation);
    void commit_ports(Plan& p);
    Result<std::uint64_t> publish(std::span<const model::ServicePortPtr> changed,
                                  std::span<const model::ServicePortKey> removed, bool everything);
    void withdraw_unlisted(const ClusterPlan& c);
    void forget_empty_scopes(bool release);
    std::vector<std::pair<std::uint64_t, sl_client>> wanted_clients() const;
    Result<> push_clients();

    // reclaim.cc
    void run_grace();
    void settle();
    void erase_removed_keys();
    void free_retired(std::vector<Retired> retired);
    bool free_one(const Retired& r);  // false: still held
    bool free_endpoint(const Retired& r);
    bool free_cluster(const Retired& r);
    bool free_service(const Retired& r);
    void unlist(std::uint32_t endpoint);
    void retire(Retired::Kind kind, std::uint32_t index, std::uint32_t count = 1, std::uint64_t stamp = 0);

    // adopt.cc
    Result<> adopt();
    Result<> adopt_services(std::vector<bool>& routes);
    Result<> adopt_clusters();
    void adopt_endpoints();
    void adopt_route_rows(std::vector<bool>& routes);

    std::uint64_t generation() const { return sl_load(&t.control->generation); }
    // sl_endpoint.since_ds of one that comes in now. 0 before the first tick: endpoints that an agent finds at its
    // start are not new.
    std::uint32_t now_ds() const {
        return static_cast<std::uint32_t>(sl_load(&t.control->heartbeat_ns) / 100'000'000u);
    }
    // The row in force of a record; SL_NONE: none.
    std::uint32_t row_of(const sl_slot* slot) const;
    static void write_slot(sl_slot* slot, std::uint64_t generation, std::uint32_t row);
    RowAllocator& rows(TableName table);
    RangeAllocator& ranges(TableName table);
    std::uint32_t scope(const std::string& name) const;
    ServiceState& service_state(std::uint32_t number);
    ClusterState& cluster_state(std::uint32_t number);
    std::uint64_t& endpoint_stamp(std::uint32_t number);

    sl_tables t;
    ServiceIndex& service_index;
    ClientIndex& client_index;
    GracePeriod grace;
    mutable std::shared_mutex mutex;

    Identities identities;
    RowAllocator service_rows, route_rows, cluster_rows, policy_rows, endpoint_rows;
    RangeAllocator destination_ranges, list_ranges, hash_ranges;

    std::deque<ServiceState> services;  // by record number
    std::deque<ClusterState> clusters;
    std::vector<std::uint64_t> endpoint_stamps;  // 0: live
    std::unordered_map<sl_service_key, std::uint32_t, ServiceKeyHash, ServiceKeyEqual> service_by_key;
    std::unordered_map<Identity, std::uint32_t, IdentityHash> cluster_by_id;
    std::map<model::ServicePortKey, PortState> ports;
    std::map<std::string, ScopeState> scopes;

    std::vector<std::pair<std::uint64_t, model::Client>> clients;
    std::vector<std::uint32_t> client_identities;  // held for `clients`
    std::vector<std::pair<std::uint64_t, sl_client>> pushed_clients;
    bool clients_pushed = false;

    std::uint64_t stamps = 0;
    std::uint64_t settled = 0;     // every reader of a generation below this one has ended
    std::vector<Retired> retired;  // wait for a grace period
    std::vector<Retired> held;     // wait for connections to end
    std::vector<std::uint32_t> freed_clusters;
};

}  // namespace sluice::compile
