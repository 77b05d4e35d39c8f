#include "rollout/margin.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <queue>
#include <vector>

#include "rollout/first_of.h"
#include "rollout/tails.h"

namespace sluice::rollout {
namespace {

constexpr double kSlack = 1.1;  // between the bound that is given and a chance that there is
constexpr int kSplits = 4000;   // then the bound is what it is

// z of Farrington and Manning: the difference less the margin, by its deviation at the likeliest rates that differ by
// just the margin. Those solve a cubic (Miettinen and Nurminen 1985, appendix).
double score(double n1, double x1, double n2, double x2, double margin) {
    const double n = n1 + n2;
    const double l2 = (n2 + 2 * n1) * margin - n - (x1 + x2);
    const double l1 = (n1 * margin - n - 2 * x1) * margin + x1 + x2;
    const double l0 = x1 * margin * (1 - margin);
    const double third = l2 / (3 * n);
    const double q = third * third * third - l1 * l2 / (6 * n * n) + l0 / (2 * n);
    const double p = std::copysign(std::sqrt(std::max(third * third - l1 / (3 * n), 0.0)), q);
    const double cosine = p == 0 ? 0 : std::clamp(q / (p * p * p), -1.0, 1.0);
    const double angle = (std::numbers::pi + std::acos(cosine)) / 3;
    const double p1 = std::clamp(2 * p * std::cos(angle) - third, 0.0, 1 - margin);
    const double p2 = p1 + margin;
    const double variance = p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2;
    const double difference = x2 / n2 - x1 / n1 - margin;
    return difference / std::sqrt(std::max(variance, 1e-300));
}

// An end of Chernoff's interval for a binomial's chance, outside of which the data have a chance of at most `outside`:
// n KL(x/n, p) = -log(outside), by bisection from x/n towards `far`.
double chernoff(double n, double x, double far, double outside) {
    const double seen = x / n;
    const auto divergence = [&](double p) {
        const double hit = seen == 0 ? 0 : seen * std::log(seen / p);
        const double missed = seen == 1 ? 0 : (1 - seen) * std::log((1 - seen) / (1 - p));
        return n * (hit + missed);
    };
    double inside = seen;
    for (int i = 0; i < 60; ++i) {
        const double middle = (inside + far) / 2;
        (divergence(middle) < -std::log(outside) ? inside : far) = middle;
    }
    return far;
}

struct Range {
    std::uint64_t low = 0, high = 0;
};

// Where a binomial is, but for a chance that no double shows.
Range support(double n, double low, double high) {
    const auto edge = [&](double p) { return 9 * std::sqrt(n * p * (1 - p)) + 40; };
    return {static_cast<std::uint64_t>(std::max(n * low - edge(low), 0.0)),
            static_cast<std::uint64_t>(std::min(n * high + edge(high), n))};
}

// Chances of low..high, by the ratio of neighbours from the likeliest on.
void masses(std::uint64_t n, double p, Range range, std::vector<double>& out) {
    out.assign(range.high - range.low + 1, 0);
    const auto mode = static_cast<std::uint64_t>(std::min(static_cast<double>(n + 1) * p, static_cast<double>(n)));
    const std::uint64_t start = std::clamp(mode, range.low, range.high);
    const double first = binomial_mass(start, n, p);
    out[start - range.low] = first;
    const double odds = p / (1 - p);
    double mass = first;
    for (std::uint64_t x = start; x < range.high && mass > 1e-30; ++x) {
        mass *= odds * static_cast<double>(n - x) / static_cast<double>(x + 1);
        out[x + 1 - range.low] = mass;
    }
    mass = first;
    for (std::uint64_t x = start; x > range.low && mass > 1e-30; --x) {
        mass *= static_cast<double>(x) / (odds * static_cast<double>(n - x + 1));
        out[x - 1 - range.low] = mass;
    }
}

class Search {
  public:
    Search(const Errors& champion, const Errors& challenger, double margin);
    // Of the greatest chance a bound from above, at most kSlack of it; less exact as soon as it is known to be at most
    // `enough`, or more than `too_much`.
    double greatest(double enough, double too_much);

  private:
    struct Part {
        double low = 0, high = 0, bound = 0;
        bool operator<(const Part& other) const { return bound < other.bound; }
    };
    void order(double x1, double x2);
    double chance(double champion_rate, double challenger_rate);

    std::uint64_t n1_, n2_;
    double margin_, low_, high_;
    Range champion_;                    // failures of the champion that can be
    std::vector<std::uint64_t> worse_;  // for each of them, from how many of the challenger's on a table is as bad
    std::vector<double> masses1_, tails2_;
};

Search::Search(const Errors& champion, const Errors& challenger, double margin)
    : n1_(champion.requests), n2_(challenger.requests), margin_(margin) {
    const auto n1 = static_cast<double>(n1_);
    const auto x1 = static_cast<double>(champion.failed);
    low_ = champion.failed == 0 ? 0 : chernoff(n1, x1, 0, kOutside / 2);
    high_ = champion.failed == n1_ ? 1 : chernoff(n1, x1, 1, kOutside / 2);
    high_ = std::min(high_, 1 - margin);
    low_ = std::min(low_, high_);
    champion_ = support(n1, low_, high_);
    order(x1, static_cast<double>(challenger.failed));
}

// The border is a monotone stair: a table with fewer failures of the champion, or more of the challenger's, is worse.
void Search::order(double x1, double x2) {
    const auto n1 = static_cast<double>(n1_);
    const auto n2 = static_cast<double>(n2_);
    const double seen = score(n1, x1, n2, x2, margin_);
    const double from = seen - 1e-7 * std::abs(seen);  // as bad, whatever rounding says
    worse_.resize(champion_.high - champion_.low + 1);
    auto last = static_cast<std::uint64_t>(x2);
    for (std::size_t i = 0; i < worse_.size(); ++i) {
        const auto at = static_cast<double>(champion_.low + i);
        last = worse_[i] = first_of(std::min(last, n2_), n2_ + 1, [&](std::uint64_t x) {
            return score(n1, at, n2, static_cast<double>(x), margin_) >= from;
        });
    }
    const auto own = static_cast<std::size_t>(x1) - champion_.low;
    worse_[own] = std::min(worse_[own], static_cast<std::uint64_t>(x2));
    for (std::size_t i = worse_.size() - 1; i > 0; --i) {
        worse_[i - 1] = std::min(worse_[i - 1], worse_[i]);
    }
}

double Search::chance(double champion_rate, double challenger_rate) {
    masses(n1_, champion_rate, champion_, masses1_);
    const Range range = support(static_cast<double>(n2_), challenger_rate, challenger_rate);
    masses(n2_, challenger_rate, range, tails2_);
    for (std::size_t i = tails2_.size() - 1; i > 0; --i) {
        tails2_[i - 1] += tails2_[i];
    }
    double sum = 0, seen = 0;
    for (std::size_t i = 0; i < masses1_.size(); ++i) {
        const std::uint64_t from = worse_[i];
        seen += masses1_[i];
        if (from <= range.low) {
            sum += masses1_[i];
        } else if (from <= range.high) {
            sum += masses1_[i] * tails2_[from - range.low];
        }
    }
    return std::min(sum + std::max(1 - seen, 0.0), 1.0);
}

double Search::greatest(double enough, double too_much) {
    std::priority_queue<Part> parts;
    // The greater rate of the challenger with the lesser one of the champion bounds all between.
    const auto push = [&](double low, double high) {
        parts.push({low, high, chance(low, std::min(high + margin_, 1.0))});
    };
    push(low_, high_);
    double known = 0;
    for (int i = 0; i < kSplits; ++i) {
        const Part top = parts.top();
        if (top.bound <= enough || known > too_much || top.bound <= kSlack * known) {
            break;
        }
        const double middle = (top.low + top.high) / 2;
        if (middle <= top.low || middle >= top.high) {
            break;
        }
        parts.pop();
        known = std::max(known, chance(middle, std::min(middle + margin_, 1.0)));
        push(top.low, middle);
        push(middle, top.high);
    }
    return parts.top().bound;
}

bool no_worse(const Errors& champion, const Errors& challenger, double margin) {
    const auto rate = [](const Errors& one) {
        return static_cast<double>(one.failed) / static_cast<double>(one.requests);
    };
    return margin >= 1 || rate(challenger) <= rate(champion) + margin;
}

}  // namespace

double margin_p(const Errors& champion, const Errors& challenger, double margin) {
    if (no_worse(champion, challenger, margin)) {
        return 1;
    }
    return std::min(Search(champion, challenger, margin).greatest(0, 0.5) + kOutside, 1.0);
}

bool margin_rejects(const Errors& champion, const Errors& challenger, double margin, double level) {
    if (level <= kOutside || no_worse(champion, challenger, margin)) {
        return false;
    }
    const double left = level - kOutside;
    return Search(champion, challenger, margin).greatest(left, left) <= left;
}

}  // namespace sluice::rollout
