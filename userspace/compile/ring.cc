#include "compile/ring.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <numeric>

namespace sluice::compile {
namespace {

std::uint64_t xxh64(const std::string& text, std::uint64_t seed) {
    return XXH64(text.data(), text.size(), seed);
}

struct Node {
    std::uint64_t hash;
    std::uint32_t position;
};

}  // namespace

std::size_t ring_size(std::size_t keys, std::uint32_t minimum_size) {
    return keys == 0 ? 0 : std::max<std::size_t>(1, (minimum_size + keys - 1) / keys) * keys;
}

std::vector<sl_hash_entry> build_ring(std::span<const std::string> keys, std::uint32_t minimum_size) {
    if (keys.empty()) {
        return {};
    }
    const std::size_t each = ring_size(keys.size(), minimum_size) / keys.size();
    std::vector<Node> nodes;
    nodes.reserve(each * keys.size());
    std::string name;
    for (std::uint32_t position = 0; position < keys.size(); ++position) {
        for (std::size_t i = 0; i < each; ++i) {
            name = keys[position];
            name += '_';
            name += std::to_string(i);
            nodes.push_back({xxh64(name, 0), position});
        }
    }
    std::ranges::sort(nodes, [&](const Node& a, const Node& b) {
        return a.hash != b.hash ? a.hash < b.hash : keys[a.position] < keys[b.position];
    });
    std::vector<sl_hash_entry> entries;
    entries.reserve(nodes.size());
    for (const Node& node : nodes) {
        entries.push_back({static_cast<std::uint32_t>(node.hash >> 32), node.position});
    }
    return entries;
}

std::vector<sl_hash_entry> build_maglev(std::span<const std::string> keys, std::uint32_t size) {
    if (keys.empty() || size < 2) {
        return {};
    }
    struct Host {
        std::uint32_t position;
        std::uint64_t slot;
        std::uint64_t skip;
    };
    std::vector<std::uint32_t> order(keys.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) { return keys[a] < keys[b]; });
    std::vector<Host> hosts;
    hosts.reserve(order.size());
    for (const std::uint32_t position : order) {
        hosts.push_back({position, xxh64(keys[position], 0) % size, xxh64(keys[position], 1) % (size - 1) + 1});
    }
    std::vector<sl_hash_entry> table(size, sl_hash_entry{0, SL_NONE});
    std::uint32_t filled = 0;
    while (filled < size) {
        for (Host& host : hosts) {
            while (table[host.slot].position != SL_NONE) {
                host.slot = (host.slot + host.skip) % size;
            }
            table[host.slot].position = host.position;
            if (++filled == size) {
                break;
            }
        }
    }
    return table;
}

}  // namespace sluice::compile
