#include "proxy/experiment.h"

#include <algorithm>
#include <numeric>

#include "bpf/lib/md5.h"
#include "proxy/hash_key.h"

namespace sluice::proxy {

Split make_split(const config::Experiment& experiment, std::span<const std::uint32_t> weights) {
    Split split{experiment.key, ":" + experiment.name, std::max(experiment.buckets, 1u), {}};
    const std::uint64_t all = std::max<std::uint64_t>(std::accumulate(weights.begin(), weights.end(), 0ull), 1);
    std::uint64_t sum = 0;
    for (const std::uint32_t weight : weights) {
        sum += weight;
        split.ends.push_back(static_cast<std::uint32_t>(static_cast<unsigned __int128>(split.buckets) * sum / all));
    }
    return split;
}

std::uint32_t split_bucket(const Split& split, std::string_view key) {
    sl_md5 md5;
    sl_md5_begin(&md5);
    sl_md5_add(&md5, key.data(), key.size());
    sl_md5_add(&md5, split.suffix.data(), split.suffix.size());
    sl_md5_end(&md5);
    return sl_md5_head(&md5) % split.buckets;
}

std::optional<std::size_t> split_arm(const Split& split, const Asked& asked) {
    std::string_view key;
    if (!find_key(split.key, asked, key) || key.empty()) {
        return std::nullopt;
    }
    const auto end = std::ranges::upper_bound(split.ends, split_bucket(split, key));
    if (end == split.ends.end()) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(end - split.ends.begin());
}

}  // namespace sluice::proxy
