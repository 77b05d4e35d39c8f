// The gates of a canary that ask somebody else: PromQL queries and webhooks.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "config/objects.h"
#include "rollout/gates.h"
#include "rollout/prometheus.h"

namespace sluice::rollout {

// Where the canary is, for webhooks.
struct Moment {
    std::string service;    // whole name
    std::size_t stage = 0;  // from 1; 0: the mirror stage
    std::uint32_t weight = 0;
    bool mirror = false;
};

// One answer a gate, in order; those of other gates are empty. All are asked at once, so this takes as long as the
// slowest: at most twice the longest timeout (a query may ask twice), or until `stop` is requested.
std::vector<Seen::Asked> ask_gates(const config::Object& canary, const VersionNames& versions, const Moment& moment,
                                   const std::stop_token& stop = {});

}  // namespace sluice::rollout
