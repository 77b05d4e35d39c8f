// Owned maps and mappings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

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

// One that is not there is no error.
Result<> erase_entry(const Map& map, const void* key);

// for_each_entry with keys and values as what they are; `fn(const Key&, const Value&)`.
template <typename Key, typename Value, typename Fn>
Result<> for_each_entry_of(const Map& map, Fn fn) {
    return for_each_entry(map, [&](const void* key, const void* value) {
        Key k{};
        Value v{};
        std::memcpy(&k, key, sizeof k);
        std::memcpy(&v, value, sizeof v);
        fn(k, v);
    });
}

// Removes the entries that `wanted(const Key&)` names. On failure those before it are gone.
template <typename Key, typename Fn>
Result<> erase_entries(const Map& map, Fn wanted) {
    std::vector<Key> gone;
    auto read = for_each_entry(map, [&](const void* key, const void*) {
        Key k{};
        std::memcpy(&k, key, sizeof k);
        if (wanted(k)) {
            gone.push_back(k);
        }
    });
    if (!read) {
        return read;
    }
    for (const Key& key : gone) {
        if (auto done = erase_entry(map, &key); !done) {
            return done;
        }
    }
    return {};
}

// Entries of a hash map.
Result<std::uint64_t> entry_count(const Map& map);

}  // namespace sluice::bpf
