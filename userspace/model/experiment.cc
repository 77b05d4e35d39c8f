#include "model/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace sluice::model {

using config::Experiment;
using config::ObjectPtr;

namespace {

const Experiment& spec_of(const ObjectPtr& object) {
    return std::get<Experiment>(object->spec);
}

bool claims(const Experiment& experiment, const config::WeightedRule& rule) {
    return experiment.route.empty() ? rule.destinations.size() > 1 : rule.name == experiment.route;
}

// Arm i ends at bucket floor(buckets * (w0 + … + wi) / sum): one with a small weight may get none.
void warn_empty_arms(const ObjectPtr& object, const HttpRoute& rule, Report& report) {
    const Experiment& experiment = spec_of(object);
    const std::uint64_t sum =
        std::accumulate(rule.destinations.begin(), rule.destinations.end(), std::uint64_t{0},
                        [](std::uint64_t total, const Destination& d) { return total + d.weight; });
    std::uint64_t weights = 0, begin = 0;
    for (const Destination& destination : rule.destinations) {
        weights += destination.weight;
        const std::uint64_t end = sum == 0 ? 0 : experiment.buckets * weights / sum;
        if (destination.weight != 0 && begin == end) {
            report.warning(*object, experiment.place, "spec.buckets",
                           fmt::format("{} of weight {} in {} gets none of {} buckets, so no request with a key: "
                                       "raise buckets to {} or more",
                                       destination.text, destination.weight, sum, experiment.buckets,
                                       (sum + destination.weight - 1) / destination.weight));
        }
        begin = end;
    }
}

void check_experiment(const Index& index, const std::string& host, const ObjectPtr& object, bool references_warn,
                      Report& report) {
    const Experiment& experiment = spec_of(object);
    const auto dangling = [&](config::Place place, const char* field, std::string message) {
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
                if (!claims(experiment, rule)) {
                    continue;
                }
                found = true;
                if (rule.destinations.size() < 2) {
                    report.error(*object, experiment.route_place, "spec.route",
                                 fmt::format("rule {} of {} ({}) has nothing to split: it has {}", rule.name,
                                             object_rule->key.text(), place_text(*object_rule, rule.place),
                                             rule.destinations.empty() ? "no destination" : "one destination"));
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

void attach_experiments(const Index& index, const std::string& host, const config::Object& source,
                        std::vector<HttpRoute>& rules, Report& report) {
    for (const ObjectPtr& object : index.experiments(host, source.key.ns)) {
        for (HttpRoute& rule : rules) {
            if (rule.rule == nullptr || rule.destinations.size() < 2 || !claims(spec_of(object), *rule.rule)) {
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
