#include "model/weigh.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "model/canary.h"
#include "model/names.h"
#include "model/report.h"

namespace sluice::model {

using config::ObjectPtr;
using config::WeightedRule;

namespace {

const std::vector<WeightedRule>& rules_of(const config::Object& object) {
    const auto& spec = std::get<config::VirtualService>(object.spec);
    return spec.http.empty() ? spec.tcp : spec.http;
}

const std::string& name_of(const config::RouteDestination& destination) {
    return destination.subset.empty() ? destination.host : destination.subset;
}

std::string names_of(const WeightedRule& rule) {
    std::vector<std::string> out;
    for (const config::RouteDestination& destination : rule.destinations) {
        out.push_back(name_of(destination));
    }
    return out.empty() ? "no destination" : fmt::format("{}", fmt::join(out, ", "));
}

bool is_for(const config::Object& object, const std::string& service) {
    const std::string wanted = canonical_host(service);
    return std::ranges::any_of(std::get<config::VirtualService>(object.spec).hosts, [&](const std::string& host) {
        return std::ranges::any_of(readings(host, object.key.ns), [&](const std::string& reading) {
            return reading == wanted || reading.starts_with(wanted + ".");
        });
    });
}

std::string rule_text(const config::Object& object, const WeightedRule& rule) {
    return fmt::format("rule {} of {} ({})", rule.name.empty() ? "without name" : rule.name, object.key.text(),
                       place_text(object, rule.place));
}

// What stands in the way of a wish; empty: nothing, and `at` is the destination.
std::string unfit(const WeightedRule& rule, const Wish& wish, std::size_t& at) {
    const auto is = [&](const config::RouteDestination& d) { return name_of(d) == wish.name; };
    const auto found = std::ranges::find_if(rule.destinations, is);
    if (found == rule.destinations.end()) {
        return "has no " + wish.name + ", only " + names_of(rule);
    }
    at = static_cast<std::size_t>(found - rule.destinations.begin());
    const auto count = std::ranges::count_if(rule.destinations, is);
    return count == 1 ? "" : fmt::format("has {} destinations with {}, of which none can be told", count, wish.name);
}

}  // namespace

Result<std::vector<Wish>> read_wishes(std::string_view text) {
    std::vector<Wish> out;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t comma = std::min(text.find(',', begin), text.size());
        const std::string_view part = text.substr(begin, comma - begin);
        const std::size_t equals = part.rfind('=');
        Wish wish;
        bool good = equals != std::string_view::npos && equals > 0;
        if (good) {
            const std::string_view number = part.substr(equals + 1);
            const auto parsed = std::from_chars(number.data(), number.data() + number.size(), wish.weight);
            good = parsed.ec == std::errc() && parsed.ptr == number.data() + number.size();
            wish.name = part.substr(0, equals);
        }
        if (!good) {
            return fail(fmt::format("a weight is SUBSET=NUMBER, such as v47=10, found '{}'", part));
        }
        if (std::ranges::find(out, wish.name, &Wish::name) != out.end()) {
            return fail(fmt::format("{} is given two weights", wish.name));
        }
        out.push_back(std::move(wish));
        begin = comma + 1;
    }
    return out;
}

const WeightedRule& WeighedRule::parsed() const {
    return rules_of(*virtual_service)[rule];
}

std::string WeighedRule::text() const {
    return rule_text(*virtual_service, parsed());
}

Result<WeighedRule> weighed_rule(const std::map<config::ObjectKey, ObjectPtr>& objects, const std::string& service,
                                 const std::string& route, const std::vector<Wish>& wishes) {
    std::vector<WeighedRule> fits;
    std::vector<std::string> others;
    for (auto it = objects.lower_bound({config::Kind::kVirtualService, "", ""});
         it != objects.end() && it->first.kind == config::Kind::kVirtualService; ++it) {
        const ObjectPtr& object = it->second;
        const std::vector<WeightedRule>& rules = rules_of(*object);
        for (std::size_t i = 0; is_for(*object, service) && i < rules.size(); ++i) {
            if (!route.empty() && rules[i].name != route) {
                continue;
            }
            WeighedRule fit{object, std::get<config::VirtualService>(object->spec).http.empty(), i, {}};
            std::string problem;
            for (std::size_t wish = 0; wish < wishes.size() && problem.empty(); ++wish) {
                problem = unfit(rules[i], wishes[wish], fit.destinations.emplace_back());
            }
            if (problem.empty()) {
                fits.push_back(std::move(fit));
            } else {
                others.push_back(rule_text(*object, rules[i]) + " " + problem);
            }
        }
    }
    if (fits.size() == 1) {
        return std::move(fits.front());
    }
    if (fits.size() > 1) {
        std::string text = "several rules fit; say which with --route:";
        for (const WeighedRule& fit : fits) {
            text += "\n  " + fit.text();
        }
        return fail(std::move(text));
    }
    if (others.empty()) {
        return fail(fmt::format("no VirtualService has a rule {}for {}",
                                route.empty() ? "" : "with the name " + route + " ", service));
    }
    return fail(fmt::format("no rule for {} has all of these destinations:\n  {}", service, fmt::join(others, "\n  ")));
}

std::vector<Weighed> weighed(const WeighedRule& rule, const std::vector<Wish>& wishes) {
    std::vector<Weighed> out;
    for (const config::RouteDestination& destination : rule.parsed().destinations) {
        out.push_back({name_of(destination), destination.weight, destination.weight});
    }
    for (std::size_t i = 0; i < wishes.size(); ++i) {
        out[rule.destinations[i]].after = wishes[i].weight;
    }
    return out;
}

std::vector<std::string> canaries_of(const std::map<config::ObjectKey, ObjectPtr>& objects, const WeighedRule& rule) {
    std::vector<std::string> out;
    for (auto it = objects.lower_bound({config::Kind::kCanary, rule.virtual_service->key.ns, ""});
         it != objects.end() && it->first.kind == config::Kind::kCanary && it->first.ns == rule.virtual_service->key.ns;
         ++it) {
        const auto moved = canary_rule(*it->second, *rule.virtual_service);
        if (moved && moved->rule == rule.rule) {
            out.push_back(it->first.text());
        }
    }
    return out;
}

}  // namespace sluice::model
