// Waiting that ends at once when the user wants to leave: SIGINT and SIGTERM as something to poll.
#pragma once

#include <chrono>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::ctl {

// From construction on those signals (and SIGWINCH) are blocked for this thread and wait in a descriptor; destruction
// restores the mask.
class Stopper {
  public:
    static Result<Stopper> make();
    Stopper(Stopper&&) noexcept = default;
    ~Stopper();

    enum class Woken { kTime, kStop, kResized, kInput };
    // Until the time is over, a signal comes or `input` (-1: none) is readable.
    Woken wait(std::chrono::milliseconds time, int input = -1) const;
    // Waits; true: a signal came before the time was over.
    bool stopped_within(std::chrono::milliseconds time) const;

  private:
    explicit Stopper(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

}  // namespace sluice::ctl
