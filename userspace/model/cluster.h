// Clusters: service port + subset, shaped by DestinationRules.
#pragma once

#include <set>
#include <string>
#include <unordered_map>

#include "model/endpoints.h"
#include "model/view.h"

namespace sluice::model {

// Equal in everything that a data plane acts on; `sources` and places do not count.
bool same_cluster(const Cluster& a, const Cluster& b);

// Why a destination has no cluster, and what to say.
struct Missing {
    enum class What { kHost, kPort, kSubset } what = What::kHost;
    std::string message;
};

// Clusters in use, by a hash of their host; holds none alive. Hosts whose hashes collide share a list.
using ClusterPool = std::unordered_map<std::uint64_t, std::vector<std::weak_ptr<const Cluster>>>;

// Builds or reuses clusters during one apply. Not thread-safe.
class Clusters {
  public:
    // `stale`: hosts whose clusters may have changed; those of other hosts come from `pool` if it has them.
    Clusters(const Index& index, Workloads& workloads, ClusterPool& pool, const std::set<std::string>& stale,
             Report& report)
        : index_(index), workloads_(workloads), pool_(pool), stale_(stale), report_(report) {}

    // Subset "": the whole service. `policies` are those that the view has for the host.
    std::expected<ClusterPtr, Missing> get(const View& view, const std::string& host, std::uint16_t port,
                                           const std::string& subset);
    // Makes what was built available to later changes, and forgets what is stale.
    void commit();

  private:
    ClusterPtr find(const std::string& host, const Identity& id) const;
    ClusterPtr build(const Identity& id, std::string name, const std::string& host, const ServiceRef& service,
                     const Policies& policies, const config::Subset* subset);
    void warn(const Cluster& cluster, const Policies& policies, const config::Subset* subset,
              const Policies::Blocks& blocks);

    const Index& index_;
    Workloads& workloads_;
    ClusterPool& pool_;
    const std::set<std::string>& stale_;
    Report& report_;
    std::unordered_map<Identity, ClusterPtr, IdentityHash> built_;
};

}  // namespace sluice::model
