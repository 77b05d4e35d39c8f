#include "rollout/gate_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice::rollout {

std::string percent_text(double share) {
    return fmt::format("{:.3g}%", share * 100);
}

std::string seconds_text(double seconds) {
    if (!std::isfinite(seconds)) {
        return seconds > 0 ? "more than all buckets" : "unknown";
    }
    if (seconds < 1e-3) {
        return fmt::format("{:.3g} us", seconds * 1e6);
    }
    if (seconds < 9.9995) {
        return fmt::format("{:.4g} ms", seconds * 1e3);
    }
    return fmt::format("{:.4g} s", seconds);
}

std::string chance_text(double p) {
    if (p < 1e-9) {
        return p > 0 ? "under 0.000000001" : "0";
    }
    if (p >= 0.01) {
        return fmt::format("{:.2g}", p);
    }
    // Two digits behind the zeros, but none that is 0.
    const int digits = 1 - static_cast<int>(std::floor(std::log10(p)));
    std::string text = fmt::format("{:.{}f}", p, digits);
    text.erase(text.find_last_not_of('0') + 1);
    return text;
}

std::string quantile_text(double quantile) {
    return fmt::format("p{:.6g}", quantile * 100);
}

}  // namespace sluice::rollout
