// Which requests go elsewhere when rules change: two states of services compared, in sentences such as
//   requests with header x-user-segment = "premium": v47 100% -> v45 100%
//   all others: v45 90% -> 75%, v47 10% -> 25% (15% of these requests move)
// Every kind of request that a rule of either state tells apart is followed through both; what becomes of requests that
// several rules match is said by the first of them, so where only the order of two such rules changes, those requests
// have a sentence of their own. A share that moves is exact: of weights that are drawn it is the mean. Regular
// expressions are compared by their text only. Pure, and in a fixed order.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/mesh.h"

namespace sluice::verify {

// One service port; null: it is not there.
struct ServiceChange {
    model::ServicePortPtr before, after;
};

struct Effect {
    std::string service;             // "ranking.ml.svc.cluster.local:8080", " for clients of NS" behind it
    std::vector<std::string> lines;  // sentences; never empty
};

// By service. Those where nothing differs that a client could notice are left out.
struct Effects {
    std::vector<Effect> services;
    std::size_t left_out = 0;  // services behind those, not looked at
    // "SERVICE: SENTENCE" each, and how many are left out.
    std::vector<std::string> text() const;
};

constexpr std::size_t kEffectsDefault = 50;  // services
constexpr std::size_t kEffectLines = 40;     // of one service; the rest is counted

Effects effects(std::span<const ServiceChange> changes, std::size_t limit = kEffectsDefault);

// What `delta` changes of `before`.
std::vector<ServiceChange> changes_of(const std::map<model::ServicePortKey, model::ServicePortPtr>& before,
                                      const model::Delta& delta);

}  // namespace sluice::verify
