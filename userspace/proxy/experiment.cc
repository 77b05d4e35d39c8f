#include "proxy/experiment.h"

#include <algorithm>
#include <numeric>

#include "bpf/lib/md5.h"
#include "model/experiment.h"
#include "proxy/hash_key.h"

namespace sluice::proxy {

namespace {

std::uint32_t head_of(const std::array<std::uint8_t, 16>& digest, std::size_t at) {
    return static_cast<std::uint32_t>(digest[at]) << 24 | static_cast<std::uint32_t>(digest[at + 1]) << 16 |
           static_cast<std::uint32_t>(digest[at + 2]) << 8 | static_cast<std::uint32_t>(digest[at + 3]);
}

std::array<std::uint8_t, 16> digest_of(const Split& split, std::string_view key) {
    sl_md5 md5;
    sl_md5_begin(&md5);
    sl_md5_add(&md5, key.data(), key.size());
    sl_md5_add(&md5, split.suffix.data(), split.suffix.size());
    sl_md5_end(&md5);
    std::array<std::uint8_t, 16> out;
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<std::uint8_t>(md5.state[i / 4] >> (8 * (i % 4)));
    }
    return out;
}

Identity identity(const Split& split, std::string_view arm) {
    std::string text = "experiment";
    for (const std::string_view part : {std::string_view(split.ns), std::string_view(split.experiment), arm}) {
        text.append(1, '\0').append(part);
    }
    return Identity::of(text);
}

}  // namespace

Split make_split(const config::Experiment& experiment, std::span<const std::uint32_t> weights) {
    Split split;
    split.key = experiment.key;
    split.suffix = ":" + experiment.name;
    split.buckets = std::max(experiment.buckets, 1u);
    split.exposure = experiment.exposure;
    const std::uint64_t all = std::max<std::uint64_t>(std::accumulate(weights.begin(), weights.end(), 0ull), 1);
    std::uint64_t sum = 0;
    for (const std::uint32_t weight : weights) {
        sum += weight;
        split.ends.push_back(static_cast<std::uint32_t>(static_cast<unsigned __int128>(split.buckets) * sum / all));
        split.arms.emplace_back();
    }
    return split;
}

std::shared_ptr<const Split> split_of(const model::HttpRoute& route) {
    const std::vector<model::ExperimentArm> arms = model::arms_of(route);
    if (arms.empty()) {
        return nullptr;
    }
    std::vector<std::uint32_t> weights(arms.size());
    std::ranges::transform(arms, weights.begin(), &model::ExperimentArm::weight);
    Split split = make_split(*route.experiment, weights);
    split.experiment = route.experiment->name;
    if (route.experiment_source != nullptr) {
        split.experiment = route.experiment_source->key.name;
        split.ns = route.experiment_source->key.ns;
    }
    split.no_key = identity(split, {});
    split.arm_at.assign(route.destinations.size(), Split::kNoArm);
    for (std::uint32_t i = 0; i < arms.size(); ++i) {
        split.arms[i] = {arms[i].name, arms[i].subset, arms[i].destination, identity(split, arms[i].name)};
        std::uint32_t& first = split.arm_at[arms[i].destination];
        first = std::min(first, i);
    }
    return std::make_shared<const Split>(std::move(split));
}

std::uint32_t Split::arm_of(const Assigned& assigned, std::uint32_t destination) const {
    const bool own = arms[assigned.arm].destination == destination || destination >= arm_at.size();
    const std::uint32_t there = own ? assigned.arm : arm_at[destination];
    return there == kNoArm ? assigned.arm : there;
}

bool Assigned::sampled(std::uint32_t share) const {
    return (static_cast<std::uint64_t>(head_of(digest, 4)) * 1'000'000) >> 32 < share;
}

std::uint32_t split_bucket(const Split& split, std::string_view key) {
    return head_of(digest_of(split, key), 0) % split.buckets;
}

std::optional<Assigned> assign(const Split& split, std::string_view key) {
    Assigned out{key, digest_of(split, key)};
    out.bucket = head_of(out.digest, 0) % split.buckets;
    const auto end = std::ranges::upper_bound(split.ends, out.bucket);
    if (end == split.ends.end()) {
        return std::nullopt;
    }
    out.arm = static_cast<std::uint32_t>(end - split.ends.begin());
    return out;
}

std::optional<Assigned> assign(const Split& split, const Asked& asked) {
    std::string_view key;
    if (!find_key(split.key, asked, key) || key.empty()) {
        return std::nullopt;
    }
    return assign(split, key);
}

}  // namespace sluice::proxy
