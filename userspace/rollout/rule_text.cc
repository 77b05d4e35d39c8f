#include "rollout/rule_text.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "config/http_rule.h"
#include "config/parse.h"
#include "model/canary.h"
#include "source/rule_edit.h"

namespace sluice::rollout {

namespace {

using Json = nlohmann::ordered_json;

// A lone destination without weight gets everything: as 100 parts.
constexpr std::uint32_t kLone = 100;

// A document, and where in it the canary's part is. `challenger`: its destination; empty: it has none.
struct Found {
    config::ObjectPtr object;
    bool tcp = false;
    std::size_t rule = 0, champion = 0;
    std::optional<std::size_t> challenger;
    std::optional<std::size_t> internal;  // another rule
    std::optional<std::size_t> mirror;    // of the rule's mirrors

    const config::WeightedRule& moved() const {
        const auto& service = std::get<config::VirtualService>(object->spec);
        return tcp ? service.tcp[rule] : service.http[rule];
    }
    std::uint32_t weight(std::size_t destination) const {
        const auto& all = moved().destinations;
        const std::uint32_t given = all[destination].weight.value_or(0);
        return all.size() == 1 && given == 0 ? kLone : given;
    }
};

const config::Canary& spec_of(const config::Object& canary) {
    return std::get<config::Canary>(canary.spec);
}

Result<config::ObjectPtr> parsed(const std::string& document) {
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(document, "the rule", {}, objects, diagnostics);
    if (diagnostics.has_errors() || objects.size() != 1) {
        const auto& items = diagnostics.items;
        return fail(items.empty() ? "the rule's document holds not one object" : items.front().text());
    }
    if (!std::holds_alternative<config::VirtualService>(objects.front()->spec)) {
        return fail("the rule's document is not a VirtualService");
    }
    return objects.front();
}

Result<Found> find(const config::Object& canary, const std::string& document) {
    auto object = parsed(document);
    if (!object) {
        return std::unexpected(object.error());
    }
    auto place = model::canary_rule(canary, **object);
    if (!place) {
        return std::unexpected(place.error());
    }
    Found out{.object = *object,
              .tcp = place->tcp,
              .rule = place->rule,
              .champion = place->champion,
              .challenger = place->challenger,
              .internal = {},
              .mirror = {}};
    const auto& rules = std::get<config::VirtualService>(out.object->spec).http;
    const auto internal = std::ranges::find(rules, model::internal_rule_name(canary), &config::WeightedRule::name);
    if (internal != rules.end()) {
        out.internal = static_cast<std::size_t>(internal - rules.begin());
    }
    if (const auto& http = out.moved().http; http != nullptr) {
        const std::string& host = out.moved().destinations[out.champion].host;
        const auto mirror = std::ranges::find_if(http->mirrors, [&](const config::Mirror& one) {
            return one.destination.host == host && one.destination.subset == spec_of(canary).challenger;
        });
        if (mirror != http->mirrors.end()) {
            out.mirror = static_cast<std::size_t>(mirror - http->mirrors.begin());
        }
    }
    return out;
}

// Whether copies to the challenger are the canary's own.
Part part(const config::Object& canary, const Found& found) {
    Part out;
    out.champion = found.weight(found.champion);
    if (found.challenger) {
        out.challenger = found.weight(*found.challenger);
    }
    out.mirrored = spec_of(canary).mirror && found.mirror;
    out.internal = found.internal.has_value();
    return out;
}

// A chain of edits: each finds its place anew, in what the one before has made.
class Edit {
  public:
    Edit(const config::Object& canary, std::string text) : canary_(canary), text_(std::move(text)) {}

    template <typename Do>
    Edit& then(const Do& change) {
        if (error_) {
            return *this;
        }
        auto found = find(canary_, text_);
        if (!found) {
            error_ = std::move(found.error());
            return *this;
        }
        Result<std::string> next = change(*found, std::as_const(text_));
        if (next) {
            text_ = std::move(*next);
        } else {
            error_ = std::move(next.error());
        }
        return *this;
    }
    Result<std::string> done() { return error_ ? Result<std::string>(std::unexpected(*error_)) : std::move(text_); }

  private:
    const config::Object& canary_;
    std::string text_;
    std::optional<Error> error_;
};

Result<std::string> with_weights(const config::Object& canary, const Found& found, const std::string& text,
                                 std::uint32_t champion, std::optional<std::uint32_t> challenger) {
    std::vector<std::pair<std::size_t, std::uint32_t>> weights{{found.champion, champion}};
    if (challenger && found.challenger) {
        weights.emplace_back(*found.challenger, *challenger);
    }
    auto out = source::set_weights(text, found.rule, weights);
    if (out && challenger && !found.challenger) {
        return source::add_destination(*out, found.rule, found.champion, spec_of(canary).challenger, *challenger);
    }
    return out;
}

// Out of a document that others edited, the canary's part alone. `was`: what the rule said without it.
Result<std::string> taken_out(const config::Object& canary, const Part& was, const std::string& present) {
    return Edit(canary, present)
        .then([&](const Found& found, const std::string& text) -> Result<std::string> {
            return found.internal && !was.internal ? source::remove_rule(text, *found.internal) : text;
        })
        .then([&](const Found& found, const std::string& text) -> Result<std::string> {
            const bool ours = spec_of(canary).mirror && found.mirror && !was.mirrored;
            return ours ? source::remove_mirror(text, found.rule, *found.mirror) : text;
        })
        .then([&](const Found& found, const std::string& text) -> Result<std::string> {
            if (!was.challenger && found.challenger) {
                auto without = source::remove_destination(text, found.rule, *found.challenger);
                if (!without) {
                    return without;
                }
                const std::size_t champion = found.champion - (found.champion > *found.challenger ? 1 : 0);
                return source::set_weights(*without, found.rule, {{champion, was.champion.value_or(kLone)}});
            }
            return part(canary, found) == was
                       ? text
                       : with_weights(canary, found, text, was.champion.value_or(0), was.challenger);
        })
        .done();
}

// W percent of what both have together; at least one part for each while it is neither 0 nor 100.
std::uint32_t share(std::uint64_t together, std::uint32_t percent) {
    const std::uint64_t exact = (together * percent + 50) / 100;
    const std::uint64_t low = percent > 0 ? 1 : 0;
    const std::uint64_t high = percent < 100 ? together - 1 : together;
    return static_cast<std::uint32_t>(std::clamp(exact, low, high));
}

std::string internal_rule(const config::Object& canary, const config::RouteDestination& champion) {
    Json destination{{"host", champion.host}, {"subset", spec_of(canary).challenger}};
    if (champion.port != 0) {
        destination["port"] = {{"number", champion.port}};
    }
    Json rule{{"name", model::internal_rule_name(canary)}, {"match", Json::parse(spec_of(canary).internal)}};
    rule["route"] = Json::array({Json{{"destination", std::move(destination)}}});
    return rule.dump();
}

Result<std::string> put_in(const config::Object& canary, const std::string& former, const Wanted& wanted) {
    using What = Wanted::What;
    return Edit(canary, former)
        .then([&](const Found& found, const std::string& text) -> Result<std::string> {
            if (wanted.what != What::kWeight) {
                return text;
            }
            const Part was = part(canary, found);
            const std::uint64_t together = std::uint64_t{was.champion.value_or(0)} + was.challenger.value_or(0);
            if (together < 2) {
                return fail("champion and challenger have no weight to share");
            }
            const std::uint32_t challenger = share(together, wanted.weight);
            return with_weights(canary, found, text, static_cast<std::uint32_t>(together - challenger), challenger);
        })
        .then([&](const Found& found, const std::string& text) -> Result<std::string> {
            const config::RouteDestination& champion = found.moved().destinations[found.champion];
            const auto& mirror = spec_of(canary).mirror;
            return wanted.what == What::kMirror && mirror
                       ? source::add_mirror(text, found.rule, champion.host, spec_of(canary).challenger, champion.port,
                                            mirror->share / 10'000.0)
                       : text;
        })
        .then([&](const Found& found, const std::string& text) -> Result<std::string> {
            const config::RouteDestination& champion = found.moved().destinations[found.champion];
            return wanted.internal && !found.internal
                       ? source::insert_rule(text, found.rule, internal_rule(canary, champion))
                       : text;
        })
        .done();
}

}  // namespace

Result<Part> part_of(const config::Object& canary, const std::string& document) {
    auto found = find(canary, document);
    return found ? Result<Part>(part(canary, *found)) : std::unexpected(found.error());
}

Result<> startable(const config::Object& canary, const std::string& document) {
    auto found = find(canary, document);
    if (!found) {
        return std::unexpected(found.error());
    }
    const config::Canary& spec = spec_of(canary);
    const Part now = part(canary, *found);
    const std::uint64_t together = std::uint64_t{now.champion.value_or(0)} + now.challenger.value_or(0);
    if (together < 2) {
        return fail(
            fmt::format("{} and {} have weight {} together: there is nothing to move, give their rule weights "
                        "that make 100",
                        spec.champion, spec.challenger, together));
    }
    if (now.champion == 0u) {
        return fail(
            fmt::format("{} has the weight 0 already: nothing is left to move to {}", spec.champion, spec.challenger));
    }
    if (found->tcp && (spec.mirror || !spec.internal.empty())) {
        return fail("the rule is of tcp: it has no copies (mirror) and no match (internal)");
    }
    if (found->internal) {
        return fail("a rule named " + model::internal_rule_name(canary) +
                    " is there already: give it another name or remove it");
    }
    if (spec.mirror && found->mirror) {
        return fail(
            fmt::format("the rule has copies to {} already: remove them, or `mirror` of the canary", spec.challenger));
    }
    // All that the canary will do to it must be possible.
    for (const Wanted& wanted :
         {Wanted{spec.mirror ? Wanted::What::kMirror : Wanted::What::kFormer, 0, false},
          Wanted{Wanted::What::kWeight, 1, !spec.internal.empty()}, Wanted{Wanted::What::kWeight, 100, false}}) {
        if (auto text = put_in(canary, document, wanted); !text) {
            return std::unexpected(text.error());
        }
    }
    return {};
}

Result<Edited> edited(const config::Object& canary, const std::string& former, const std::string& written,
                      const std::string& present, const Wanted& wanted) {
    std::string base = former;
    if (!same_text(present, written)) {
        auto was = part_of(canary, former);
        if (!was) {
            return std::unexpected(was.error());
        }
        auto without = taken_out(canary, *was, present);
        if (!without) {
            return std::unexpected(without.error());
        }
        base = std::move(*without);
    }
    auto text = put_in(canary, base, wanted);
    if (!text) {
        return std::unexpected(text.error());
    }
    return Edited{std::move(base), std::move(*text)};
}

bool same_text(const std::string& a, const std::string& b) {
    auto content = [](std::string_view text) { return text.substr(0, text.find_last_not_of("\r\n") + 1); };
    return content(a) == content(b);
}

std::string part_text(const config::Canary& canary, const Part& part) {
    auto weight = [](std::optional<std::uint32_t> value) { return value ? std::to_string(*value) : "none"; };
    return fmt::format("{} {}, {} {}", canary.champion, weight(part.champion), canary.challenger,
                       weight(part.challenger));
}

std::string difference_text(const config::Canary& canary, const Part& was, const Part& is) {
    std::string out;
    auto add = [&](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
    if (was.champion != is.champion || was.challenger != is.challenger) {
        add(fmt::format("now {}, were {}", part_text(canary, is), part_text(canary, was)));
    }
    if (was.mirrored != is.mirrored) {
        add(is.mirrored ? "copies to the challenger were added" : "the copies to the challenger were removed");
    }
    if (was.internal != is.internal) {
        add(is.internal ? "the rule for internal users was added" : "the rule for internal users was removed");
    }
    return out;
}

}  // namespace sluice::rollout
