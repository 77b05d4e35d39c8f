// Picks of weighted destinations at the moment their route came into force: the base of observed shares.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "compile/publisher.h"
#include "model/mesh.h"

namespace sluice::daemon {

struct Shares {
    std::uint64_t generation = 0;      // that put the route in force (the first one seen, after a restart)
    std::vector<std::uint64_t> picks;  // one a destination; 0 for one without a cluster
};

// Only routes with more than one destination are kept. A subset that several routes use counts the picks of all of
// them. Not thread-safe.
class ShareBook {
  public:
    explicit ShareBook(const compile::Publisher& publisher) : publisher_(publisher) {}

    void changed(std::span<const model::ServicePortPtr> services, std::uint64_t generation);
    void removed(std::span<const model::ServicePortKey> services);
    // Picks since the base.
    std::optional<Shares> since(const model::ServicePort& service) const;

  private:
    std::vector<std::uint64_t> picks_now(const model::Route& route) const;

    const compile::Publisher& publisher_;
    std::map<model::ServicePortKey, Shares> bases_;
};

}  // namespace sluice::daemon
