#include "rollout/tails.h"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>

namespace sluice::rollout {
namespace {

namespace policies = boost::math::policies;
// Tails that underflow are 0; nothing throws. Doubles are exact enough, and quick.
using Policy =
    policies::policy<policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
                     policies::overflow_error<policies::ignore_error>,
                     policies::underflow_error<policies::ignore_error>,
                     policies::evaluation_error<policies::ignore_error>, policies::promote_double<false>>;

constexpr double kNegligible = 1e-17;  // of a sum

}  // namespace

double binomial_tail(std::uint64_t k, std::uint64_t n, double p) {
    if (k == 0) {
        return 1;
    }
    if (k > n || p <= 0) {
        return 0;
    }
    if (p >= 1) {
        return 1;
    }
    return boost::math::ibeta(static_cast<double>(k), static_cast<double>(n - k + 1), p, Policy());
}

double binomial_mass(std::uint64_t k, std::uint64_t n, double p) {
    if (k > n) {
        return 0;
    }
    if (p <= 0) {
        return k == 0 ? 1 : 0;
    }
    if (p >= 1) {
        return k == n ? 1 : 0;
    }
    if (k == 0) {
        return std::exp(static_cast<double>(n) * std::log1p(-p));
    }
    if (k == n) {
        return std::pow(p, static_cast<double>(n));
    }
    const auto a = static_cast<double>(k + 1);
    const auto b = static_cast<double>(n - k + 1);
    return boost::math::ibeta_derivative(a, b, p, Policy()) / static_cast<double>(n + 1);
}

double hypergeometric_tail(std::uint64_t k, std::uint64_t marked, std::uint64_t others, std::uint64_t drawn) {
    drawn = std::min(drawn, marked + others);
    const std::uint64_t low = drawn > others ? drawn - others : 0;
    const std::uint64_t high = std::min(drawn, marked);
    if (k <= low) {
        return 1;
    }
    if (k > high) {
        return 0;
    }
    // As three binomials of the same chance (Loader 2000): no large logarithms that cancel.
    const double chance = static_cast<double>(drawn) / static_cast<double>(marked + others);
    const auto mass = [&](std::uint64_t x) {
        return binomial_mass(x, marked, chance) * binomial_mass(drawn - x, others, chance) /
               binomial_mass(drawn, marked + others, chance);
    };
    // mass(x + 1) / mass(x)
    const auto ratio = [&](std::uint64_t x) {
        return static_cast<double>(marked - x) * static_cast<double>(drawn - x) /
               (static_cast<double>(x + 1) * static_cast<double>(others + x + 1 - drawn));
    };
    double sum = 0;
    if (static_cast<double>(k) > chance * static_cast<double>(marked)) {
        double term = mass(k);
        for (std::uint64_t x = k; x <= high && term > kNegligible * sum; ++x) {
            sum += term;
            term *= x < high ? ratio(x) : 0;
        }
        return std::min(sum, 1.0);
    }
    double term = mass(k - 1);
    for (std::uint64_t x = k - 1; term > kNegligible * sum; --x) {
        sum += term;
        if (x == low) {
            break;
        }
        term /= ratio(x - 1);
    }
    return std::max(1 - sum, 0.0);
}

double exceedance_tail(std::uint64_t k, std::uint64_t n, std::uint64_t rank, std::uint64_t control) {
    if (k == 0) {
        return 1;
    }
    // At least k new ones lie above the a-th largest old one exactly when of the a - 1 + k largest of all at least k
    // are new.
    const std::uint64_t a = control - rank + 1;
    return hypergeometric_tail(k, n, control, a - 1 + k);
}

std::uint64_t control_rank(double q, std::uint64_t n) {
    // Less a hair: 0.99 * 1000 is a hair above 990.
    const double wanted = std::ceil(q * static_cast<double>(n + 1) * (1 - 1e-12));
    return static_cast<std::uint64_t>(std::clamp(wanted, 1.0, static_cast<double>(n)));
}

double beta_quantile(double a, double b, double p) {
    return boost::math::ibeta_inv(a, b, p, Policy());
}

}  // namespace sluice::rollout
