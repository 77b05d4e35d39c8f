// What the tables say about clusters, endpoints and routes now.
#pragma once

#include "admin/live.h"
#include "compile/publisher.h"
#include "daemon/share_book.h"

namespace sluice::daemon {

// Reads shared words; the publisher gives the numbers. Use while the pipeline's gate is held.
class TableLive : public admin::Live {
  public:
    TableLive(const compile::Publisher& publisher, const ShareBook& shares, std::uint64_t now_ns)
        : publisher_(publisher), shares_(shares), now_ns_(now_ns) {}

    std::optional<admin::ClusterLive> cluster(const model::Cluster& cluster) const override;
    std::vector<std::optional<admin::EndpointLive>> endpoints(const model::Cluster& cluster) const override;
    std::optional<admin::RouteLive> route(const model::ServicePort& service) const override;

  private:
    const compile::Publisher& publisher_;
    const ShareBook& shares_;
    std::uint64_t now_ns_;  // CLOCK_MONOTONIC
};

}  // namespace sluice::daemon
