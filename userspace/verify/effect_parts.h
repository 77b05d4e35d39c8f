// Parts of effect.h's sentences. Private to this room.
#pragma once

#include <string>
#include <vector>

#include "model/mesh.h"

namespace sluice::verify {

// What requests of one kind get: a rule, or where there are none (TCP, or the direct lane alone) the destinations.
struct Treatment {
    const model::ServicePort* service = nullptr;
    const model::HttpRoute* rule = nullptr;  // null: none matches, unless `plain`
    bool plain = false;                      // route->destinations
    bool served() const { return plain || rule != nullptr; }
};

// "v45 90% -> 75%, v47 10% -> 25% (15% of OF move); time-out 200ms -> time-out 300ms"; empty: no difference.
std::string difference_text(const Treatment& before, const Treatment& after, const std::string& of);
// "v45 90%, v47 10%; mirrors 10% to rank/v2".
std::string treatment_text(const Treatment& treatment);

// "v45: endpoints 2 -> 3 (10.0.0.3:80 is new)" and the like, of clusters that both have.
void cluster_lines(const model::ServicePort& before, const model::ServicePort& after, std::vector<std::string>& lines);

// A destination's subset, or its host where it has none or is another service's.
std::string label_of(const model::Destination& destination, const model::ServicePort& service);

}  // namespace sluice::verify
