// Keeping the agent small.
#pragma once

#include <cstdint>

namespace sluice::daemon {

// Before the first thread: one heap arena, so that what one thread frees another reuses, and early trimming.
void prepare_memory();
// After something large was done with.
void give_memory_back();
std::uint64_t resident_bytes();

}  // namespace sluice::daemon
