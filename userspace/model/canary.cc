#include "model/canary.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/http_rule.h"
#include "model/check.h"

namespace sluice::model {

using config::Canary;
using config::ObjectPtr;
using config::VirtualService;
using config::WeightedRule;

namespace {

const Canary& spec_of(const config::Object& object) {
    return std::get<Canary>(object.spec);
}

// Which field of the canary names what is not there.
struct Missing {
    config::Place place;
    const char* field;
    std::string message;
};

const std::vector<WeightedRule>& rules_of(const VirtualService& spec) {
    return spec.http.empty() ? spec.tcp : spec.http;
}

bool without_match(const WeightedRule& rule) {
    return rule.http != nullptr ? rule.http->matches.empty() : rule.needs_request_lane.empty();
}

// Whether a host in a rule can be the canary's.
bool same_host(const config::Object& canary, const std::string& host, const std::string& ns) {
    const std::vector<std::string> own = readings(spec_of(canary).host, canary.key.ns);
    return std::ranges::any_of(readings(host, ns), [&](const std::string& reading) {
        return std::ranges::any_of(own, [&](const std::string& name) {
            return is_wildcard(reading) ? name.ends_with(std::string_view(reading).substr(1)) : name == reading;
        });
    });
}

// The destinations of a rule that are that subset of the canary's host.
std::vector<std::size_t> destinations_of(const config::Object& canary, const config::Object& owner,
                                         const WeightedRule& rule, const std::string& subset) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < rule.destinations.size(); ++i) {
        const config::RouteDestination& destination = rule.destinations[i];
        if (destination.subset == subset && same_host(canary, destination.host, owner.key.ns)) {
            out.push_back(i);
        }
    }
    return out;
}

std::expected<std::size_t, Missing> choose(const config::Object& object, const config::Object& owner) {
    const Canary& canary = spec_of(object);
    const std::vector<WeightedRule>& rules = rules_of(std::get<VirtualService>(owner.spec));
    const std::string own = internal_rule_name(object);
    const auto has = [&](const WeightedRule& rule, const std::string& subset) {
        return !destinations_of(object, owner, rule, subset).empty();
    };
    const auto first = [&](const auto& fits) {
        const auto it = std::ranges::find_if(rules, [&](const WeightedRule& r) { return r.name != own && fits(r); });
        return static_cast<std::size_t>(it - rules.begin());
    };
    std::size_t found = 0;
    if (!canary.route.empty()) {
        found = first([&](const WeightedRule& rule) { return rule.name == canary.route; });
        if (found == rules.size()) {
            return std::unexpected(
                Missing{canary.route_place, "spec.route",
                        fmt::format("{} has no rule with the name {}", owner.key.text(), canary.route)});
        }
        if (!has(rules[found], canary.champion)) {
            return std::unexpected(Missing{
                canary.champion_place, "spec.champion",
                fmt::format("rule {} of {} ({}) has no destination with subset {} of {}", canary.route,
                            owner.key.text(), place_text(owner, rules[found].place), canary.champion, canary.host)});
        }
        return found;
    }
    found = first([&](const WeightedRule& r) { return has(r, canary.champion) && has(r, canary.challenger); });
    if (found == rules.size()) {
        found = first([&](const WeightedRule& r) { return without_match(r) && has(r, canary.champion); });
    }
    if (found == rules.size()) {
        return std::unexpected(Missing{
            canary.champion_place, "spec.champion",
            fmt::format(
                "no rule of {} has destinations with subset {} and {} of {}, and none without match has {}; name "
                "the rule in spec.route",
                owner.key.text(), canary.champion, canary.challenger, canary.host, canary.champion)});
    }
    return found;
}

std::expected<CanaryRule, Missing> find_rule(const config::Object& object, const config::Object& owner) {
    const Canary& canary = spec_of(object);
    const auto& spec = std::get<VirtualService>(owner.spec);
    if (owner.key.ns != object.key.ns || std::ranges::none_of(spec.hosts, [&](const std::string& host) {
            return same_host(object, host, owner.key.ns);
        })) {
        return std::unexpected(Missing{
            canary.host_place, "spec.host",
            fmt::format("{} is not for host {} in namespace {}", owner.key.text(), canary.host, object.key.ns)});
    }
    const auto chosen = choose(object, owner);
    if (!chosen) {
        return std::unexpected(chosen.error());
    }
    const WeightedRule& rule = rules_of(spec)[*chosen];
    const auto champions = destinations_of(object, owner, rule, canary.champion);
    const auto challengers = destinations_of(object, owner, rule, canary.challenger);
    for (const auto* several : {&champions, &challengers}) {
        if (several->size() > 1) {
            const bool of_champion = several == &champions;
            return std::unexpected(
                Missing{of_champion ? canary.champion_place : canary.challenger_place,
                        of_champion ? "spec.champion" : "spec.challenger",
                        fmt::format("the rule at {} has {} destinations with subset {}", place_text(owner, rule.place),
                                    several->size(), of_champion ? canary.champion : canary.challenger)});
        }
    }
    return CanaryRule{.tcp = spec.http.empty(),
                      .rule = *chosen,
                      .champion = champions.front(),
                      .challenger = challengers.empty() ? std::nullopt : std::optional(challengers.front())};
}

std::expected<CanaryTarget, Missing> find_target(const config::Object& object,
                                                 const std::vector<ObjectPtr>& candidates) {
    const Canary& canary = spec_of(object);
    std::optional<CanaryTarget> found;
    std::optional<Missing> why;
    for (const ObjectPtr& owner : candidates) {
        auto rule = find_rule(object, *owner);
        if (rule && found) {
            return std::unexpected(
                Missing{canary.host_place, "spec.host",
                        fmt::format("both {} ({}) and {} ({}) have a rule with subset {}: it is not "
                                    "clear which is meant",
                                    found->virtual_service->key.text(),
                                    place_text(*found->virtual_service, found->virtual_service->place),
                                    owner->key.text(), place_text(*owner, owner->place), canary.champion)});
        }
        if (rule) {
            found = CanaryTarget{owner, *rule};
        } else if (!why || std::string_view(why->field) == "spec.host") {
            why = std::move(rule.error());
        }
    }
    if (found) {
        return std::move(*found);
    }
    if (!why || std::string_view(why->field) == "spec.host") {
        why = Missing{canary.host_place, "spec.host",
                      fmt::format("no VirtualService of namespace {} has rules for {}", object.key.ns, canary.host)};
    }
    return std::unexpected(std::move(*why));
}

// VirtualServices of the canary's namespace for its host.
std::vector<ObjectPtr> candidates_of(const Index& index, const std::string& host, const std::string& ns) {
    std::vector<ObjectPtr> out;
    index.for_each_rules(host, [&](const std::vector<ObjectPtr>& rules) {
        std::ranges::copy_if(rules, std::back_inserter(out), [&](const ObjectPtr& rule) { return rule->key.ns == ns; });
        return false;
    });
    return out;
}

// What the canary asks of its rule that the rule cannot give.
void check_rule(const Index& index, const std::string& host, const ObjectPtr& object, const CanaryTarget& target,
                Report& report) {
    const Canary& canary = spec_of(*object);
    const config::Object& owner = *target.virtual_service;
    const WeightedRule& rule = rules_of(std::get<VirtualService>(owner.spec))[target.rule.rule];
    const std::string where = fmt::format("{} ({})", owner.key.text(), place_text(owner, rule.place));
    if (canary.mirror && rule.http != nullptr && rule.http->mirror_alone) {
        report.error(*object, canary.place, "spec.mirror",
                     fmt::format("the rule of {} has a mirror already; write it as an element of mirrors, beside which "
                                 "the canary's can stand",
                                 where));
    }
    const bool asks_requests =
        canary.mirror || !canary.internal.empty() || std::ranges::any_of(canary.gates, [](const config::Gate& gate) {
            return gate.kind == config::Gate::Kind::kErrorRate || gate.kind == config::Gate::Kind::kLatency;
        });
    if (target.rule.tcp && asks_requests) {
        report.error(*object, canary.place, "spec",
                     fmt::format("{} has tcp rules, where no requests are seen: only gates with query and webhook are "
                                 "possible, neither mirror nor internal",
                                 where));
    }
    for (const ObjectPtr& experiment : index.experiments(host, object->key.ns)) {
        const auto& split = std::get<config::Experiment>(experiment->spec);
        if (!split.arms.empty() && (split.route.empty() ? rule.destinations.size() > 1 : split.route == rule.name)) {
            report.error(*object, canary.place, "spec",
                         fmt::format("{} ({}) splits the rule of {} by weights of its own, so that moving the rule's "
                                     "weights would do nothing",
                                     experiment->key.text(), place_text(*experiment, experiment->place), where));
        }
    }
}

}  // namespace

std::string internal_rule_name(const config::Object& canary) {
    return "canary-" + canary.key.name + "-internal";
}

Result<CanaryRule> canary_rule(const config::Object& canary, const config::Object& virtual_service) {
    auto found = find_rule(canary, virtual_service);
    return found ? Result<CanaryRule>(*found) : fail(std::move(found.error().message));
}

Result<CanaryTarget> canary_target(const config::Object& canary,
                                   const std::map<config::ObjectKey, ObjectPtr>& objects) {
    std::vector<ObjectPtr> candidates;
    for (auto it = objects.lower_bound({config::Kind::kVirtualService, canary.key.ns, ""});
         it != objects.end() && it->first.kind == config::Kind::kVirtualService && it->first.ns == canary.key.ns;
         ++it) {
        candidates.push_back(it->second);
    }
    auto found = find_target(canary, candidates);
    return found ? Result<CanaryTarget>(std::move(*found)) : fail(std::move(found.error().message));
}

void check_canaries(const Index& index, const std::string& host, bool references_warn, Report& report) {
    std::map<std::pair<config::ObjectKey, std::size_t>, ObjectPtr> movers;
    for (const ObjectPtr& object : index.canaries(host)) {
        const Canary& canary = spec_of(*object);
        const auto dangling = [&](config::Place place, const char* field, std::string message) {
            if (references_warn) {
                report.warning(*object, place, field, message + ": it cannot be started");
            } else {
                report.error(*object, place, field, std::move(message));
            }
        };
        if (!index.is_service(host)) {
            dangling(canary.host_place, "spec.host", "no ServiceEntry or Service has the host " + host);
            continue;
        }
        const std::vector<std::string> subsets = subsets_of(index, host);
        for (const bool of_champion : {true, false}) {
            const std::string& subset = of_champion ? canary.champion : canary.challenger;
            if (std::ranges::find(subsets, subset) == subsets.end()) {
                dangling(of_champion ? canary.champion_place : canary.challenger_place,
                         of_champion ? "spec.champion" : "spec.challenger",
                         fmt::format("no DestinationRule declares the subset {} of host {}; declared: {}", subset, host,
                                     subsets.empty() ? "none" : fmt::format("{}", fmt::join(subsets, ", "))));
            }
        }
        const auto target = find_target(*object, candidates_of(index, host, object->key.ns));
        if (!target) {
            dangling(target.error().place, target.error().field, target.error().message);
            continue;
        }
        check_rule(index, host, object, *target, report);
        const auto [other, alone] = movers.try_emplace({target->virtual_service->key, target->rule.rule}, object);
        if (!alone) {
            report.error(*object, object->place, "spec.route",
                         fmt::format("{} ({}) moves the same rule; delete the one that is done, or name another rule",
                                     other->second->key.text(), place_text(*other->second, other->second->place)));
        }
    }
}

}  // namespace sluice::model
