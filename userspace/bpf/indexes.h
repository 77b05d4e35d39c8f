// The two hash maps that the agent fills, as the publisher sees them.
#pragma once

#include "bpf/map.h"
#include "compile/publisher.h"

namespace sluice::bpf {

// Over the map service_index, which must outlive it.
class KernelServiceIndex final : public compile::ServiceIndex {
  public:
    explicit KernelServiceIndex(const Map& map) : map_(map) {}
    Result<> insert(const sl_service_key& key, std::uint32_t service) override;
    Result<> erase(const sl_service_key& key) override;

  private:
    const Map& map_;
};

// Over the map clients and the count in the control table, which must outlive it.
class KernelClientIndex final : public compile::ClientIndex {
  public:
    KernelClientIndex(const Map& map, sl_control& control) : map_(map), control_(control) {}
    // Adds and changes before it removes, so that a client that stays is known throughout. What does not fit is an
    // error; the others are in force then.
    Result<> replace(const std::vector<std::pair<std::uint64_t, sl_client>>& clients) override;

  private:
    const Map& map_;
    sl_control& control_;
};

}  // namespace sluice::bpf
