// Writes what the mesh says into the tables, as one generation. Pure memory: tables may be mapped kernel memory or
// plain heap (tests, offline explain). Nobody else writes rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/mesh.h"
#include "sluice/abi/conn.h"
#include "sluice/abi/tables.h"

namespace sluice::compile {

// The one structure of the decision path that is not a flat table: dialled key -> service record number.
class ServiceIndex {
  public:
    virtual ~ServiceIndex() = default;
    virtual Result<> insert(const sl_service_key& key, std::uint32_t service) = 0;  // replaces
    virtual Result<> erase(const sl_service_key& key) = 0;                          // absent is no error
};

// cgroup id -> who is asking. Filled by the publisher from Mesh::clients() once paths resolve.
class ClientIndex {
  public:
    virtual ~ClientIndex() = default;
    virtual Result<> replace(const std::vector<std::pair<std::uint64_t, sl_client>>& clients) = 0;
};

// Waits until every program run that began before the call has ended (membarrier in production). Called with and
// without the publisher's lock held; must not call back into the publisher.
using GracePeriod = std::function<void()>;

// How full each table is; for metrics and for the error when one is full. `table` is the NAME of `--capacity NAME=N`.
struct Occupancy {
    std::string table;
    std::uint64_t used = 0;
    std::uint64_t capacity = 0;
};

// Connections of one dialled service port by the rows that placed them.
struct ServiceConnections {
    std::uint64_t current = 0;  // placed by the row in force
    std::uint64_t older = 0;    // still following earlier generations
};

// Thread-safe: writers (publish, publish_all, adopt, set_clients, reclaim) exclude each other and readers by one lock;
// decisions need none. Numbers are record numbers of the tables.
class Publisher {
  public:
    // `tables`: capacities set, memory zeroed (new) or left by an earlier agent (then call adopt()). Zeroed memory is
    // recognised by control.abi_version 0 and initialised. References must outlive the publisher.
    Publisher(sl_tables tables, std::span<sl_identity> identities, ServiceIndex& services, ClientIndex& clients,
              GracePeriod grace);
    ~Publisher();
    Publisher(const Publisher&) = delete;
    Publisher& operator=(const Publisher&) = delete;

    // Rebuilds allocators and identity maps from what the tables say (after a restart), and takes back what a crash
    // left half published. Runs a grace period. Records that a later publish_all() does not name are removed by it.
    Result<> adopt();

    // Publishes the delta as one generation and returns it; on error (a table is full: named, with its capacity and
    // the flag that raises it) nothing that a reader can see has changed. No change: the current generation.
    Result<std::uint64_t> publish(const model::Delta& delta);

    // The same with the whole mesh as the wanted state: what the tables have beyond it is removed.
    Result<std::uint64_t> publish_all(const model::Mesh& mesh);
    // The same from a list, for callers without a Mesh.
    Result<std::uint64_t> publish_all(std::span<const model::ServicePortPtr> services);

    // Who is asking, by cgroup id; replaces what was set before. A client whose namespace has no services of its own
    // gets scope 0; the publisher keeps that right as services come and go.
    Result<> set_clients(std::span<const std::pair<std::uint64_t, model::Client>> clients);

    // Runs the grace period if something waits for it, and frees what is neither readable nor held any more: rows,
    // ranges, endpoint slots, cluster and service records. Returns how much still waits (for `active` to reach 0).
    std::size_t reclaim();

    // Numbers of cluster records freed since the last call, for those who count by cluster number.
    std::vector<std::uint32_t> take_freed_clusters();

    // Returns endpoints whose ejection has run out (sl_outlier_return), telling each to `on_event`. Cheap when nothing
    // is ejected.
    void sweep(std::uint64_t now_ns, const std::function<void(const sl_event&)>& on_event) const;

    std::uint64_t generation() const;
    const sl_tables& tables() const;
    std::vector<Occupancy> occupancy() const;

    model::ClusterPtr cluster(std::uint32_t number) const;              // null: unknown (adopted, rule not seen yet)
    std::uint32_t cluster_number(const Identity& id) const;             // SL_NONE: none
    std::vector<std::uint32_t> cluster_numbers() const;                 // all that routes use
    std::vector<std::uint32_t> endpoints(std::uint32_t cluster) const;  // slots, also of those that take no new ones
    std::uint32_t endpoint_number(std::uint32_t cluster, const IpAddress& address, std::uint16_t port) const;
    std::uint32_t workload_number(const Identity& id) const;               // SL_NONE: none
    model::WorkloadPtr workload(std::uint32_t number) const;               // null: unknown
    std::uint32_t scope_number(const std::string& scope) const;            // 0: all, or it has no rows of its own
    model::ServicePortPtr service(std::uint32_t number) const;             // null: unknown
    std::uint32_t service_number(const model::ServicePortKey& key) const;  // of its first address; SL_NONE
    std::vector<std::uint32_t> service_numbers(const model::ServicePortKey& key) const;  // one an address
    ServiceConnections connections(std::uint32_t service) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::compile
