// A cluster as all workers share it: its record in the tables, and what is counted against its circuit breakers.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "compile/rows.h"
#include "model/mesh.h"
#include "sluice/abi/tables.h"

namespace sluice::proxy {

// What is counted against the limits of one cluster, by client workload (or for the node, sluice.dev/limit-scope).
// Atomics: any worker; who takes gives back.
struct Breakers {
    std::atomic<std::uint32_t> connections{0};
    std::atomic<std::uint32_t> pending{0};   // requests that wait for a connection
    std::atomic<std::uint32_t> requests{0};  // under way
    std::atomic<std::uint32_t> retries{0};   // under way, their back-off included
    std::atomic<std::uint64_t> connections_overflow{0}, pending_overflow{0}, requests_overflow{0}, retries_overflow{0};
};

// One value of the model. When policy or endpoints of the same cluster change, the new table has a new object with the
// same number, which shares the breakers of the old one: limits hold over generations.
class Cluster {
  public:
    // `previous`: of the same identity; null: the first.
    Cluster(model::ClusterPtr model, std::uint32_t number, const Cluster* previous)
        : model_(std::move(model)),
          number_(number),
          book_(previous == nullptr ? std::make_shared<Book>() : previous->book_),
          warmup_(model_->warmup ? std::optional(compile::warmup_curve(*model_->warmup)) : std::nullopt) {}

    const model::Cluster& model() const { return *model_; }
    const model::ClusterPtr& shared_model() const { return model_; }
    // Its record; good while the record still has this identity, which current() checks.
    std::uint32_t number() const { return number_; }
    bool current(const sl_tables& tables) const;
    // Shared by all clients with limit_node; any thread, takes a lock: once a pool, not once a request.
    std::shared_ptr<Breakers> breakers(std::uint32_t client_workload) const;
    // The slow start of new endpoints; null: none.
    const sl_warmup* warmup() const { return warmup_ ? &*warmup_ : nullptr; }

  private:
    struct Book {
        std::mutex mutex;
        std::map<std::uint32_t, std::shared_ptr<Breakers>> breakers;
    };
    const model::ClusterPtr model_;
    const std::uint32_t number_;
    const std::shared_ptr<Book> book_;
    const std::optional<sl_warmup> warmup_;
};
using ClusterPtr = std::shared_ptr<const Cluster>;

}  // namespace sluice::proxy
