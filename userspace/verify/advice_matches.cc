// Advice on what rules match: what an earlier one takes away, and users told apart by regular expressions.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "config/http_rule.h"
#include "verify/advice_parts.h"
#include "verify/overlap.h"
#include "verify/words.h"

namespace sluice::verify {

namespace {

using config::HttpMatch;
using config::NamedMatch;

// An element of `match`, wherever it is in force.
struct Element {
    const config::Object* object = nullptr;
    const config::WeightedRule* rule = nullptr;
    std::size_t rule_index = 0;
    std::uint32_t match = 0;
    std::size_t seen = 0, shadowed = 0;  // in how many views of how many ports
    // The one that takes its requests, in the last of these.
    const config::WeightedRule* by_rule = nullptr;
    std::uint32_t by_match = 0;
};
using Elements = std::unordered_map<const HttpMatch*, Element>;

struct Earlier {
    const config::WeightedRule* rule;
    std::uint32_t match;
};

// Elements that can match on one port, in order: each against those before it.
void look_at(const model::Route& route, Elements& elements) {
    std::vector<Earlier> earlier;
    for (const model::HttpRoute& each : route.http) {
        if (each.rule == nullptr || each.rule->http == nullptr || each.source == nullptr) {
            continue;
        }
        const auto& http = std::get<config::VirtualService>(each.source->spec).http;
        const auto index = std::ranges::find_if(http, [&](const auto& rule) { return &rule == each.rule; });
        for (const std::uint32_t number : each.matches) {
            const HttpMatch& match = each.rule->http->matches[number];
            Element& element = elements[&match];
            element.object = each.source.get();
            element.rule = each.rule;
            element.rule_index = static_cast<std::size_t>(index - http.begin());
            element.match = number;
            ++element.seen;
            const auto by = std::ranges::find_if(
                earlier, [&](const Earlier& other) { return covers(other.rule->http->matches[other.match], match); });
            if (by != earlier.end()) {
                ++element.shadowed;
                element.by_rule = by->rule;
                element.by_match = by->match;
            }
            earlier.push_back({each.rule, number});
        }
    }
}

void advise_shadowed(const model::Mesh& mesh, Found& found) {
    Elements elements;
    for (const auto& [key, port] : mesh.services()) {
        look_at(*port->route, elements);
    }
    for (const auto& [match, element] : elements) {
        if (element.shadowed == 0 || element.shadowed != element.seen) {
            continue;
        }
        const HttpMatch& by = element.by_rule->http->matches[element.by_match];
        const bool own = element.by_rule == element.rule;
        found.add("SL104", *element.object, match->place.line != 0 ? match->place : element.rule->place,
                  fmt::format("spec.http[{}].match[{}]", element.rule_index, element.match),
                  fmt::format("never decides: {} ({}) matches all of its requests before ({})",
                              own ? "an earlier element of the same match" : "an earlier rule",
                              fmt::format("line {}", (by.place.line != 0 ? by.place : element.by_rule->place).line),
                              match_text(by)));
    }
}

// ---- users by regular expression

// Words of a header's name that say who asks.
bool names_user(std::string_view name) {
    static constexpr std::array<std::string_view, 12> kWho{"user",      "uid",     "userid",   "session",
                                                           "sessionid", "visitor", "customer", "account",
                                                           "member",    "device",  "deviceid", "subscriber"};
    while (!name.empty()) {
        const std::size_t end = std::min(name.find_first_of("-_."), name.size());
        if (std::ranges::find(kWho, name.substr(0, end)) != kWho.end()) {
            return true;
        }
        name.remove_prefix(std::min(end + 1, name.size()));
    }
    return false;
}

// The end of a character class that begins at 0; npos: none does, or one of a single character.
std::size_t class_end(std::string_view text) {
    if (!text.starts_with('[')) {
        return std::string_view::npos;
    }
    const std::size_t end = text.find(']', 2);
    return end == std::string_view::npos || end == 2 ? std::string_view::npos : end + 1;
}

bool is_rest(std::string_view text) {
    return text == ".*" || text == ".+" || text == "\\S*" || text == "\\w*" || text == "\\w+" || text == "\\S+";
}

// "[0-9a-c].*" and ".*[0-4]": a share of the users by one character of their ids, instead of by a hash.
bool splits_by_character(std::string_view regex) {
    while (regex.starts_with('^') || regex.starts_with("(?i)")) {
        regex.remove_prefix(regex.front() == '^' ? 1 : 4);
    }
    while (regex.ends_with('$')) {
        regex.remove_suffix(1);
    }
    const std::size_t first = class_end(regex);
    if (first != std::string_view::npos && is_rest(regex.substr(first))) {
        return true;
    }
    const std::size_t last = regex.rfind('[');
    return last != std::string_view::npos && last != 0 && is_rest(regex.substr(0, last)) &&
           class_end(regex.substr(last)) == regex.size() - last;
}

void advise_users(const model::Mesh& mesh, Found& found) {
    for_each_http_rule(mesh, [&](const config::Object& object, const config::WeightedRule& rule, std::size_t index) {
        for (std::size_t i = 0; rule.http != nullptr && i < rule.http->matches.size(); ++i) {
            const HttpMatch& match = rule.http->matches[i];
            const std::pair<const char*, const std::vector<NamedMatch>*> lists[] = {
                {"headers", &match.headers}, {"withoutHeaders", &match.without_headers}, {"queryParams", &match.query}};
            for (const auto& [list, named] : lists) {
                for (const NamedMatch& one : *named) {
                    if (one.match.kind == config::StringMatch::Kind::kRegex && names_user(one.name) &&
                        splits_by_character(one.match.text)) {
                        found.add("SL106", object, one.match.place,
                                  fmt::format("spec.http[{}].match[{}].{}[{}].regex", index, i, list, one.name),
                                  fmt::format("\"{}\" splits users by a character of {}: shares depend on how ids are "
                                              "made, and users change sides when it is edited; an Experiment splits "
                                              "by hash",
                                              one.match.text, one.name));
                    }
                }
            }
        }
    });
}

}  // namespace

void advise_matches(const model::Mesh& mesh, Found& found) {
    advise_shadowed(mesh, found);
    advise_users(mesh, found);
}

}  // namespace sluice::verify
