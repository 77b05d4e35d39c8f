// What a change of a sticky split does to users: who leaves which arm.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/experiment.h"

namespace sluice::proxy {

// Consecutive buckets of which all keys go from one arm to another, or with their arm to another subset. Arms are the
// same when their names are.
struct Move {
    std::uint32_t begin = 0, end = 0;  // [begin, end)
    std::string from, to;
    std::string from_subset, to_subset;
    bool operator==(const Move&) const = default;
};

// Shares are of all keys, 0..1.
struct ArmChange {
    std::string name;
    double before = 0, after = 0;  // 0: it is not there
    double left = 0, joined = 0;
    // Users leave it though its share does not shrink: what they see changes for nothing.
    bool unsteady() const { return left > 0 && after >= before; }
};

struct Moves {
    // Why every key is assigned anew (another key, salt or number of buckets); empty: each bucket is what it was.
    std::string anew;
    double moved = 0;  // share of the keys whose arm or subset changes; in the mean, where they are assigned anew
    std::vector<Move> moves;      // by bucket; none with `anew`
    std::vector<ArmChange> arms;  // those of `before`, then new ones

    bool steady() const;  // no arm is unsteady
    // "2.5% of the users move: v45 -> v47 (buckets 90-99)", for people; empty: nobody moves.
    std::string text() const;
};

// Exact; takes time in proportion to the buckets of both where their numbers differ, else to the arms.
Moves compare_splits(const Split& before, const Split& after);

}  // namespace sluice::proxy
