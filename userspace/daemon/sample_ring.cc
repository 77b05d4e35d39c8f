#include "daemon/sample_ring.h"

#include <algorithm>

namespace sluice::daemon {

void SampleRing::push(const proxy::Sample& sample) {
    if (kept_.size() < size_) {
        kept_.push_back(sample);
    } else {
        kept_[next_ % size_] = sample;
    }
    ++next_;
}

SampleRing::Taken SampleRing::since(std::uint64_t from, std::size_t limit,
                                    const std::function<bool(const proxy::Sample&)>& wanted) const {
    const std::uint64_t oldest = next_ - kept_.size();
    Taken taken;
    if (from > next_) {
        from = oldest;
    }
    taken.next = std::max(from, oldest);
    taken.skipped = taken.next - from;
    for (; taken.next < next_ && taken.samples.size() < limit; ++taken.next) {
        const proxy::Sample& sample = kept_[taken.next % size_];
        if (wanted(sample)) {
            taken.samples.push_back(sample);
        }
    }
    return taken;
}

}  // namespace sluice::daemon
