// Advice on Experiments and Canaries: shares that cannot be met, stages that see too little.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "model/experiment.h"
#include "model/names.h"
#include "verify/advice_parts.h"
#include "verify/words.h"

namespace sluice::verify {

namespace {

using config::Canary;
using config::Gate;
using model::HttpRoute;

// An arm may have a twentieth more or less users than its weight says.
constexpr double kArmError = 0.05;
// A stage may have a percentage point more or less than it says, and a tenth of it.
constexpr double kStageError = 0.01, kStageErrorShare = 0.1;
// What is twice as bad as allowed is to be found with this chance, and more often than it is missed.
constexpr double kWantedPower = 0.8, kLeastPower = 0.5;
constexpr std::uint64_t kMostRequests = 10'000'000;

// ---- Experiments

// Arms have whole buckets: with few of them a small share is met badly.
void advise_buckets(const HttpRoute& route, Found& found) {
    const config::Experiment& experiment = *route.experiment;
    const std::vector<model::ExperimentArm> arms = model::arms_of(route);
    std::uint64_t sum = 0, end = 0, weights = 0;
    for (const model::ExperimentArm& arm : arms) {
        sum += arm.weight;
    }
    for (const model::ExperimentArm& arm : arms) {
        const std::uint64_t begin = end;
        weights += arm.weight;
        end = sum == 0 ? 0 : experiment.buckets * weights / sum;
        if (arm.weight == 0 || begin == end) {  // none at all: the model says so
            continue;
        }
        const double wanted = static_cast<double>(arm.weight) / static_cast<double>(sum);
        const double has = static_cast<double>(end - begin) / static_cast<double>(experiment.buckets);
        if (std::abs(has - wanted) > kArmError * wanted) {
            found.add("SL307", *route.experiment_source, experiment.place, "spec.buckets",
                      fmt::format("arm {} has {} of {} buckets, which is {} of the users instead of {}: raise buckets "
                                  "(1000 is common)",
                                  arm.name, end - begin, experiment.buckets, share_text(has), share_text(wanted)));
        }
    }
}

// ---- Canaries

// The rule that a canary moves, as its namespace sees it; null: not found, which others report.
const HttpRoute* moved_rule(const model::Mesh& mesh, const config::Object& object, const Canary& canary) {
    const auto has = [](const HttpRoute& route, const std::string& subset) {
        return std::ranges::any_of(route.rule->destinations,
                                   [&](const config::RouteDestination& one) { return one.subset == subset; });
    };
    for (const std::string& host : model::readings(canary.host, object.key.ns)) {
        for (const std::string& scope : {object.key.ns, std::string()}) {
            for (auto it = mesh.services().lower_bound({scope, host, 0});
                 it != mesh.services().end() && it->first.scope == scope && it->first.host == host; ++it) {
                const HttpRoute* lone = nullptr;
                for (const HttpRoute& route : it->second->route->http) {
                    if (route.rule == nullptr || (!canary.route.empty() && route.rule->name != canary.route)) {
                        continue;
                    }
                    const bool named = !canary.route.empty();
                    if (has(route, canary.champion) && (named || has(route, canary.challenger))) {
                        return &route;
                    }
                    lone = lone == nullptr && route.catch_all && has(route, canary.champion) ? &route : lone;
                }
                if (lone != nullptr) {
                    return lone;
                }
            }
        }
    }
    return nullptr;
}

std::string stage_field(std::size_t index) {
    return fmt::format("spec.stages[{}]", index);
}

void advise_times(const config::Object& object, const Canary& canary, Found& found) {
    for (std::size_t i = 0; i < canary.stages.size(); ++i) {
        const auto hold = canary.stages[i].hold;
        if (hold.count() != 0 && hold < canary.interval) {
            found.add("SL302", object, canary.place, stage_field(i) + ".hold",
                      fmt::format("{} is shorter than the interval of {} between looks: a bad challenger is not seen "
                                  "before the stage ends",
                                  duration_text(hold), duration_text(canary.interval)));
        }
    }
    if (canary.data_timeout < canary.interval) {
        found.add("SL303", object, canary.place, "spec.dataTimeout",
                  fmt::format("{} is shorter than the interval of {} between looks: one look without data after a hold "
                              "rolls back",
                              duration_text(canary.data_timeout), duration_text(canary.interval)));
    }
}

// The longest range of a PromQL query, "[5m]"; 0: it has none.
std::chrono::nanoseconds longest_range(std::string_view query) {
    static const std::map<std::string_view, double> kUnits{{"ms", 0.001}, {"s", 1},      {"m", 60},      {"h", 3600},
                                                           {"d", 86400},  {"w", 604800}, {"y", 31536000}};
    double longest = 0;
    for (std::size_t at = query.find('['); at != std::string_view::npos; at = query.find('[', at + 1)) {
        double seconds = 0;
        std::size_t i = at + 1;
        while (i < query.size() && query[i] >= '0' && query[i] <= '9') {
            double number = 0;
            for (; i < query.size() && query[i] >= '0' && query[i] <= '9'; ++i) {
                number = number * 10 + (query[i] - '0');
            }
            std::size_t end = i;
            while (end < query.size() && query[end] >= 'a' && query[end] <= 'z') {
                ++end;
            }
            const auto unit = kUnits.find(query.substr(i, end - i));
            if (unit == kUnits.end()) {
                break;
            }
            seconds += number * unit->second;
            i = end;
        }
        longest = std::max(longest, seconds);
    }
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(std::min(longest, 1e9)));
}

// A range that reaches back behind the stage mixes in what other weights did.
void advise_ranges(const config::Object& object, const Canary& canary, Found& found) {
    std::chrono::nanoseconds shortest{0};
    for (const Canary::Stage& stage : canary.stages) {
        if (stage.hold.count() != 0 && (shortest.count() == 0 || stage.hold < shortest)) {
            shortest = stage.hold;
        }
    }
    for (std::size_t i = 0; i < canary.gates.size(); ++i) {
        const auto range =
            std::max(longest_range(canary.gates[i].query), longest_range(canary.gates[i].champion_query));
        if (shortest.count() != 0 && range > shortest) {
            found.add("SL304", object, canary.gates[i].place, fmt::format("spec.gates[{}].query", i),
                      fmt::format("looks {} back, and a stage holds for {}: most of what it sees is from before",
                                  duration_text(range), duration_text(shortest)));
        }
    }
}

// Weights are whole numbers: of few a small stage cannot be made.
void advise_stages(const config::Object& object, const Canary& canary, const HttpRoute& route, Found& found) {
    std::uint64_t sum = 0;
    for (const config::RouteDestination& one : route.rule->destinations) {
        if (one.subset == canary.champion || one.subset == canary.challenger) {
            sum += one.weight.value_or(0);
        }
    }
    sum = sum == 0 ? 100 : sum;
    for (std::size_t i = 0; i < canary.stages.size(); ++i) {
        const double wanted = canary.stages[i].weight / 100.0;
        if (wanted >= 1) {
            continue;
        }
        const auto all = static_cast<double>(sum);
        const double has = sum < 2 ? 1 : std::clamp(std::round(all * wanted), 1.0, all - 1) / all;
        if (std::abs(has - wanted) > kStageError && std::abs(has - wanted) > kStageErrorShare * wanted) {
            found.add("SL305", object, canary.place, stage_field(i) + ".weight",
                      fmt::format("the weights of {} and {} add up to {} ({}:{}): a stage of {} becomes {}; weights "
                                  "that add up to 100 can be moved in steps of 1%",
                                  canary.champion, canary.challenger, sum, route.source->file, route.rule->place.line,
                                  share_text(wanted), share_text(has)));
        }
    }
}

// Keyed users follow the experiment's boundaries, not the weights alone.
void advise_experiment(const config::Object& object, const Canary& canary, const HttpRoute& route, Found& found) {
    if (route.experiment == nullptr || !route.experiment->arms.empty()) {  // arms of its own: refused by the model
        return;
    }
    const std::string experiment = route.experiment_source->key.text();
    const auto& destinations = route.rule->destinations;
    const auto at = [&](const std::string& subset) {
        return std::ranges::find(destinations, subset, &config::RouteDestination::subset) - destinations.begin();
    };
    const auto [low, high] = std::minmax({at(canary.champion), at(canary.challenger)});
    for (auto i = low + 1; i < high && high < std::ssize(destinations); ++i) {
        const config::RouteDestination& between = destinations[static_cast<std::size_t>(i)];
        if (between.weight.value_or(0) != 0) {
            found.add(
                "SL306", object, canary.place, "spec.challenger",
                fmt::format("{} stands between {} and {} in the rule ({}:{}) that {} splits: each stage moves users "
                            "of {} too; put the two side by side",
                            between.subset, canary.champion, canary.challenger, route.source->file, between.place.line,
                            experiment, between.subset));
        }
    }
}

void advise_power(const config::Object& object, const Canary& canary, const Knowledge& knowledge, Found& found) {
    for (std::size_t i = 0; knowledge.power && i < canary.gates.size(); ++i) {
        const Gate& gate = canary.gates[i];
        const auto power = knowledge.power(canary, gate, canary.minimum_requests);
        if (!power || *power >= kLeastPower) {
            continue;
        }
        std::uint64_t needed = std::max<std::uint64_t>(canary.minimum_requests, 1);
        while (needed < kMostRequests && knowledge.power(canary, gate, needed).value_or(1) < kWantedPower) {
            needed += std::max<std::uint64_t>(needed / 10, 1);
        }
        found.add("SL301", object, gate.place, "spec.minimumRequests",
                  fmt::format("with {} requests gate {} finds a challenger twice as bad as it allows with a chance of "
                              "{:.0f}%; about {} are needed for {:.0f}%",
                              canary.minimum_requests, gate.name, *power * 100, needed, kWantedPower * 100));
    }
}

}  // namespace

void advise_splits(const model::Mesh& mesh, const Knowledge& knowledge, Found& found) {
    for (const auto& [key, port] : mesh.services()) {
        for (const HttpRoute& route : port->route->http) {
            if (route.experiment != nullptr && route.experiment_source != nullptr) {
                advise_buckets(route, found);
            }
        }
    }
    for (const auto& [key, object] : mesh.objects()) {
        const auto* canary = std::get_if<Canary>(&object->spec);
        if (canary == nullptr) {
            continue;
        }
        advise_times(*object, *canary, found);
        advise_ranges(*object, *canary, found);
        advise_power(*object, *canary, knowledge, found);
        if (const HttpRoute* route = moved_rule(mesh, *object, *canary)) {
            advise_stages(*object, *canary, *route, found);
            advise_experiment(*object, *canary, *route, found);
        }
    }
}

}  // namespace sluice::verify
