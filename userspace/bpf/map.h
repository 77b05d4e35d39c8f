// Owned maps and mappings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::bpf {

// A map's descriptor with what the kernel says of it. The map lives while something refers to it: this, a pin, a
// program.
struct Map {
    Fd fd;
    std::string name;
    std::uint32_t type = 0;  // enum bpf_map_type
    std::uint32_t key_size = 0;
    std::uint32_t value_size = 0;
    std::uint32_t max_entries = 0;

    // Takes the descriptor.
    static Result<Map> of(Fd fd, std::string name);
    // Kernel memory that it holds, as the kernel accounts it; 0 when it does not tell.
    std::uint64_t bytes() const;
};

// The value of an mmapable array map in this process's memory; unmapped on destruction.
class Mapping {
  public:
    Mapping() = default;
    Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, {})) {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    static Result<Mapping> of(const Map& map);
    // Page aligned; value_size bytes, rounded up to pages.
    std::span<std::byte> data() const { return data_; }

  private:
    std::span<std::byte> data_;
};

// Calls `fn` with each key and value of a hash map (bytes as stored). Entries added or removed meanwhile may be missed.
Result<> for_each_entry(const Map& map, const std::function<void(const void* key, const void* value)>& fn);

// Entries of a hash map.
Result<std::uint64_t> entry_count(const Map& map);

}  // namespace sluice::bpf
