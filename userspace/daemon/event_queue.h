// Events of worker threads, on their way to the control thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "sluice/abi/conn.h"

namespace sluice::daemon {

// Any thread. Bounded: what does not fit is counted; as with the kernel's ring only the notice is lost.
class EventQueue {
  public:
    static constexpr std::size_t kMost = 4096;

    explicit EventQueue(std::function<void()> wake) : wake_(std::move(wake)) {}
    void put(const sl_event& event) {
        {
            const std::lock_guard lock(mutex_);
            if (events_.size() >= kMost) {
                ++lost_;
                return;
            }
            events_.push_back(event);
        }
        wake_();
    }
    std::vector<sl_event> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(events_, {});
    }
    std::uint64_t lost() const { return lost_; }

  private:
    std::function<void()> wake_;
    std::mutex mutex_;
    std::vector<sl_event> events_;
    std::atomic<std::uint64_t> lost_{0};
};

}  // namespace sluice::daemon
