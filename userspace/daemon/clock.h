// CLOCK_MONOTONIC, which programs read as bpf_ktime_get_ns().
#pragma once

#include <time.h>

#include <cstdint>

namespace sluice::daemon {

inline std::uint64_t monotonic_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace sluice::daemon
