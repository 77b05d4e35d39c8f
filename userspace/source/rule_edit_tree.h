// A YAML document as a tree whose nodes know their bytes, for edits that keep all others. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::source {

struct Span {
    enum class Type : std::uint8_t { kScalar, kMap, kSeq };

    Type type = Type::kScalar;
    bool flow = false;        // a collection in brackets
    bool plain = false;       // a scalar without quotes
    std::size_t column = 0;   // characters in front of `begin` on its line; of a block list: in front of its dashes
    std::size_t begin = 0;    // of a block list: its first dash
    std::size_t end = 0;      // of a block collection: of its last scalar or flow collection
    std::string text;         // of a scalar
    std::vector<Span> items;  // of a mapping: key, value, key, value…

    bool is_null() const;
    // The value of a mapping's key, unless it is null.
    const Span* field(std::string_view key) const;
    // The same with nulls; the index of the key in `items`, or items.size().
    std::size_t find(std::string_view key) const;
    // What it means, for comparisons: a mapping as an object, a list as an array, a scalar as a text that begins with
    // 'q' for a text (however it is quoted) and with 'p' for other plain values; null as null.
    nlohmann::json meaning() const;
};

// The one document of `bytes`. Errors, with their line: not YAML, a second document, anchors, aliases, tags, keys that
// are no scalars or stand twice, nesting over 64 levels.
Result<Span> read_spans(std::string_view bytes);

// The same form of a JSON value.
nlohmann::json meaning_of(const nlohmann::ordered_json& value);
nlohmann::json meaning_of_text(std::string_view text);

}  // namespace sluice::source
