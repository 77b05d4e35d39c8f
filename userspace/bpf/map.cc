#include "bpf/map.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

namespace sluice::bpf {

namespace {
constexpr std::uint32_t kBatch = 4096;
}

Result<Map> Map::of(Fd fd, std::string name) {
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) {
        return fail_errno("map " + name + ": info");
    }
    return Map{std::move(fd), std::move(name), info.type, info.key_size, info.value_size, info.max_entries};
}

std::uint64_t Map::bytes() const {
    std::ifstream in("/proc/self/fdinfo/" + std::to_string(fd.get()));
    std::string word;
    while (in >> word) {
        if (word == "memlock:") {
            std::uint64_t value = 0;
            in >> value;
            return value;
        }
    }
    return 0;
}

Mapping::~Mapping() {
    if (!data_.empty()) {
        munmap(data_.data(), data_.size());
    }
}

Result<Mapping> Mapping::of(const Map& map) {
    const std::size_t page = 4096;
    const std::size_t size = (map.value_size + page - 1) / page * page;
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd.get(), 0);
    if (memory == MAP_FAILED) {
        return fail_errno("map " + map.name + ": mmap of " + std::to_string(size) + " bytes");
    }
    Mapping result;
    result.data_ = {static_cast<std::byte*>(memory), size};
    return result;
}

Result<> for_each_entry(const Map& map, const std::function<void(const void*, const void*)>& fn) {
    std::vector<std::byte> keys(std::size_t{kBatch} * map.key_size);
    std::vector<std::byte> values(std::size_t{kBatch} * map.value_size);
    // The kernel keeps its place (a bucket number, or a key) here.
    std::vector<std::byte> place(std::max<std::size_t>(map.key_size, sizeof(std::uint64_t)));
    bool first = true;
    for (;;) {
        std::uint32_t count = kBatch;
        const int rc = bpf_map_lookup_batch(map.fd.get(), first ? nullptr : place.data(), place.data(), keys.data(),
                                            values.data(), &count, nullptr);
        const int code = rc == 0 ? 0 : errno;
        if (code != 0 && code != ENOENT) {
            return fail_errno(code, "map " + map.name + ": read");
        }
        for (std::uint32_t i = 0; i < count; ++i) {
            fn(keys.data() + std::size_t{i} * map.key_size, values.data() + std::size_t{i} * map.value_size);
        }
        if (code == ENOENT) {
            return {};
        }
        first = false;
    }
}

Result<> erase_entry(const Map& map, const void* key) {
    if (bpf_map_delete_elem(map.fd.get(), key) != 0 && errno != ENOENT) {
        return fail_errno("table " + map.name + ": erase");
    }
    return {};
}

Result<std::uint64_t> entry_count(const Map& map) {
    std::uint64_t count = 0;
    auto read = for_each_entry(map, [&](const void*, const void*) { ++count; });
    if (!read) {
        return std::unexpected(read.error());
    }
    return count;
}

}  // namespace sluice::bpf
