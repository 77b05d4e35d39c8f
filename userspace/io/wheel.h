// Timers in a hierarchical wheel (Varghese and Lauck, scheme 7): starting and stopping one moves a list node.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "io/loop.h"

namespace sluice::io {

// Ticks of 1 ms. Four levels of 256 slots reach 49 days; what is further away waits in the last slot and is put again.
class TimerWheel {
  public:
    static constexpr std::uint64_t kTickNs = 1'000'000;
    static constexpr std::uint64_t kNever = ~std::uint64_t{0};

    // `now_ns`: where the wheel stands.
    explicit TimerWheel(std::uint64_t now_ns) : tick_(now_ns / kTickNs) {}
    TimerWheel(const TimerWheel&) = delete;
    TimerWheel& operator=(const TimerWheel&) = delete;

    void start(Timer& timer, std::uint64_t due_ns);
    void stop(Timer& timer);
    // Fires what is due at `now_ns`. A callback may start and stop any timer; one started now fires in a later call.
    void advance(std::uint64_t now_ns);
    // When advance() has something to do next, at the latest; kNever: no timer runs.
    std::uint64_t next_ns() const;

  private:
    static constexpr int kLevels = 4;
    static constexpr int kBits = 8;
    static constexpr std::size_t kSlots = std::size_t{1} << kBits;

    struct Level {
        std::array<Timer*, kSlots> slots{};
        std::array<std::uint64_t, kSlots / 64> used{};
    };

    void put(Timer& timer);
    static void unlink(Timer& timer);
    Timer* take(Level& level, std::size_t slot, Timer*& head);
    void cascade();
    void fire_slot(std::size_t slot);
    // Slots from `from` on, going round, until the first one that may be used; kSlots: none is.
    static std::size_t distance(const Level& level, std::size_t from);

    std::array<Level, kLevels> levels_{};
    std::uint64_t tick_;  // all up to this one has fired
    std::size_t running_ = 0;
};

}  // namespace sluice::io
