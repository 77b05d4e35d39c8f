// The buffers of one loop: cut from slabs that live as long as the pool, given out last-in first-out because what was
// used last is in the cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "io/slice.h"

namespace sluice::io {

class Pool {
  public:
    // Buffers of `octets` each, at most `max` of them (but see take_beyond()).
    Pool(std::uint32_t octets, std::uint32_t max);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // A buffer with one reference; null: all are used.
    Buffer* take() { return free_.empty() && !grow(max_) ? nullptr : pop(); }
    // The same for octets that must go somewhere: the pool may grow beyond its bound.
    Buffer* take_beyond();
    void give(Buffer* buffer);

    bool available() const { return !free_.empty() || allocated_ < max_; }
    std::uint32_t octets() const { return octets_; }
    std::uint32_t max() const { return max_; }
    std::uint64_t allocated() const { return allocated_; }
    std::uint64_t taken() const { return allocated_ - free_.size(); }

  private:
    bool grow(std::uint64_t up_to);
    Buffer* pop();

    const std::uint32_t octets_;
    const std::uint32_t max_;
    std::uint64_t allocated_ = 0;
    std::vector<void*> slabs_;
    std::vector<Buffer*> free_;
};

}  // namespace sluice::io
