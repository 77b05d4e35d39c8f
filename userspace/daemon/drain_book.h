// What the rules in force say about open connections, and what the rules before them weighed.
#pragma once

#include <chrono>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "compile/publisher.h"
#include "daemon/controller.h"
#include "daemon/drain_choice.h"

namespace sluice::daemon {

// Not thread-safe: the drain's thread. References must outlive it.
class DrainBook {
  public:
    using Time = std::chrono::steady_clock::time_point;

    // Takes what the tables say now, of an earlier agent, as the rules before the first read().
    DrainBook(Controller& controller, const compile::Publisher& publisher);

    // Reads the rules in force, a few services at a time under the pipeline's gate. A lowered weight whose generation
    // is new ends its excess from now on.
    void read();
    // No service drains.
    bool empty() const { return services_.empty(); }
    // By service record; null: nothing of it is to end.
    const DrainService* find(std::uint32_t service) const;
    // Ejections that have run out at `now_ns` (CLOCK_MONOTONIC) are over; those that a panic ignores do not count.
    DrainView view(std::uint64_t now_ns) const;

    // After the choice for a service.
    void chosen(std::uint32_t service, std::size_t connections, std::size_t for_shares, Time now);
    // After all choices. Excess is looked for until none came for a while: of the connections that ended some are
    // placed where they were. After that shares drift as clients come and go, and nobody's connection ends for it.
    void settle(Time now);
    // Some service's excess is still looked for.
    bool settling() const;

  private:
    struct Known {
        std::vector<Weights> weights;  // of routes with several destinations; the last is in force, or was
        bool settled = false;
        std::size_t base = 0;
        Time until{};
    };
    void take(std::uint32_t service, const model::Route& route);
    std::optional<Weights> in_force(std::uint32_t service) const;
    static void remember(Known& known, Weights weights);

    Controller& controller_;
    const compile::Publisher& publisher_;
    std::unordered_map<std::uint32_t, Known> known_;  // by service record
    std::unordered_map<std::uint32_t, DrainService> services_;
};

}  // namespace sluice::daemon
