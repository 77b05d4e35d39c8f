// Numbers of workloads and scopes: small integers that tables and flow keys carry instead of 128-bit identities.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/identity.h"
#include "compile/allocator.h"
#include "model/mesh.h"
#include "sluice/abi/tables.h"

namespace sluice::compile {

// Reference counted; a number without references keeps its identity until the table is full, then the one that is
// idle longest is reused, so that counters by number stay readable. Number 0 is never given. Not thread-safe.
class Identities {
  public:
    explicit Identities(std::span<sl_identity> table);

    // Forgets everything and reads the table again; nothing is referenced then.
    void adopt();
    // The number of an identity, one reference taken; SL_NONE: the table is full of referenced ones.
    std::uint32_t hold(sl_identity_kind kind, const Identity& id);
    // One more reference to a number that the table knows; false: it does not. Number 0 counts nothing.
    bool hold(std::uint32_t number);
    void release(std::uint32_t number);
    std::uint32_t find(sl_identity_kind kind, const Identity& id) const;  // SL_NONE: none

    void name(std::uint32_t number, model::WorkloadPtr workload);
    model::WorkloadPtr workload(std::uint32_t number) const;
    std::uint64_t used() const { return by_id_.size(); }
    std::uint64_t capacity() const { return table_.empty() ? 0 : table_.size() - 1; }

  private:
    struct State {
        std::uint32_t references = 0;
        bool idle_listed = false;
        model::WorkloadPtr workload;
    };
    using Key = std::pair<std::uint32_t, Identity>;

    void retire(std::uint32_t number);

    std::span<sl_identity> table_;
    RowAllocator rows_;
    std::map<Key, std::uint32_t> by_id_;
    std::vector<State> states_;
    std::deque<std::uint32_t> idle_;  // may name numbers that are in use again
};

}  // namespace sluice::compile
