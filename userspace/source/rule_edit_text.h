// Small edits of a YAML text by the spans of its nodes: fields and items written in or taken out, in the style of what
// is around them (block or flow, indentation, line breaks). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "source/rule_edit_tree.h"

namespace sluice::source {

struct Patch {
    std::size_t begin = 0;
    std::size_t end = 0;  // behind the last byte that goes
    std::string text;     // what comes in its place
};

// Patches must not overlap; two at one place come in their order.
std::string patched(std::string_view bytes, std::vector<Patch> patches);

// Nodes that are to be written: only type, flow, plain, text, items and, of block collections, the columns relative to
// each other count.
Span scalar_span(std::string text, bool plain);
Span span_of(const nlohmann::ordered_json& value);  // flow style
// Replaces or adds a field; a new one comes behind the field `behind`, or last.
void put_field(Span& map, std::string_view key, Span value, std::string_view behind);

// In the place of a field's value, also of one that is not written at all ("weight:"). `key`: of its key in `items`.
// Values are written in flow style.
Patch replace_value(const Span& map, std::size_t key, const Span& with);
// A further field at the end of a mapping.
Patch append_field(std::string_view bytes, const Span& map, std::string_view key, const Span& value);
// Items of lists. Nothing: it shares its line with something, so that it cannot be told apart.
Patch append_item(std::string_view bytes, const Span& list, const Span& item);
std::optional<Patch> insert_item(std::string_view bytes, const Span& list, std::size_t before, const Span& item);
// Not the only one of a list.
std::optional<Patch> remove_item(std::string_view bytes, const Span& list, std::size_t index);
// `key`: of its key in `items`. Not the first one of a mapping.
std::optional<Patch> remove_field(std::string_view bytes, const Span& map, std::size_t key);

}  // namespace sluice::source
