// Octets in reference-counted buffers of one loop's pool: read into once, passed on without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace sluice::io {

class Pool;

// A buffer's header; its octets follow it. Counted without atomics: a buffer and all its slices stay on one thread.
struct Buffer {
    Pool* pool = nullptr;
    std::uint32_t references = 0;
    std::uint32_t capacity = 0;
    char* octets = nullptr;
};

// A run of octets of one buffer, which lives as long as a slice of it does. Copies share the octets. Not thread-safe.
class Slice {
  public:
    Slice() = default;
    // Takes one reference that the caller holds already.
    Slice(Buffer* buffer, std::uint32_t offset, std::uint32_t size) : buffer_(buffer), offset_(offset), size_(size) {}
    Slice(const Slice& other) : buffer_(other.buffer_), offset_(other.offset_), size_(other.size_) {
        if (buffer_ != nullptr) {
            ++buffer_->references;
        }
    }
    Slice(Slice&& other) noexcept
        : buffer_(std::exchange(other.buffer_, nullptr)),
          offset_(other.offset_),
          size_(std::exchange(other.size_, 0)) {}
    Slice& operator=(Slice other) noexcept {
        std::swap(buffer_, other.buffer_);
        std::swap(offset_, other.offset_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Slice() { release(); }

    const char* data() const { return buffer_ == nullptr ? nullptr : buffer_->octets + offset_; }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    std::string_view text() const { return {data(), size_}; }
    // `count` octets from `from` on, sharing the buffer; both within size().
    Slice part(std::size_t from, std::size_t count) const {
        Slice out(*this);
        out.offset_ += static_cast<std::uint32_t>(from);
        out.size_ = static_cast<std::uint32_t>(count);
        return out;
    }
    void drop_front(std::size_t count) {
        offset_ += static_cast<std::uint32_t>(count);
        size_ -= static_cast<std::uint32_t>(count);
    }

  private:
    void release();

    Buffer* buffer_ = nullptr;
    std::uint32_t offset_ = 0;
    std::uint32_t size_ = 0;
};

// Gives a buffer without references back to its pool. In the room's own code.
void recycle(Buffer* buffer);

inline void Slice::release() {
    if (buffer_ != nullptr && --buffer_->references == 0) {
        recycle(buffer_);
    }
}

}  // namespace sluice::io
