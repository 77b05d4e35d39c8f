#include "io/wheel.h"

#include <algorithm>
#include <bit>

#include "io/core.h"

namespace sluice::io {

void Timer::start(std::chrono::nanoseconds after) {
    Core& core = static_cast<Core&>(loop_);
    const auto wait = static_cast<std::uint64_t>(std::max<std::chrono::nanoseconds::rep>(after.count(), 0));
    core.wheel().start(*this, core.now_ns() + wait);
}

void Timer::stop() {
    if (running_) {
        static_cast<Core&>(loop_).wheel().stop(*this);
    }
}

void TimerWheel::unlink(Timer& timer) {
    *timer.previous_ = timer.next_;
    if (timer.next_ != nullptr) {
        timer.next_->previous_ = timer.previous_;
    }
}

void TimerWheel::start(Timer& timer, std::uint64_t due_ns) {
    const std::uint64_t due = std::max((due_ns + kTickNs - 1) / kTickNs, tick_ + 1);
    if (timer.running_) {
        if (timer.due_ == due) {
            return;
        }
        unlink(timer);
    } else {
        timer.running_ = true;
        ++running_;
    }
    timer.due_ = due;
    put(timer);
}

void TimerWheel::stop(Timer& timer) {
    unlink(timer);
    timer.running_ = false;
    --running_;
}

// Level n holds what is due within 256^(n+1) ticks, in the slot of the due tick's n-th octet. A slot's bit stays set
// when its last timer stops; advance() clears it in passing.
void TimerWheel::put(Timer& timer) {
    const std::uint64_t reach = (std::uint64_t{1} << (kLevels * kBits)) - 1;
    const std::uint64_t at = std::min(timer.due_, tick_ + reach);
    const std::uint64_t apart = at ^ tick_;
    const int level = std::min((63 - std::countl_zero(apart | 1)) / kBits, kLevels - 1);
    const std::size_t slot = (at >> (level * kBits)) % kSlots;
    Level& to = levels_[static_cast<std::size_t>(level)];
    to.used[slot / 64] |= std::uint64_t{1} << (slot % 64);
    timer.next_ = to.slots[slot];
    if (timer.next_ != nullptr) {
        timer.next_->previous_ = &timer.next_;
    }
    timer.previous_ = &to.slots[slot];
    to.slots[slot] = &timer;
}

// Moves a slot's list to `head`, so that timers started by callbacks do not join it.
Timer* TimerWheel::take(Level& level, std::size_t slot, Timer*& head) {
    head = level.slots[slot];
    level.slots[slot] = nullptr;
    level.used[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
    if (head != nullptr) {
        head->previous_ = &head;
    }
    return head;
}

// At the first tick of a slot of a higher level, its timers move down.
void TimerWheel::cascade() {
    for (int i = 1; i < kLevels && (tick_ & ((std::uint64_t{1} << (i * kBits)) - 1)) == 0; ++i) {
        Level& level = levels_[static_cast<std::size_t>(i)];
        Timer* head = nullptr;
        take(level, (tick_ >> (i * kBits)) % kSlots, head);
        while (head != nullptr) {
            Timer& timer = *head;
            unlink(timer);
            put(timer);
        }
    }
}

void TimerWheel::fire_slot(std::size_t slot) {
    Timer* head = nullptr;
    take(levels_[0], slot, head);
    while (head != nullptr) {
        Timer& timer = *head;
        stop(timer);
        timer.call_(timer);
    }
}

std::size_t TimerWheel::distance(const Level& level, std::size_t from) {
    for (std::size_t i = 0; i <= kSlots / 64; ++i) {
        const std::size_t word = (from / 64 + i) % (kSlots / 64);
        std::uint64_t bits = level.used[word];
        if (i == 0) {
            bits &= ~std::uint64_t{0} << (from % 64);
        }
        if (bits != 0) {
            const std::size_t slot = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
            return (slot + kSlots - from) % kSlots;
        }
    }
    return kSlots;
}

void TimerWheel::advance(std::uint64_t now_ns) {
    const std::uint64_t now = now_ns / kTickNs;
    while (tick_ < now) {
        if (running_ == 0) {
            tick_ = now;
            return;
        }
        // Empty ticks are passed in one step, but each start of a higher slot is visited.
        const std::uint64_t border = (tick_ / kSlots + 1) * kSlots;
        const std::size_t ahead = distance(levels_[0], (tick_ + 1) % kSlots);
        tick_ = std::min({now, border, tick_ + 1 + ahead});
        if (tick_ % kSlots == 0) {
            cascade();
        }
        fire_slot(tick_ % kSlots);
    }
}

std::uint64_t TimerWheel::next_ns() const {
    if (running_ == 0) {
        return kNever;
    }
    const std::size_t ahead = distance(levels_[0], (tick_ + 1) % kSlots);
    const std::uint64_t border = (tick_ / kSlots + 1) * kSlots;
    if (ahead < kSlots && tick_ + 1 + ahead <= border) {
        return (tick_ + 1 + ahead) * kTickNs;
    }
    // Nothing before the border: the next used slot of the second level, or where that level ends.
    const std::size_t slots = distance(levels_[1], (border / kSlots) % kSlots);
    const std::uint64_t end = (tick_ / (kSlots * kSlots) + 1) * kSlots * kSlots;
    return std::min(end, slots == kSlots ? end : border + slots * kSlots) * kTickNs;
}

}  // namespace sluice::io
