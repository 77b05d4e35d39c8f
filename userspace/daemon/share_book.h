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

// Only routes with more than one destination have shares. A subset that several routes use counts the picks of all of
// them. Not thread-safe.
class ShareBook {
  public:
    explicit ShareBook(const compile::Publisher& publisher) : publisher_(publisher) {}

    // All services at once, after start. One that was never picked needs no entry: its base is 0.
    void begin(std::span<const model::ServicePortPtr> services, std::uint64_t generation);
    void changed(std::span<const model::ServicePortPtr> services, std::uint64_t generation);
    void removed(std::span<const model::ServicePortKey> services);
    // Picks since the base.
    std::optional<Shares> since(const model::ServicePort& service) const;

  private:
    std::vector<std::uint64_t> picks_now(const model::Route& route) const;

    const compile::Publisher& publisher_;
    std::uint64_t first_generation_ = 0;
    std::map<model::ServicePortKey, Shares> bases_;
};

}  // namespace sluice::daemon
