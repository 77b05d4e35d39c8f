// Tables, index and clients in plain memory: for tests and for explaining rules without an agent.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "compile/publisher.h"

namespace sluice::compile {

struct HeapCapacities {
    std::uint32_t services = 1024;
    std::uint32_t routes = 4096;
    std::uint32_t destinations = 8192;
    std::uint32_t clusters = 2048;
    std::uint32_t cluster_rows = 4096;
    std::uint32_t endpoint_list = 32768;
    std::uint32_t endpoints = 16384;
    std::uint32_t hash_entries = 262144;
    std::uint32_t identities = 2048;
};

// Owns the memory; outlives every Publisher and sl_tables made from it. The indexes are thread-safe.
class HeapTables {
  public:
    explicit HeapTables(const HeapCapacities& capacities = {});

    sl_tables tables();
    std::span<sl_identity> identities() { return identities_; }
    ServiceIndex& services() { return services_; }
    ClientIndex& clients() { return clients_; }

    // What a program finds for a dialled address: the client's own scope first, then scope 0. SL_NONE: nothing.
    std::uint32_t find(const IpAddress& address, std::uint16_t port, std::uint32_t scope = 0) const;
    // Who asks from a cgroup; {0, 0} when unknown.
    sl_client client(std::uint64_t cgroup) const;
    std::size_t keys() const;
    // From now on the indexes refuse more than this many entries.
    void limit_keys(std::size_t most) { services_.most = most; }

  private:
    struct KeyLess {
        bool operator()(const sl_service_key& a, const sl_service_key& b) const;
    };
    struct Services : ServiceIndex {
        Result<> insert(const sl_service_key& key, std::uint32_t service) override;
        Result<> erase(const sl_service_key& key) override;
        mutable std::mutex mutex;
        std::map<sl_service_key, std::uint32_t, KeyLess> entries;
        std::size_t most = SIZE_MAX;
    };
    struct Clients : ClientIndex {
        Result<> replace(const std::vector<std::pair<std::uint64_t, sl_client>>& clients) override;
        mutable std::mutex mutex;
        std::map<std::uint64_t, sl_client> entries;
    };

    sl_control control_{};
    std::vector<sl_service> service_rows_;
    std::vector<sl_route> routes_;
    std::vector<sl_destination> destinations_;
    std::vector<sl_cluster> clusters_;
    std::vector<sl_cluster_row> cluster_rows_;
    std::vector<__u32> endpoint_list_;
    std::vector<sl_endpoint> endpoints_;
    std::vector<sl_health> health_;
    std::vector<sl_hash_entry> hash_entries_;
    std::vector<sl_identity> identities_;
    Services services_;
    Clients clients_;
};

}  // namespace sluice::compile
