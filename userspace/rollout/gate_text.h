// Numbers of gates as people read them.
#pragma once

#include <string>

namespace sluice::rollout {

std::string percent_text(double share);      // 0.0213: "2.13%"
std::string seconds_text(double seconds);    // 0.181: "181 ms", 12.5: "12.5 s"
std::string chance_text(double p);           // 0.00003: "0.00003", two digits; under a billionth says so
std::string quantile_text(double quantile);  // 0.99: "p99", 0.999: "p99.9"

}  // namespace sluice::rollout
