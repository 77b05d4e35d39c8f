// The last finished requests that were sampled, for those who ask from where they left off.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "proxy/sampler.h"

namespace sluice::daemon {

// A ring of fixed size; each sample has a sequence number, from 0. Not thread-safe.
class SampleRing {
  public:
    explicit SampleRing(std::size_t size) : size_(size) {}

    void push(const proxy::Sample& sample);
    // The number that the next sample will have.
    std::uint64_t next() const { return next_; }

    struct Taken {
        std::vector<proxy::Sample> samples;  // oldest first
        std::uint64_t next = 0;              // to go on from
        std::uint64_t skipped = 0;           // numbers from `from` on that were overwritten
    };
    // Those from number `from` on that `wanted` takes, `limit` at most. A number that was never given out (by an
    // earlier agent) means all that are kept.
    Taken since(std::uint64_t from, std::size_t limit, const std::function<bool(const proxy::Sample&)>& wanted) const;

  private:
    std::size_t size_;
    std::uint64_t next_ = 0;
    std::vector<proxy::Sample> kept_;  // number n at n % size_
};

}  // namespace sluice::daemon
