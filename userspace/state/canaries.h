// What a canary leaves in the state database: its state, as the rollout room writes it, and its steps.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sluice::state {

struct CanaryRow {
    std::string ns;
    std::string name;
    bool active = false;  // it is not over: never dropped to make room
    std::string state;    // JSON
};

struct CanaryStep {
    std::chrono::system_clock::time_point time;
    std::string from, to;  // phases
    std::size_t stage = 0;
    std::uint32_t weight = 0;
    std::string who;
    std::string reason;
    bool operator==(const CanaryStep&) const = default;
};

}  // namespace sluice::state
