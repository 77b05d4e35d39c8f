#include "verify/effect.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "verify/effect_parts.h"
#include "verify/overlap.h"
#include "verify/words.h"

namespace sluice::verify {

namespace {

using config::HttpMatch;
using model::HttpRoute;
using model::ServicePort;

constexpr std::size_t kElementsMax = 200;  // of `match`, in one service: all are compared with all

// A rule and what it asks of requests.
struct Rule {
    const HttpRoute* route = nullptr;
    std::vector<const HttpMatch*> elements;  // empty: every request
    bool all = false;                        // every request that comes to it
    std::string text() const {
        std::string out;
        for (const HttpMatch* element : elements) {
            out += (out.empty() ? "" : " or ") + match_text(*element);
        }
        return out.empty() ? "every request" : out;
    }
};

// One state of a service port, as requests meet it.
class State {
  public:
    explicit State(const ServicePort& service) : service_(service) {
        for (const HttpRoute& route : service.route->http) {
            Rule& rule = rules_.emplace_back(Rule{&route, {}, route.catch_all || route.rule == nullptr});
            for (const std::uint32_t i : route.matches) {
                rule.elements.push_back(&route.rule->http->matches[i]);
            }
        }
    }

    const std::vector<Rule>& rules() const { return rules_; }
    Treatment plain() const { return {&service_, nullptr, rules_.empty()}; }

    // What requests get that match all of `elements`; none of them: what no rule asks for by name.
    Treatment treat(std::initializer_list<const HttpMatch*> elements) const {
        for (const Rule& rule : rules_) {
            const bool taken = rule.all || std::ranges::any_of(rule.elements, [&](const HttpMatch* outer) {
                                   return std::ranges::any_of(
                                       elements, [&](const HttpMatch* inner) { return covers(*outer, *inner); });
                               });
            if (taken) {
                return {&service_, rule.route, false};
            }
        }
        return plain();
    }

    std::size_t elements() const {
        std::size_t out = 0;
        for (const Rule& rule : rules_) {
            out += rule.elements.size();
        }
        return out;
    }
    bool asks_for(const HttpMatch& element) const { return position(element).has_value(); }
    // Of the first rule that asks in just these words.
    std::optional<std::size_t> position(const HttpMatch& element) const {
        for (std::size_t i = 0; i < rules_.size(); ++i) {
            for (const HttpMatch* own : rules_[i].elements) {
                if (covers(*own, element) && covers(element, *own)) {
                    return i;
                }
            }
        }
        return std::nullopt;
    }

    // Rules that no request reaches, by what they ask.
    std::set<std::string> unreachable() const;

  private:
    const ServicePort& service_;
    std::vector<Rule> rules_;
};

std::string rule_name(const config::WeightedRule& rule, const std::string& asks) {
    return rule.name.empty() ? "the rule for " + asks : fmt::format("rule {} ({})", rule.name, asks);
}

std::set<std::string> State::unreachable() const {
    std::set<std::string> out;
    for (std::size_t i = 0; i < rules_.size(); ++i) {
        const Rule& rule = rules_[i];
        const bool covered = !rule.elements.empty() && std::ranges::all_of(rule.elements, [&](const HttpMatch* own) {
            return std::ranges::any_of(
                rules_.begin(), rules_.begin() + static_cast<std::ptrdiff_t>(i), [&](const Rule& r) {
                    return std::ranges::any_of(r.elements,
                                               [&](const HttpMatch* outer) { return covers(*outer, *own); });
                });
        });
        if (covered) {
            out.insert(rule_name(*rule.route->rule, rule.text()));
        }
    }
    // Behind one that matches everything the model keeps none.
    const model::Route& route = *service_.route;
    if (route.source == nullptr || rules_.empty() || !rules_.back().all || rules_.back().route->rule == nullptr) {
        return out;
    }
    const auto& written = std::get<config::VirtualService>(route.source->spec).http;
    const config::WeightedRule* last = rules_.back().route->rule;
    for (const config::WeightedRule& rule : written) {
        if (&rule <= last) {
            continue;
        }
        std::string asks;
        for (const HttpMatch& match : rule.http == nullptr ? std::vector<HttpMatch>() : rule.http->matches) {
            asks += (asks.empty() ? "" : " or ") + match_text(match);
        }
        out.insert(rule_name(rule, asks.empty() ? "every request" : asks));
    }
    return out;
}

class Comparison {
  public:
    Comparison(const ServicePort& before, const ServicePort& after)
        : before_service_(before), after_service_(after), before_(before), after_(after) {}

    std::vector<std::string> run() {
        const std::size_t elements = std::max(before_.elements(), after_.elements());
        const bool few = elements <= kElementsMax;
        if (few) {
            for (const Rule& rule : after_.rules()) {
                follow(rule, false);
            }
            for (const Rule& rule : before_.rules()) {
                follow(rule, true);
            }
        } else if (before_service_.route->source != after_service_.route->source) {
            lines_any_match_ = true;
            lines_.push_back(
                fmt::format("its rules have {} conditions, too many to follow one by one: see the texts", elements));
        }
        const std::string rest = difference_text(before_.treat({}), after_.treat({}), noun(lines_any_match_));
        if (!rest.empty()) {
            const char* who = config::is_http(after_service_.protocol) ? "requests" : "connections";
            lines_.push_back(lines_any_match_ ? "all others: " + rest : fmt::format("all {}: {}", who, rest));
        }
        if (few) {
            reordered();
            unreachable();
        }
        whole_service();
        cluster_lines(before_service_, after_service_, lines_);
        return std::move(lines_);
    }

  private:
    std::string noun(bool some) const {
        return std::string(some ? "these " : "") +
               (config::is_http(after_service_.protocol) ? "requests" : "connections");
    }

    // What a rule asks for, through both states; elements that fare alike share a sentence.
    void follow(const Rule& rule, bool gone) {
        std::vector<std::pair<std::string, std::string>> sentences;  // what becomes of them, who
        for (const HttpMatch* element : rule.elements) {
            const std::string who = match_text(*element);
            if (who == "every request" || (gone && after_.asks_for(*element))) {
                continue;
            }
            lines_any_match_ = true;
            const std::string what = difference_text(before_.treat({element}), after_.treat({element}), noun(true));
            auto same = std::ranges::find(sentences, what, &std::pair<std::string, std::string>::first);
            if (same != sentences.end()) {
                same->second += " or " + who;
            } else {
                sentences.emplace_back(what, who);
            }
        }
        for (const auto& [what, who] : sentences) {
            if (!what.empty()) {
                lines_.push_back(fmt::format("requests with {}: {}", who, what));
            }
        }
    }

    // Requests that two rules match, where another of the two is now the first.
    void reordered() {
        pairs(after_, [&](const HttpMatch& first, const HttpMatch& second) {
            const auto a = before_.position(first), b = before_.position(second);
            return b && (!a || *a > *b);
        });
        pairs(before_, [&](const HttpMatch& first, const HttpMatch& second) {
            return !after_.asks_for(first) && after_.asks_for(second);
        });
    }

    // Of elements in the order of a state that some requests match both.
    void pairs(const State& state, const std::function<bool(const HttpMatch&, const HttpMatch&)>& turned) {
        const auto& rules = state.rules();
        for (std::size_t i = 0; i < rules.size(); ++i) {
            for (std::size_t j = i + 1; j < rules.size(); ++j) {
                for (const HttpMatch* a : rules[i].elements) {
                    for (const HttpMatch* b : rules[j].elements) {
                        if (!disjoint(*a, *b) && !covers(*a, *b) && !covers(*b, *a) && turned(*a, *b)) {
                            both(*a, *b);
                        }
                    }
                }
            }
        }
    }

    void both(const HttpMatch& first, const HttpMatch& second) {
        const std::string what =
            difference_text(before_.treat({&first, &second}), after_.treat({&first, &second}), noun(true));
        if (!what.empty()) {
            lines_.push_back(
                fmt::format("requests with both {} and {}: {}", match_text(first), match_text(second), what));
        }
    }

    void unreachable() {
        const std::set<std::string> then = before_.unreachable();
        for (const std::string& rule : after_.unreachable()) {
            if (!then.contains(rule)) {
                lines_.push_back(rule + " is never reached: rules before it take all its requests");
            }
        }
    }

    void whole_service() {
        const model::Route &then = *before_service_.route, &now = *after_service_.route;
        if (then.lane != now.lane) {
            const std::string why = now.lane_reasons.empty() ? "" : " (" + now.lane_reasons.front() + ")";
            lines_.push_back(
                fmt::format("lane {} -> {}{}", model::lane_name(then.lane), model::lane_name(now.lane), why));
        }
        if (then.spill != now.spill) {
            lines_.push_back(now.spill ? "a subset that is down spills over to the others"
                                       : "a subset that is down no longer spills over to the others");
        }
        if (then.drain != now.drain) {
            lines_.push_back(
                fmt::format("drain {} -> {}", config::drain_name(then.drain), config::drain_name(now.drain)));
        }
        if (before_service_.addresses != after_service_.addresses) {
            lines_.push_back("its addresses change");
        }
        if (before_service_.protocol != after_service_.protocol) {
            lines_.push_back(fmt::format("protocol {} -> {}", config::protocol_name(before_service_.protocol),
                                         config::protocol_name(after_service_.protocol)));
        }
    }

    const ServicePort &before_service_, &after_service_;
    State before_, after_;
    std::vector<std::string> lines_;
    bool lines_any_match_ = false;  // some requests are told apart
};

// Of a service that is new or gone.
std::vector<std::string> alone(const ServicePort& service, bool is_new) {
    const State state(service);
    std::vector<std::string> lines{is_new ? "is new" : "is gone: connections to it are no longer the mesh's"};
    const char* verb = is_new ? "" : "had ";
    for (const Rule& rule : state.rules()) {
        lines.push_back(fmt::format("{}: {}{}",
                                    rule.all ? (&rule == &state.rules().front() ? "all requests" : "all others")
                                             : "requests with " + rule.text(),
                                    verb, treatment_text({&service, rule.route, false})));
    }
    if (state.rules().empty()) {
        lines.push_back(fmt::format("all connections: {}{}", verb, treatment_text(state.plain())));
    }
    return lines;
}

std::string name_of(const ServicePort& service) {
    return fmt::format("{}:{}{}", service.host, service.port,
                       service.scope.empty() ? "" : " for clients of " + service.scope);
}

}  // namespace

Effects effects(std::span<const ServiceChange> changes, std::size_t limit) {
    Effects out;
    for (const ServiceChange& change : changes) {
        if (!change.before && !change.after) {
            continue;
        }
        if (out.services.size() == limit) {
            ++out.left_out;
            continue;
        }
        std::vector<std::string> lines = !change.before  ? alone(*change.after, true)
                                         : !change.after ? alone(*change.before, false)
                                                         : Comparison(*change.before, *change.after).run();
        if (lines.empty()) {
            continue;
        }
        if (lines.size() > kEffectLines) {
            const std::size_t more = lines.size() - kEffectLines;
            lines.resize(kEffectLines);
            lines.push_back(fmt::format("and {} more", more));
        }
        out.services.push_back({name_of(change.after ? *change.after : *change.before), std::move(lines)});
    }
    return out;
}

std::vector<ServiceChange> changes_of(const std::map<model::ServicePortKey, model::ServicePortPtr>& before,
                                      const model::Delta& delta) {
    std::map<model::ServicePortKey, ServiceChange> out;
    const auto then = [&](const model::ServicePortKey& key) {
        const auto found = before.find(key);
        return found == before.end() ? nullptr : found->second;
    };
    for (const model::ServicePortPtr& service : delta.changed) {
        const model::ServicePortKey key{service->scope, service->host, service->port};
        out[key] = {then(key), service};
    }
    for (const model::ServicePortKey& key : delta.removed) {
        out[key] = {then(key), nullptr};
    }
    std::vector<ServiceChange> list;
    for (auto& [key, change] : out) {
        list.push_back(std::move(change));
    }
    return list;
}

std::vector<std::string> Effects::text() const {
    std::vector<std::string> out;
    for (const Effect& effect : services) {
        for (const std::string& line : effect.lines) {
            out.push_back(effect.service + ": " + line);
        }
    }
    if (left_out > 0) {
        out.push_back(fmt::format("{} more services are touched", left_out));
    }
    return out;
}

}  // namespace sluice::verify
