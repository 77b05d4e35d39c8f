#include "model/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace sluice::model {

using config::Experiment;
using config::ObjectPtr;

namespace {

const Experiment& spec_of(const ObjectPtr& object) {
    return std::get<Experiment>(object->spec);
}

// An A/A test has two arms of one destination.
std::size_t fewest_destinations(const Experiment& experiment) {
    return experiment.arms.empty() ? 2 : 1;
}

bool claims(const Experiment& experiment, const config::WeightedRule& rule) {
    return experiment.route.empty() ? rule.destinations.size() > 1 : rule.name == experiment.route;
}

std::string subset_of(const HttpRoute& route, std::size_t destination) {
    if (route.rule != nullptr && destination < route.rule->destinations.size()) {
        return route.rule->destinations[destination].subset;
    }
    const ClusterPtr& cluster = route.destinations[destination].cluster;
    return cluster == nullptr ? "" : cluster->subset;
}

// Arm i ends at bucket floor(buckets * (w0 + … + wi) / sum): one with a small weight may get none.
void warn_empty_arms(const ObjectPtr& object, const HttpRoute& rule, Report& report) {
    const Experiment& experiment = spec_of(object);
    const std::vector<ExperimentArm> arms = arms_of(rule);
    const std::uint64_t sum =
        std::accumulate(arms.begin(), arms.end(), std::uint64_t{0},
                        [](std::uint64_t total, const ExperimentArm& arm) { return total + arm.weight; });
    std::uint64_t weights = 0, begin = 0;
    for (const ExperimentArm& arm : arms) {
        weights += arm.weight;
        const std::uint64_t end = sum == 0 ? 0 : experiment.buckets * weights / sum;
        if (arm.weight != 0 && begin == end) {
            const std::string text = experiment.arms.empty() ? rule.destinations[arm.destination].text : arm.name;
            report.warning(*object, experiment.place, "spec.buckets",
                           fmt::format("{} of weight {} in {} gets none of {} buckets, so no request with a key: "
                                       "raise buckets to {} or more",
                                       text, arm.weight, sum, experiment.buckets, (sum + arm.weight - 1) / arm.weight));
        }
        begin = end;
    }
}

using Dangling = std::function<void(config::Place, const std::string& field, std::string message)>;

// Each arm needs its place in each rule that is split.
void check_arms(const Experiment& experiment, const config::Object& rules, const config::WeightedRule& rule,
                const Dangling& dangling) {
    const std::string where = fmt::format("rule {} of {} ({})", rule.name.empty() ? "without name" : rule.name,
                                          rules.key.text(), place_text(rules, rule.place));
    for (std::size_t i = 0; i < experiment.arms.size(); ++i) {
        const Experiment::Arm& arm = experiment.arms[i];
        const auto count = std::ranges::count(rule.destinations, arm.subset, &config::RouteDestination::subset);
        const std::string field = fmt::format("spec.arms[{}].subset", i);
        if (count > 1) {
            dangling(arm.place, field, fmt::format("{} has {} destinations with subset {}", where, count, arm.subset));
        } else if (count == 0) {
            std::vector<std::string> there;
            for (const config::RouteDestination& destination : rule.destinations) {
                there.push_back(destination.subset.empty() ? destination.host : destination.subset);
            }
            dangling(arm.place, field,
                     fmt::format("{} has no destination with subset {}, only {}", where, arm.subset,
                                 fmt::join(there, ", ")));
        }
    }
}

void check_rule(const ObjectPtr& object, const config::Object& rules, const config::WeightedRule& rule,
                const Dangling& dangling, Report& report) {
    const Experiment& experiment = spec_of(object);
    if (rule.destinations.size() < fewest_destinations(experiment)) {
        report.error(*object, experiment.route_place, "spec.route",
                     fmt::format("rule {} of {} ({}) has nothing to split: it has {}", rule.name, rules.key.text(),
                                 place_text(rules, rule.place),
                                 rule.destinations.empty() ? "no destination" : "one destination"));
        return;
    }
    check_arms(experiment, rules, rule, dangling);
}

void check_experiment(const Index& index, const std::string& host, const ObjectPtr& object, bool references_warn,
                      Report& report) {
    const Experiment& experiment = spec_of(object);
    const Dangling dangling = [&](config::Place place, const std::string& field, std::string message) {
        if (references_warn) {
            report.warning(*object, place, field, message + ": it splits nothing");
        } else {
            report.error(*object, place, field, std::move(message));
        }
    };
    if (!index.is_service(host)) {
        dangling(experiment.host_place, "spec.host", "no ServiceEntry or Service has the host " + host);
        return;
    }
    bool routed = false, found = false;
    index.for_each_rules(host, [&](const std::vector<ObjectPtr>& rules) {
        for (const ObjectPtr& object_rule : rules) {
            const auto& spec = std::get<config::VirtualService>(object_rule->spec);
            if (object_rule->key.ns != object->key.ns || spec.http.empty()) {
                continue;
            }
            routed = true;
            for (const config::WeightedRule& rule : spec.http) {
                if (claims(experiment, rule)) {
                    found = true;
                    check_rule(object, *object_rule, rule, dangling, report);
                }
            }
        }
        return false;
    });
    if (!routed) {
        dangling(experiment.host_place, "spec.host",
                 fmt::format("no VirtualService of namespace {} has http rules for {}", object->key.ns, host));
    } else if (!found && experiment.route.empty()) {
        dangling(experiment.host_place, "spec.host",
                 fmt::format("no rule for {} has several destinations: there is nothing to split", host));
    } else if (!found) {
        dangling(experiment.route_place, "spec.route",
                 fmt::format("no http rule for {} has the name {}", host, experiment.route));
    }
}

}  // namespace

std::vector<ExperimentArm> arms_of(const HttpRoute& route) {
    std::vector<ExperimentArm> out;
    if (route.experiment == nullptr) {
        return out;
    }
    if (route.experiment->arms.empty()) {
        for (std::uint32_t i = 0; i < route.destinations.size(); ++i) {
            const Destination& destination = route.destinations[i];
            std::string subset = subset_of(route, i);
            out.push_back({subset.empty() ? destination.text : subset, std::move(subset), destination.weight, i});
        }
        for (ExperimentArm& arm : out) {
            if (std::ranges::count(out, arm.subset, &ExperimentArm::subset) > 1) {
                arm.name = route.destinations[arm.destination].text;
            }
        }
        return out;
    }
    for (const Experiment::Arm& arm : route.experiment->arms) {
        ExperimentArm made{arm.name.empty() ? arm.subset : arm.name, arm.subset, arm.weight, 0};
        std::size_t found = 0;
        for (std::uint32_t i = 0; i < route.destinations.size(); ++i) {
            if (subset_of(route, i) == arm.subset) {
                made.destination = i;
                ++found;
            }
        }
        if (found != 1) {
            return {};
        }
        out.push_back(std::move(made));
    }
    return out;
}

void attach_experiments(const Index& index, const std::string& host, const config::Object& source,
                        std::vector<HttpRoute>& rules, Report& report) {
    for (const ObjectPtr& object : index.experiments(host, source.key.ns)) {
        for (HttpRoute& rule : rules) {
            if (rule.rule == nullptr || rule.destinations.size() < fewest_destinations(spec_of(object)) ||
                !claims(spec_of(object), *rule.rule)) {
                continue;
            }
            if (rule.experiment != nullptr) {
                report.error(*object, object->place, "spec.route",
                             fmt::format("the rule at {} is already split by {} ({}): name the rule that each means "
                                         "in spec.route",
                                         place_text(source, rule.rule->place), rule.experiment_source->key.text(),
                                         place_text(*rule.experiment_source, rule.experiment_source->place)));
                continue;
            }
            rule.experiment = &spec_of(object);
            rule.experiment_source = object;
            if (arms_of(rule).empty()) {  // check_experiments() says why
                rule.experiment = nullptr;
                rule.experiment_source = nullptr;
                continue;
            }
            warn_empty_arms(object, rule, report);
        }
    }
}

void check_experiments(const Index& index, const std::string& host, bool references_warn, Report& report) {
    const HostEntry* entry = index.find(host);
    if (entry == nullptr) {
        return;
    }
    for (const ObjectPtr& object : entry->experiments) {
        if (index.resolve(spec_of(object).host, object->key.ns) == host) {
            check_experiment(index, host, object, references_warn, report);
        }
    }
}

}  // namespace sluice::model
