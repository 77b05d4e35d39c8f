// A list that one thread appends to while others read it, without a lock on either side.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <utility>

namespace sluice::proxy {

// Elements never move and never go. What an element holds when it is pushed may be read by any thread afterwards; what
// the writer changes later must be atomic, or its own. At most kMost elements.
template <typename T, std::size_t kMost, std::size_t kChunk = 16>
class AppendList {
    static_assert(kMost % kChunk == 0);

  public:
    AppendList() = default;
    AppendList(const AppendList&) = delete;
    AppendList& operator=(const AppendList&) = delete;
    ~AppendList() {
        for (const std::atomic<T*>& chunk : chunks_) {
            delete[] chunk.load(std::memory_order_relaxed);
        }
    }

    std::size_t size() const { return size_.load(std::memory_order_acquire); }
    bool full() const { return size_.load(std::memory_order_relaxed) == kMost; }
    // The writer; not when full().
    T& push(T value) {
        const std::size_t at = size_.load(std::memory_order_relaxed);
        std::atomic<T*>& chunk = chunks_[at / kChunk];
        if (at % kChunk == 0) {
            chunk.store(new T[kChunk], std::memory_order_relaxed);
        }
        T& made = chunk.load(std::memory_order_relaxed)[at % kChunk];
        made = std::move(value);
        size_.store(at + 1, std::memory_order_release);
        return made;
    }
    // Of the elements that size() told.
    const T& operator[](std::size_t i) const { return chunks_[i / kChunk].load(std::memory_order_relaxed)[i % kChunk]; }

  private:
    std::atomic<std::size_t> size_{0};
    std::array<std::atomic<T*>, kMost / kChunk> chunks_{};
};

}  // namespace sluice::proxy
