// Whole lines from one thread to another, in bounded memory and without a lock.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace sluice::proxy {

// One thread pushes, one takes.
class LogRing {
  public:
    // `size`: a power of two.
    explicit LogRing(std::size_t size) : size_(size), octets_(std::make_unique<char[]>(size)) {}

    // The writer. False: there is no room for all of it, and nothing was put in.
    bool push(std::string_view line) {
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        if (head + line.size() - tail_seen_ > size_) {
            tail_seen_ = tail_.load(std::memory_order_acquire);
            if (head + line.size() - tail_seen_ > size_) {
                return false;
            }
        }
        const std::size_t at = head % size_;
        const std::size_t first = std::min(line.size(), size_ - at);
        std::memcpy(octets_.get() + at, line.data(), first);
        std::memcpy(octets_.get(), line.data() + first, line.size() - first);
        head_.store(head + line.size(), std::memory_order_release);
        return true;
    }
    // The writer: whether more than half of the room was taken when it last looked, and still is.
    bool half_full() {
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        if (head - tail_seen_ <= size_ / 2) {
            return false;
        }
        tail_seen_ = tail_.load(std::memory_order_acquire);
        return head - tail_seen_ > size_ / 2;
    }

    // The taker: how much there is, which ends with a whole line, and the first piece of it that lies in one.
    std::size_t used() const {
        return static_cast<std::size_t>(head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_relaxed));
    }
    std::string_view front(std::size_t most) const {
        const std::size_t at = tail_.load(std::memory_order_relaxed) % size_;
        return {octets_.get() + at, std::min(most, size_ - at)};
    }
    void pop(std::size_t octets) {
        tail_.store(tail_.load(std::memory_order_relaxed) + octets, std::memory_order_release);
    }

  private:
    const std::size_t size_;
    const std::unique_ptr<char[]> octets_;
    alignas(64) std::atomic<std::uint64_t> head_{0};
    std::uint64_t tail_seen_ = 0;  // the writer's
    alignas(64) std::atomic<std::uint64_t> tail_{0};
};

}  // namespace sluice::proxy
