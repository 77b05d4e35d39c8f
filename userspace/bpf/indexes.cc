#include "bpf/indexes.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

namespace sluice::bpf {

Result<> KernelServiceIndex::insert(const sl_service_key& key, std::uint32_t service) {
    if (bpf_map_update_elem(map_.fd.get(), &key, &service, BPF_ANY) == 0) {
        return {};
    }
    if (errno == E2BIG) {
        return fail("table service_index is full (" + std::to_string(map_.max_entries) +
                    " rows): raise --capacity services=N after --uninstall");
    }
    return fail_errno("table service_index: insert");
}

Result<> KernelServiceIndex::erase(const sl_service_key& key) {
    if (bpf_map_delete_elem(map_.fd.get(), &key) == 0 || errno == ENOENT) {
        return {};
    }
    return fail_errno("table service_index: erase");
}

Result<> KernelClientIndex::replace(const std::vector<std::pair<std::uint64_t, sl_client>>& clients) {
    std::vector<std::uint64_t> gone;
    std::unordered_set<std::uint64_t> wanted;
    for (const auto& [id, client] : clients) {
        wanted.insert(id);
    }
    auto read = for_each_entry(map_, [&](const void* key, const void*) {
        std::uint64_t id = 0;
        std::memcpy(&id, key, sizeof id);
        if (!wanted.contains(id)) {
            gone.push_back(id);
        }
    });
    if (!read) {
        return read;
    }
    // Above 0 while there is something to find.
    sl_store(&control_.client_count, static_cast<__u64>(wanted.size() + gone.size()));
    Result<> result;
    for (const auto& [id, client] : clients) {
        if (bpf_map_update_elem(map_.fd.get(), &id, &client, BPF_ANY) != 0) {
            result = fail_errno("table clients (" + std::to_string(map_.max_entries) + " rows): insert");
        }
    }
    for (const std::uint64_t id : gone) {
        bpf_map_delete_elem(map_.fd.get(), &id);
    }
    sl_store(&control_.client_count, static_cast<__u64>(wanted.size()));
    return result;
}

}  // namespace sluice::bpf
