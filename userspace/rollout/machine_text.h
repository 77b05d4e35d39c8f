// The sentences of the machine. Private to this room.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "rollout/machine.h"

namespace sluice::rollout {

// "10m", "1h30m", "1.5s": as in the YAML.
std::string duration_text(std::chrono::nanoseconds duration);
// "stage 2 of 5 (10%)", "mirror".
std::string where_text(const config::Canary& canary, const State& state);

std::string by_hand(const std::string& what, const std::string& message);
std::string edit_text(const State& state, const std::string& edit);
std::string removed_text();
std::string changed_text();
std::string pass_text(const config::Canary& canary, const State& state, const std::vector<GateResult>& results);
std::string fail_text(const GateResult& failed);
std::string missing_text(const config::Canary& canary, const std::vector<GateResult>& results,
                         const std::string& sample);
// Empty: the challenger has served the minimum of requests, or a gate that counts them says whether it has.
std::string sample_missing(const config::Canary& canary, const Seen& seen);
// Why, and what is allowed.
std::string refused_text(Command command, const State& state, const std::string& why);

}  // namespace sluice::rollout
