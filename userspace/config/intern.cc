#include "config/intern.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice::config {

namespace {

std::uint64_t mix(std::uint64_t seed, const std::string& text) {
    return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}
std::uint64_t mix(std::uint64_t seed, std::uint16_t port) {
    return XXH3_64bits_withSeed(&port, sizeof port, seed);
}

template <typename Map>
class Pool {
  public:
    std::shared_ptr<const Map> get(Map map) {
        std::uint64_t hash = map.size();
        for (const auto& [key, value] : map) {
            hash = mix(mix(hash, key), value);
        }
        const std::lock_guard lock(mutex_);
        const auto [begin, end] = known_.equal_range(hash);
        auto forgotten = end;  // what one file uses comes and goes with it: its place is taken again
        for (auto it = begin; it != end; ++it) {
            const auto held = it->second.lock();
            if (held && *held == map) {
                return held;
            }
            forgotten = held ? forgotten : it;
        }
        auto made = std::make_shared<const Map>(std::move(map));
        if (forgotten != end) {
            forgotten->second = made;
            return made;
        }
        if (known_.size() >= sweep_at_) {
            std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
            sweep_at_ = std::max<std::size_t>(kFirstSweep, known_.size() * 2);
        }
        known_.emplace(hash, made);
        return made;
    }

  private:
    static constexpr std::size_t kFirstSweep = 1024;

    std::mutex mutex_;
    std::unordered_multimap<std::uint64_t, std::weak_ptr<const Map>> known_;
    std::size_t sweep_at_ = kFirstSweep;
};

}  // namespace

std::shared_ptr<const Labels> intern(Labels labels) {
    static Pool<Labels> pool;
    return pool.get(std::move(labels));
}

PortMap intern_ports(PortMap::Map ports) {
    static Pool<PortMap::Map> pool;
    return ports.empty() ? PortMap() : PortMap(pool.get(std::move(ports)));
}

}  // namespace sluice::config
