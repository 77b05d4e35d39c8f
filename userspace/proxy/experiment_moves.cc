#include "proxy/experiment_moves.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace sluice::proxy {

namespace {

std::uint32_t begin_of(const Split& split, std::size_t arm) {
    return arm == 0 ? 0 : split.ends[arm - 1];
}

double share_of(const Split& split, std::size_t arm) {
    return static_cast<double>(split.ends[arm] - begin_of(split, arm)) / split.buckets;
}

std::size_t arm_at(const Split& split, std::uint32_t bucket) {
    return static_cast<std::size_t>(std::ranges::upper_bound(split.ends, bucket) - split.ends.begin());
}

// Same arm, same subset: its users notice nothing.
bool same(const Split::Arm& a, const Split::Arm& b) {
    return a.name == b.name && a.subset == b.subset;
}

std::string why_anew(const Split& before, const Split& after) {
    if (before.key.kind != after.key.kind || before.key.name != after.key.name) {
        return "another key";
    }
    if (before.salt() != after.salt()) {
        return "another salt";
    }
    return before.buckets == after.buckets ? ""
                                           : fmt::format("{} buckets instead of {}", after.buckets, before.buckets);
}

class Comparison {
  public:
    Comparison(const Split& before, const Split& after) : before_(before), after_(after) {
        for (std::size_t i = 0; i < before.arms.size(); ++i) {
            out_.arms.push_back({before.arms[i].name, share_of(before, i)});
        }
        for (std::size_t i = 0; i < after.arms.size(); ++i) {
            change(after.arms[i].name).after = share_of(after, i);
        }
    }

    Moves run() {
        out_.anew = why_anew(before_, after_);
        if (before_.arms.empty() || after_.arms.empty()) {
            return std::move(out_);
        }
        if (out_.anew.empty()) {
            by_bucket();
        } else if (before_.salt() == after_.salt() && before_.key == after_.key) {
            by_residue();
        } else {
            independent();
        }
        return std::move(out_);
    }

  private:
    ArmChange& change(const std::string& name) {
        const auto found = std::ranges::find(out_.arms, name, &ArmChange::name);
        return found != out_.arms.end() ? *found : out_.arms.emplace_back(ArmChange{name});
    }

    void add(const Split::Arm& from, const Split::Arm& to, double share) {
        if (share <= 0 || same(from, to)) {
            return;
        }
        out_.moved += share;
        if (from.name != to.name) {
            change(from.name).left += share;
            change(to.name).joined += share;
        }
    }

    // Between two ends of either split all buckets fare alike.
    void by_bucket() {
        for (std::uint32_t at = 0; at < before_.buckets;) {
            const std::size_t a = arm_at(before_, at), b = arm_at(after_, at);
            if (a == before_.arms.size() || b == after_.arms.size()) {
                return;  // weights of 0 alone
            }
            const std::uint32_t end = std::min(before_.ends[a], after_.ends[b]);
            const Split::Arm &from = before_.arms[a], &to = after_.arms[b];
            add(from, to, static_cast<double>(end - at) / before_.buckets);
            if (!same(from, to)) {
                out_.moves.push_back({at, end, from.name, to.name, from.subset, to.subset});
            }
            at = end;
        }
    }

    // One hash modulo two numbers: the remainders of a key are alike modulo the numbers' common divisor, and apart from
    // that independent (Chinese remainder theorem).
    void by_residue() {
        const std::uint32_t common = std::gcd(before_.buckets, after_.buckets);
        const double pairs = static_cast<double>(before_.buckets) / common * after_.buckets;
        for (std::size_t a = 0; a < before_.arms.size(); ++a) {
            const std::vector<std::uint32_t> ours = residues(before_, a, common);
            for (std::size_t b = 0; b < after_.arms.size(); ++b) {
                const std::vector<std::uint32_t> theirs = residues(after_, b, common);
                double both = 0;
                for (std::uint32_t i = 0; i < common; ++i) {
                    both += static_cast<double>(ours[i]) * theirs[i];
                }
                add(before_.arms[a], after_.arms[b], both / pairs);
            }
        }
    }

    // How many buckets of an arm leave each remainder.
    static std::vector<std::uint32_t> residues(const Split& split, std::size_t arm, std::uint32_t divisor) {
        std::vector<std::uint32_t> out(divisor);
        for (std::uint32_t bucket = begin_of(split, arm); bucket < split.ends[arm]; ++bucket) {
            ++out[bucket % divisor];
        }
        return out;
    }

    void independent() {
        for (std::size_t a = 0; a < before_.arms.size(); ++a) {
            for (std::size_t b = 0; b < after_.arms.size(); ++b) {
                add(before_.arms[a], after_.arms[b], share_of(before_, a) * share_of(after_, b));
            }
        }
    }

    const Split& before_;
    const Split& after_;
    Moves out_;
};

std::string arm_text(const std::string& arm, const std::string& subset, bool with_subset) {
    return with_subset && arm != subset ? arm + " (" + subset + ")" : arm;
}

}  // namespace

Moves compare_splits(const Split& before, const Split& after) {
    return Comparison(before, after).run();
}

bool Moves::steady() const {
    return std::ranges::none_of(arms, &ArmChange::unsteady);
}

std::string Moves::text() const {
    if (moved <= 0) {
        return "";
    }
    std::string out = fmt::format("{:.6g}% of the users move", 100 * moved);
    if (!anew.empty()) {
        return out + ": all are assigned anew (" + anew + ")";
    }
    for (std::size_t i = 0; i < moves.size(); ++i) {
        const Move& move = moves[i];
        const bool subsets = move.from == move.to;
        out += fmt::format(
            "{} {} -> {} (bucket{} {})", i == 0 ? ":" : ",", arm_text(move.from, move.from_subset, subsets),
            arm_text(move.to, move.to_subset, subsets), move.end - move.begin == 1 ? "" : "s",
            move.end - move.begin == 1 ? std::to_string(move.begin) : fmt::format("{}-{}", move.begin, move.end - 1));
    }
    return out;
}

}  // namespace sluice::proxy
