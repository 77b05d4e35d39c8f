// An experiment with arms of its own, on a rule with the destinations v45, v47 and v43.
#pragma once

#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include "proxy/experiment.h"
#include "tests/unit/proxy/routes.h"

namespace sluice::proxy::test {

struct ArmOf {
    std::string name, subset;
    std::uint32_t weight = 0;
};

inline config::Experiment experiment_with(const std::vector<ArmOf>& arms, std::uint32_t buckets = 100) {
    config::Experiment made;
    made.name = "salt";
    made.key.name = "x-user-id";
    made.buckets = buckets;
    for (const ArmOf& arm : arms) {
        made.arms.push_back({arm.name, arm.subset, arm.weight, {}});
    }
    return made;
}

class Arms {
  public:
    explicit Arms(const std::vector<ArmOf>& arms, std::uint32_t buckets = 100) : Arms(experiment_with(arms, buckets)) {}
    explicit Arms(config::Experiment experiment) : experiment_(std::move(experiment)) {
        auto object = std::make_shared<config::Object>();
        object->key = {config::Kind::kExperiment, "ml", "trial"};
        service.rule({{"v45", 1}, {"v47", 1}, {"v43", 0}}, "split");
        service.last().experiment = &experiment_;
        service.last().experiment_source = object;
        split_ = split_of(service.last());
    }
    Arms(const Arms&) = delete;
    Arms& operator=(const Arms&) = delete;

    const Split& split() const { return *split_; }

    Service service;

  private:
    const config::Experiment experiment_;
    std::shared_ptr<const Split> split_;
};

}  // namespace sluice::proxy::test
