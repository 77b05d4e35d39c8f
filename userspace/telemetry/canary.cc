// Metrics of canaries, and of the weights that they move.
#include "telemetry/canary.h"

#include <array>

#include "telemetry/exposition.h"

namespace sluice::telemetry {

namespace {

constexpr std::array kStates{"idle", "mirror", "stage", "paused", "promoted", "aborted"};
constexpr std::array kVerdicts{"pass", "fail", "no data"};

using LabelNames = std::vector<std::string>;

}  // namespace

void canary_families(SeriesBook& book, const Reading& reading, std::string& out) {
    static const LabelNames kOfCanary{"canary", "namespace"};
    static const LabelNames kOfState{"canary", "namespace", "service", "champion", "challenger", "state"};
    static const LabelNames kOfTransition{"canary", "namespace", "to"};
    static const LabelNames kOfGate{"canary", "namespace", "gate", "verdict"};
    Family states(book, "sluice_canary_state", "1 for the state that the canary is in.", Kind::kGauge, kOfState);
    Family stage(book, "sluice_canary_stage", "The stage that holds, from 1; 0: none.", Kind::kGauge, kOfCanary);
    Family weight(book, "sluice_canary_weight", "Percent of the challenger, in force.", Kind::kGauge, kOfCanary);
    Family transitions(book, "sluice_canary_transitions_total", "States entered since the agent began.", Kind::kCounter,
                       kOfTransition);
    Family gates(book, "sluice_canary_gate", "1 for the verdict of the gate's last look.", Kind::kGauge, kOfGate);
    for (const CanaryFacts& canary : reading.canaries) {
        const std::array<std::string_view, 2> who{canary.name, canary.ns};
        for (const char* state : kStates) {
            states.add(std::array<std::string_view, 6>{canary.name, canary.ns, canary.service, canary.champion,
                                                       canary.challenger, state},
                       canary.state == state ? 1 : 0);
        }
        stage.add(who, static_cast<double>(canary.stage));
        weight.add(who, canary.weight);
        for (const auto& [to, count] : canary.transitions) {
            transitions.add(std::array<std::string_view, 3>{canary.name, canary.ns, to}, static_cast<double>(count));
        }
        for (const auto& [gate, verdict] : canary.gates) {
            for (const char* one : kVerdicts) {
                gates.add(std::array<std::string_view, 4>{canary.name, canary.ns, gate, one}, verdict == one ? 1 : 0);
            }
        }
    }
    for (Family* family : {&states, &stage, &weight, &transitions, &gates}) {
        std::move(*family).write(out);
    }
}

void route_weight_family(SeriesBook& book, const Reading& reading, std::string& out) {
    static const LabelNames kLabels{"destination_service", "port", "route", "subset", "scope"};
    Family weights(book, "sluice_route_weight", "Share that a rule sets for a destination, of all requests it routes.",
                   Kind::kGauge, kLabels);
    for (const RouteWeight& weight : reading.route_weights) {
        const std::string port = std::to_string(weight.port);
        weights.add(std::array<std::string_view, 5>{weight.service, port, weight.route, weight.subset, weight.scope},
                    weight.share);
    }
    std::move(weights).write(out);
}

}  // namespace sluice::telemetry
