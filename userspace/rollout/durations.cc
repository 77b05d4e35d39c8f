#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "rollout/statistics.h"
#include "rollout/tails.h"

namespace sluice::rollout {
namespace {

constexpr double kHair = 1e-9;  // less is no difference

// splitmix64 (Steele, Lea and Flood 2014).
std::uint64_t next(std::uint64_t& state) {
    std::uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

}  // namespace

Durations::Durations(std::size_t kept, std::uint64_t seed) : kept_(std::max<std::size_t>(kept, 1)), random_(seed) {}

void Durations::add(double seconds) {
    if (std::isnan(seconds)) {
        return;
    }
    seconds = std::max(seconds, 0.0);
    ++offered_;
    found_ = {};
    if (exact_.size() < kept_) {
        exact_.push_back(seconds);
        return;
    }
    // The place is chosen without a look at what is there, so queries may reorder.
    const auto place = static_cast<std::uint64_t>((static_cast<unsigned __int128>(next(random_)) * offered_) >> 64);
    if (place < kept_) {
        exact_[place] = seconds;
    }
}

Durations Durations::buckets(std::vector<double> bounds, std::vector<std::uint64_t> counts) {
    Durations made;
    if (bounds.empty() || !std::isinf(bounds.back())) {
        bounds.push_back(std::numeric_limits<double>::infinity());
    }
    counts.resize(bounds.size());
    made.offered_ = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    made.bounds_ = std::move(bounds);
    made.counts_ = std::move(counts);
    return made;
}

std::uint64_t Durations::count() const {
    return bounds_.empty() ? exact_.size() : offered_;
}

std::uint64_t Durations::offered() const {
    return offered_;
}

std::optional<Durations::Control> Durations::control(double q) const {
    const std::uint64_t n = count();
    if (n == 0) {
        return std::nullopt;
    }
    Control found{control_rank(q, n), 0};
    if (bounds_.empty()) {
        // Gates ask for the same one several times a look.
        if (found_.rank != found.rank) {
            const auto nth = exact_.begin() + static_cast<std::ptrdiff_t>(found.rank - 1);
            std::nth_element(exact_.begin(), nth, exact_.end());
            found_ = {found.rank, *nth};
        }
        return found_;
    }
    std::size_t bucket = 0;
    for (std::uint64_t below = counts_[0]; below < found.rank; below += counts_[bucket]) {
        ++bucket;
    }
    found.seconds = bounds_[bucket];
    return found;
}

std::optional<double> Durations::quantile(double q) const {
    if (bounds_.empty()) {
        const std::optional<Control> found = control(q);
        return found ? std::optional(found->seconds) : std::nullopt;
    }
    if (offered_ == 0 || bounds_.size() < 2) {
        return std::nullopt;
    }
    const double rank = q * static_cast<double>(offered_);
    std::size_t bucket = 0;
    double before = 0;
    while (bucket + 1 < bounds_.size() && before + static_cast<double>(counts_[bucket]) < rank) {
        before += static_cast<double>(counts_[bucket++]);
    }
    if (bucket + 1 == bounds_.size()) {
        return bounds_[bucket - 1];
    }
    const double start = bucket == 0 ? std::min(bounds_[0], 0.0) : bounds_[bucket - 1];
    const auto in = static_cast<double>(counts_[bucket]);
    return in == 0 ? start : start + (bounds_[bucket] - start) * (rank - before) / in;
}

Durations::Above Durations::above(double seconds) const {
    if (bounds_.empty()) {
        const auto count = std::count_if(exact_.begin(), exact_.end(),
                                         [least = seconds * (1 + kHair)](double one) { return one > least; });
        return {static_cast<std::uint64_t>(count), seconds};
    }
    const auto bucket =
        std::min(std::lower_bound(bounds_.begin(), bounds_.end(), seconds * (1 - kHair)) - bounds_.begin(),
                 static_cast<std::ptrdiff_t>(bounds_.size() - 1));
    return {std::accumulate(counts_.begin() + bucket + 1, counts_.end(), std::uint64_t{0}),
            bounds_[static_cast<std::size_t>(bucket)]};
}

double Durations::share_above(double seconds) const {
    if (count() == 0) {
        return 0;
    }
    const auto all = static_cast<double>(count());
    const Above whole = above(seconds);
    const double share = static_cast<double>(whole.count) / all;
    const auto bucket =
        static_cast<std::size_t>(std::find(bounds_.begin(), bounds_.end(), whole.bound) - bounds_.begin());
    if (bucket + 1 >= bounds_.size() || counts_[bucket] == 0 || seconds >= whole.bound) {
        return share;
    }
    const double before = share + static_cast<double>(counts_[bucket]) / all;
    const double start = bucket == 0 ? 0 : bounds_[bucket - 1];
    if (start <= 0) {
        return before + (share - before) * std::clamp((seconds - start) / (whole.bound - start), 0.0, 1.0);
    }
    // A tail falls by powers: between two bounds a straight line would put ten times too much far out.
    const double part = std::log(seconds / start) / std::log(whole.bound / start);
    return before * std::pow(std::max(share, 0.5 / all) / before, part);
}

}  // namespace sluice::rollout
