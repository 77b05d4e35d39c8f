// Ejections and returns as log lines with names, at a bounded rate.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "compile/publisher.h"
#include "sluice/abi/conn.h"

namespace sluice::daemon {

// "ejected 127.0.0.1:9001 from ranking.ml.svc.cluster.local:8080 subset v47 for 30.0 s: consecutive failures (…)".
std::string event_text(const sl_event& event, const compile::Publisher& publisher);

// A token bucket: `burst` lines at once, `per_second` after that.
class LogBudget {
  public:
    LogBudget(double burst, double per_second) : burst_(burst), per_second_(per_second), tokens_(burst) {}
    // Whether a line may be written. One thread.
    bool take(std::uint64_t now_ns);
    // Lines kept back since start. Any thread.
    std::uint64_t suppressed() const { return suppressed_; }

  private:
    double burst_, per_second_, tokens_;
    std::uint64_t last_ns_ = 0;
    std::atomic<std::uint64_t> suppressed_{0};
};

}  // namespace sluice::daemon
