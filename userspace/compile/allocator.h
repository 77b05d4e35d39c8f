// Who owns which row of a table. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "sluice/abi/base.h"

namespace sluice::compile {

// Single rows; amortised O(1). A freed row is the last to be used again, so that numbers in counters that outlive
// their row stay unambiguous for long.
class RowAllocator {
  public:
    explicit RowAllocator(std::uint64_t capacity = 0) : capacity_(capacity) {}

    // SL_NONE: full.
    std::uint32_t take() {
        if (fresh_ < capacity_) {
            ++used_;
            return static_cast<std::uint32_t>(fresh_++);
        }
        if (free_.empty()) {
            return SL_NONE;
        }
        const std::uint32_t row = free_.front();
        free_.pop_front();
        ++used_;
        return row;
    }
    void give_back(std::uint32_t row) {
        free_.push_back(row);
        --used_;
    }
    // Starts over with what an earlier agent left: rows i with taken[i] are in use, those from taken.size() on are not.
    void adopt(const std::vector<bool>& taken) {
        free_.clear();
        fresh_ = taken.size();
        used_ = 0;
        for (std::uint32_t row = 0; row < taken.size(); ++row) {
            if (taken[row]) {
                ++used_;
            } else {
                free_.push_back(row);
            }
        }
    }
    std::uint64_t used() const { return used_; }
    std::uint64_t capacity() const { return capacity_; }

  private:
    std::uint64_t capacity_;
    std::uint64_t fresh_ = 0;
    std::uint64_t used_ = 0;
    std::deque<std::uint32_t> free_;
};

// Contiguous ranges, best fit, neighbours joined; O(log n).
class RangeAllocator {
  public:
    explicit RangeAllocator(std::uint64_t capacity = 0) : capacity_(capacity) {
        if (capacity != 0) {
            insert(0, capacity);
        }
    }

    // First row of `count` > 0 rows; SL_NONE: no gap is wide enough.
    std::uint32_t take(std::uint64_t count) {
        const auto gap = by_size_.lower_bound({count, 0});
        if (gap == by_size_.end()) {
            return SL_NONE;
        }
        const auto [size, first] = *gap;
        erase(first, size);
        if (size > count) {
            insert(first + count, size - count);
        }
        used_ += count;
        return static_cast<std::uint32_t>(first);
    }
    void give_back(std::uint64_t first, std::uint64_t count) {
        used_ -= count;
        const auto next = gaps_.lower_bound(first);
        std::uint64_t begin = first, end = first + count;
        if (next != gaps_.end() && next->first == end) {
            const auto [next_first, next_size] = *next;
            end += next_size;
            erase(next_first, next_size);
        }
        const auto after = gaps_.lower_bound(first);
        if (after != gaps_.begin()) {
            const auto [before_first, before_size] = *std::prev(after);
            if (before_first + before_size == first) {
                begin = before_first;
                erase(before_first, before_size);
            }
        }
        insert(begin, end - begin);
    }
    // Takes exactly this range, which an earlier agent left. False: out of bounds or partly taken already.
    bool reserve(std::uint64_t first, std::uint64_t count) {
        auto gap = gaps_.upper_bound(first);
        if (count == 0 || gap == gaps_.begin()) {
            return count == 0;
        }
        --gap;
        const auto [gap_first, gap_size] = *gap;
        if (first + count > gap_first + gap_size) {
            return false;
        }
        erase(gap_first, gap_size);
        if (first > gap_first) {
            insert(gap_first, first - gap_first);
        }
        if (gap_first + gap_size > first + count) {
            insert(first + count, gap_first + gap_size - first - count);
        }
        used_ += count;
        return true;
    }
    std::uint64_t used() const { return used_; }
    std::uint64_t capacity() const { return capacity_; }

  private:
    void insert(std::uint64_t first, std::uint64_t size) {
        gaps_.emplace(first, size);
        by_size_.emplace(size, first);
    }
    void erase(std::uint64_t first, std::uint64_t size) {
        gaps_.erase(first);
        by_size_.erase({size, first});
    }

    std::uint64_t capacity_;
    std::uint64_t used_ = 0;
    std::map<std::uint64_t, std::uint64_t> gaps_;                // first -> size
    std::set<std::pair<std::uint64_t, std::uint64_t>> by_size_;  // size, first
};

}  // namespace sluice::compile
