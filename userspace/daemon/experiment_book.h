// Counts of experiments at the moment their present split came into force: the base of observed shares.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "admin/experiments.h"
#include "model/mesh.h"
#include "proxy/recorders.h"

namespace sluice::daemon {

// Thread-safe.
class ExperimentBook {
  public:
    // A generation is in force: experiments that are new, or that split otherwise than before, count from now on.
    void follow(const model::Mesh& mesh, const proxy::Recorders& recorders, std::uint64_t generation);
    // One row an arm that was counted since; nullopt: there is no such experiment.
    std::optional<admin::ExperimentCounts> since(const config::ObjectKey& experiment,
                                                 const proxy::Recorders& recorders) const;

  private:
    struct Base {
        std::uint64_t shape = 0;  // of everything that says who gets which arm
        admin::ExperimentCounts counts;
    };
    mutable std::mutex mutex_;
    std::map<config::ObjectKey, Base> bases_;
};

}  // namespace sluice::daemon
