// Canaries and the weights of rules, as metrics show them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sluice::telemetry {

struct CanaryFacts {
    std::string name, ns, service, champion, challenger;
    std::string state;                                               // idle, mirror, stage, paused, promoted, aborted
    std::uint64_t stage = 0;                                         // from 1; 0: none
    std::uint32_t weight = 0;                                        // percent of the challenger, in force
    std::vector<std::pair<std::string, std::uint64_t>> transitions;  // by the state that was entered
    std::vector<std::pair<std::string, std::string>> gates;          // name, verdict of the last look
};

// What a rule sets for one of its destinations.
struct RouteWeight {
    std::string service;  // whole host
    std::uint16_t port = 0;
    std::string route;   // the rule's name
    std::string subset;  // of the destination; empty: none
    std::string scope;   // the namespace whose clients follow the rule; empty: all
    double share = 0;    // 0..1
};

}  // namespace sluice::telemetry
