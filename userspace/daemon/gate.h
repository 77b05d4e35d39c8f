// The pipeline's lock: whoever changes what is in force goes before those who only look.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace sluice::daemon {

// A mutex whose holders are writers or readers, one at a time. A reader waits until no writer waits, so a long listing
// that takes the lock row by row delays an apply by one row only.
class Gate {
  public:
    class Write {
      public:
        explicit Write(Gate& gate) : gate_(gate) {
            ++gate_.writers_;
            lock_ = std::unique_lock(gate_.mutex_);
        }
        ~Write() {
            --gate_.writers_;
            lock_.unlock();
            gate_.no_writer_.notify_all();
        }
        Write(const Write&) = delete;
        Write& operator=(const Write&) = delete;

      private:
        Gate& gate_;
        std::unique_lock<std::mutex> lock_;
    };

    class Read {
      public:
        explicit Read(Gate& gate) : lock_(gate.mutex_) {
            gate.no_writer_.wait(lock_, [&] { return gate.writers_ == 0; });
        }

      private:
        std::unique_lock<std::mutex> lock_;
    };

  private:
    std::mutex mutex_;
    std::condition_variable no_writer_;
    std::atomic<int> writers_{0};  // waiting or holding
};

}  // namespace sluice::daemon
