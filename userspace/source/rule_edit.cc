#include "source/rule_edit.h"

#include <algorithm>
#include <charconv>

#include "source/rule_edit_text.h"

namespace sluice::source {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::unexpected<Error> cannot(const std::string& why) {
    return fail("the rule cannot be edited in its file: " + why);
}

std::unexpected<Error> absent(const std::string& what) {
    return cannot("there is no " + what);
}

// A document, where its rules are, and what it means.
struct Document {
    const std::string& bytes;
    Span root;
    const char* list = "http";  // or tcp
    const Span* rules = nullptr;
    json meaning;

    json& rule_meaning(std::size_t rule) { return meaning["spec"][list][rule]; }
    std::string name(std::size_t rule) const { return std::string("spec.") + list + "[" + std::to_string(rule) + "]"; }
};

// The list of that name under spec, unless it is empty.
const Span* rules_of(const Span& root, const char* name) {
    const Span* spec = root.field("spec");
    const Span* list = spec == nullptr ? nullptr : spec->field(name);
    return list != nullptr && list->type == Span::Type::kSeq && !list->items.empty() ? list : nullptr;
}

Result<Document> read(const std::string& bytes) {
    auto root = read_spans(bytes);
    if (!root) {
        return cannot(root.error().message);
    }
    Document out{.bytes = bytes, .root = std::move(*root), .meaning = {}};
    out.meaning = out.root.meaning();
    return out;
}

// Looks again after a move: `rules` points into `root`.
Result<const Span*> find_rule(Document& document, std::size_t rule) {
    for (const char* list : {"http", "tcp"}) {
        document.rules = rules_of(document.root, list);
        if (document.rules != nullptr) {
            document.list = list;
            break;
        }
    }
    if (document.rules == nullptr || rule >= document.rules->items.size() ||
        document.rules->items[rule].type != Span::Type::kMap) {
        return absent(document.name(rule));
    }
    return &document.rules->items[rule];
}

Result<const Span*> find_route(const Document& document, const Span& rule, std::size_t number,
                               std::size_t destination) {
    const Span* route = rule.field("route");
    if (route == nullptr || route->type != Span::Type::kSeq || destination >= route->items.size() ||
        route->items[destination].type != Span::Type::kMap) {
        return absent(document.name(number) + ".route[" + std::to_string(destination) + "]");
    }
    return route;
}

// The text with the edits, which must mean what was wanted and nothing else.
Result<std::string> edited(const Document& document, std::vector<Patch> patches) {
    std::string out = patched(document.bytes, std::move(patches));
    const auto again = read_spans(out);
    if (!again || again->meaning() != document.meaning) {
        return cannot("its text is written in a way that a small edit would break; edit it by hand");
    }
    return out;
}

Result<std::string> edited(const Document& document, std::optional<Patch> patch) {
    return patch ? edited(document, std::vector<Patch>{std::move(*patch)})
                 : cannot("it shares its line with something else; edit it by hand");
}

std::string number_text(double number) {
    char buffer[400];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed).ptr;
    return {buffer, end};
}

ordered_json mirror_json(const std::string& host, const std::string& subset, std::uint16_t port, double percent) {
    ordered_json destination{{"host", host}};
    if (!subset.empty()) {
        destination["subset"] = subset;
    }
    if (port != 0) {
        destination["port"] = {{"number", port}};
    }
    // A whole number stays one in the text.
    const ordered_json value = ordered_json::parse(number_text(percent));
    return {{"destination", std::move(destination)}, {"percentage", {{"value", value}}}};
}

// What all edits of one rule begin with. `edit` is given the document and the rule's map.
template <typename Edit>
Result<std::string> edit_rule(const std::string& bytes, std::size_t rule, const Edit& edit) {
    auto document = read(bytes);
    if (!document) {
        return std::unexpected(document.error());
    }
    const auto found = find_rule(*document, rule);
    if (!found) {
        return std::unexpected(found.error());
    }
    return edit(*document, **found);
}

}  // namespace

Result<std::string> set_weights(const std::string& bytes, std::size_t rule,
                                const std::vector<std::pair<std::size_t, std::uint32_t>>& weights) {
    return edit_rule(bytes, rule, [&](Document& document, const Span& map) -> Result<std::string> {
        std::vector<Patch> patches;
        std::vector<std::size_t> seen;
        for (const auto& [destination, weight] : weights) {
            const auto route = find_route(document, map, rule, destination);
            if (!route) {
                return std::unexpected(route.error());
            }
            if (std::ranges::find(seen, destination) != seen.end()) {
                return cannot("two weights are given for one destination");
            }
            seen.push_back(destination);
            const Span& one = (*route)->items[destination];
            const Span number = scalar_span(std::to_string(weight), true);
            const std::size_t key = one.find("weight");
            patches.push_back(key < one.items.size() ? replace_value(one, key, number)
                                                     : append_field(bytes, one, "weight", number));
            document.rule_meaning(rule)["route"][destination]["weight"] = number.meaning();
        }
        return edited(document, std::move(patches));
    });
}

Result<std::string> add_destination(const std::string& bytes, std::size_t rule, std::size_t like,
                                    const std::string& subset, std::uint32_t weight) {
    return edit_rule(bytes, rule, [&](Document& document, const Span& map) -> Result<std::string> {
        const auto route = find_route(document, map, rule, like);
        if (!route) {
            return std::unexpected(route.error());
        }
        Span copy = (*route)->items[like];
        const std::size_t key = copy.find("destination");
        if (key == copy.items.size() || copy.items[key + 1].type != Span::Type::kMap) {
            return absent(document.name(rule) + ".route[" + std::to_string(like) + "].destination");
        }
        put_field(copy.items[key + 1], "subset", scalar_span(subset, false), "host");
        put_field(copy, "weight", scalar_span(std::to_string(weight), true), "destination");
        document.rule_meaning(rule)["route"].push_back(copy.meaning());
        return edited(document, append_item(bytes, **route, copy));
    });
}

Result<std::string> remove_destination(const std::string& bytes, std::size_t rule, std::size_t destination) {
    return edit_rule(bytes, rule, [&](Document& document, const Span& map) -> Result<std::string> {
        const auto route = find_route(document, map, rule, destination);
        if (!route) {
            return std::unexpected(route.error());
        }
        if ((*route)->items.size() == 1) {
            return cannot("it is the only destination of " + document.name(rule));
        }
        document.rule_meaning(rule)["route"].erase(destination);
        return edited(document, remove_item(bytes, **route, destination));
    });
}

Result<std::string> add_mirror(const std::string& bytes, std::size_t rule, const std::string& host,
                               const std::string& subset, std::uint16_t port, double percent) {
    return edit_rule(bytes, rule, [&](Document& document, const Span& map) -> Result<std::string> {
        if (map.field("mirror") != nullptr) {
            return cannot(document.name(rule) + " has a mirror already; with mirrors it can have several");
        }
        const ordered_json added = mirror_json(host, subset, port, percent);
        const Span item = span_of(added);
        const Span list = span_of(ordered_json::array({added}));
        json& mirrors = document.rule_meaning(rule)["mirrors"];
        const std::size_t key = map.find("mirrors");
        if (key == map.items.size() || map.items[key + 1].is_null()) {
            mirrors = json::array({meaning_of(added)});
            return edited(document, key == map.items.size() ? append_field(bytes, map, "mirrors", list)
                                                            : replace_value(map, key, list));
        }
        if (!mirrors.is_array()) {
            return cannot(document.name(rule) + ".mirrors is no list");
        }
        mirrors.push_back(meaning_of(added));
        return edited(document, append_item(bytes, map.items[key + 1], item));
    });
}

Result<std::string> remove_mirror(const std::string& bytes, std::size_t rule, std::size_t index) {
    return edit_rule(bytes, rule, [&](Document& document, const Span& map) -> Result<std::string> {
        const std::size_t key = map.find("mirrors");
        const Span* list = map.field("mirrors");
        if (list == nullptr || list->type != Span::Type::kSeq || index >= list->items.size()) {
            return absent(document.name(rule) + ".mirrors[" + std::to_string(index) + "]");
        }
        json& meaning = document.rule_meaning(rule);
        if (list->items.size() > 1) {
            meaning["mirrors"].erase(index);
            return edited(document, remove_item(bytes, *list, index));
        }
        meaning.erase("mirrors");
        return edited(document, remove_field(bytes, map, key));
    });
}

Result<std::string> insert_rule(const std::string& bytes, std::size_t before, const std::string& text) {
    const ordered_json rule = ordered_json::parse(text, nullptr, false);
    if (!rule.is_object()) {
        return cannot("what is to be written in is no JSON object");
    }
    return edit_rule(bytes, before, [&](Document& document, const Span&) {
        json& rules = document.meaning["spec"][document.list];
        rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(before), meaning_of(rule));
        return edited(document, insert_item(bytes, *document.rules, before, span_of(rule)));
    });
}

Result<std::string> remove_rule(const std::string& bytes, std::size_t rule) {
    return edit_rule(bytes, rule, [&](Document& document, const Span&) -> Result<std::string> {
        if (document.rules->items.size() == 1) {
            return cannot("it is the only one of its VirtualService");
        }
        document.meaning["spec"][document.list].erase(rule);
        return edited(document, remove_item(bytes, *document.rules, rule));
    });
}

}  // namespace sluice::source
