#include "proxy/cluster.h"

#include "bpf/lib/tables.h"

namespace sluice::proxy {

bool Cluster::current(const sl_tables& tables) const {
    sl_cluster* record = sl_cluster_at(&tables, number_);
    return record != nullptr && sl_load(&record->in_use) != 0 && sl_load(&record->id.hi) == model_->id.hi &&
           sl_load(&record->id.lo) == model_->id.lo;
}

std::shared_ptr<Breakers> Cluster::breakers(std::uint32_t client_workload) const {
    const std::lock_guard lock(book_->mutex);
    auto& breakers = book_->breakers[model_->limit_node ? 0 : client_workload];
    if (!breakers) {
        breakers = std::make_shared<Breakers>();
    }
    return breakers;
}

}  // namespace sluice::proxy
