// Who an endpoint or client is, in the words of Istio's metrics.
#pragma once

#include <string_view>

#include "model/mesh.h"
#include "model/pool.h"

namespace sluice::model {

class Workloads {
  public:
    // The workload of an endpoint in `ns` with these labels. `entry_name`: the WorkloadEntry's name, empty for others.
    // Equal workloads share one value.
    WorkloadPtr intern(std::string_view ns, const config::Labels& labels, std::string_view service_account,
                       std::string_view entry_name);

  private:
    WeakPool<Workload> pool_;
};

}  // namespace sluice::model
