// Drains through the kernel.
#pragma once

#include "bpf/kernel.h"
#include "daemon/drain.h"

namespace sluice::daemon {

class KernelDrainTools : public DrainTools {
  public:
    explicit KernelDrainTools(bpf::Kernel& kernel) : kernel_(kernel) {}

    Result<> list(const std::function<void(const sl_connection&)>& fn) override {
        return kernel_.for_each_connection(fn);
    }
    Result<> close_gates(Gates connections) override { return kernel_.close_gates(connections); }
    void settle() override { static_cast<void>(bpf::grace_period()); }
    std::map<std::uint64_t, Error> reach(std::span<const bpf::NetnsName> names) override {
        return destroyer_.reach(names);
    }
    Result<bpf::Ended> destroy(const sl_connection& connection) override { return destroyer_.destroy(connection); }
    void release() override { destroyer_.release(); }

  private:
    bpf::Kernel& kernel_;
    bpf::SockDestroyer destroyer_;
};

}  // namespace sluice::daemon
