// The rings that programs write, read through libbpf.
#pragma once

#include <functional>

#include "bpf/kernel.h"

namespace sluice::bpf {

// Its address is libbpf's callback context: does not move. One thread at a time.
struct Kernel::Ring {
    ring_buffer* ring = nullptr;
    std::size_t record_size = 0;
    const std::function<void(const void*)>* sink = nullptr;

    Ring() = default;
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring();

    static Result<std::unique_ptr<Ring>> open(const Map& map, std::size_t record_size);
    // Hands on what is there, without waiting. Records that are too short are passed over.
    Result<> consume(const std::function<void(const void*)>& fn);
};

// Bytes that wait to be read in a ring map; 0 when it does not tell.
std::uint64_t ring_used(const Map& map);

}  // namespace sluice::bpf
