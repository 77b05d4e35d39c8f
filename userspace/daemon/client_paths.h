// cgroup paths of clients -> cgroup ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/mesh.h"

namespace sluice::daemon {

// The id by which kernel programs know the cgroup (the inode of its directory); empty when it does not exist.
std::optional<std::uint64_t> cgroup_id(const std::string& path);

// Finds the cgroups of clients. A relative path is below the cgroup2 mount. A cgroup may be made later, or be removed
// and made again with another id, so resolve() is called again and again. Not thread-safe.
class ClientPaths {
  public:
    using Resolved = std::vector<std::pair<std::uint64_t, model::Client>>;

    explicit ClientPaths(std::string mount) : mount_(std::move(mount)) {}

    void set_clients(std::vector<model::Client> clients);
    // The clients whose cgroup exists now, by id; empty when that is what the last call gave.
    std::optional<Resolved> resolve();
    std::size_t count() const { return clients_.size(); }
    std::size_t unresolved() const { return clients_.size() - ids_.size(); }

  private:
    std::string mount_;
    std::vector<model::Client> clients_;
    std::vector<std::pair<std::uint64_t, std::size_t>> ids_;  // cgroup id, index of the client
    bool fresh_ = true;                                       // clients_ changed since the last resolve()
};

}  // namespace sluice::daemon
