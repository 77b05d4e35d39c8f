#include "daemon/memory.h"

#include <malloc.h>
#include <unistd.h>

#include <fstream>

namespace sluice::daemon {

void prepare_memory() {
    ::mallopt(M_ARENA_MAX, 1);
    ::mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

void give_memory_back() {
    ::malloc_trim(0);
}

std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0, resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace sluice::daemon
