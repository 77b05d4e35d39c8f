// Immutable values by identity, shared while anybody uses them.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>
#include <utility>

#include "base/identity.h"

namespace sluice::model {

// Holds no value alive. Not thread-safe.
template <typename T>
class WeakPool {
  public:
    std::shared_ptr<const T> find(const Identity& id) const {
        const auto it = values_.find(id);
        return it == values_.end() ? nullptr : it->second.lock();
    }
    void put(const Identity& id, std::shared_ptr<const T> value) {
        values_[id] = std::move(value);
        // Amortised: a sweep of n entries follows at least n/2 puts.
        if (++puts_ > values_.size() / 2 + 64) {
            std::erase_if(values_, [](const auto& entry) { return entry.second.expired(); });
            puts_ = 0;
        }
    }

  private:
    std::unordered_map<Identity, std::weak_ptr<const T>, IdentityHash> values_;
    std::size_t puts_ = 0;
};

}  // namespace sluice::model
