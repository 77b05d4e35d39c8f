#include "io/pool.h"

#include <algorithm>
#include <new>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace sluice::io {
namespace {

constexpr std::uint64_t kSlab = 64;       // buffers
constexpr std::size_t kCacheLine = 64;    // the header fills one, so the octets begin at the next
constexpr std::align_val_t kAlign{4096};  // slabs

}  // namespace

Pool::Pool(std::uint32_t octets, std::uint32_t max) : octets_(octets), max_(std::max(max, 1u)) {}

Pool::~Pool() {
    for (void* slab : slabs_) {
        ::operator delete(slab, kAlign);
    }
}

// Pages of a slab cost memory only once they are written, so a slab is cut whole.
bool Pool::grow(std::uint64_t up_to) {
    if (allocated_ >= up_to) {
        return false;
    }
    const std::uint64_t count = std::min(kSlab, up_to - allocated_);
    const std::size_t stride = kCacheLine + (octets_ + kCacheLine - 1) / kCacheLine * kCacheLine;
    char* at = static_cast<char*>(::operator new(count* stride, kAlign));
    slabs_.push_back(at);
    allocated_ += count;
    free_.reserve(allocated_);
    for (std::uint64_t i = 0; i < count; ++i, at += stride) {
        free_.push_back(new (at) Buffer{this, 0, octets_, at + kCacheLine});
        ASAN_POISON_MEMORY_REGION(at + kCacheLine, octets_);
    }
    return true;
}

Buffer* Pool::pop() {
    Buffer* buffer = free_.back();
    free_.pop_back();
    ASAN_UNPOISON_MEMORY_REGION(buffer->octets, buffer->capacity);
    buffer->references = 1;
    return buffer;
}

Buffer* Pool::take_beyond() {
    if (free_.empty() && !grow(max_)) {
        grow(allocated_ + 1);
    }
    return pop();
}

void Pool::give(Buffer* buffer) {
    ASAN_POISON_MEMORY_REGION(buffer->octets, buffer->capacity);
    free_.push_back(buffer);
}

void recycle(Buffer* buffer) {
    buffer->pool->give(buffer);
}

}  // namespace sluice::io
