#include "source/rule_edit_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "config/scalar.h"

namespace sluice::source {

namespace {

// ---- lines
std::size_t line_begin(std::string_view bytes, std::size_t at) {
    const std::size_t newline = at == 0 ? std::string_view::npos : bytes.rfind('\n', at - 1);
    return newline == std::string_view::npos ? 0 : newline + 1;
}

// Of the line that `at` is on, unless it is at a line's start: then nothing of that line was used.
std::size_t line_end(std::string_view bytes, std::size_t at) {
    if (at > 0 && bytes[at - 1] == '\n') {
        return at;
    }
    const std::size_t newline = bytes.find('\n', at);
    return newline == std::string_view::npos ? bytes.size() : newline + 1;
}

// As the document's first line ends.
std::string line_break(std::string_view bytes) {
    const std::size_t newline = bytes.find('\n');
    return newline != std::string_view::npos && newline > 0 && bytes[newline - 1] == '\r' ? "\r\n" : "\n";
}

bool only(std::string_view text, std::string_view characters) {
    return text.find_first_not_of(characters) == std::string_view::npos;
}

bool first_on_line(std::string_view bytes, std::size_t at) {
    const std::size_t begin = line_begin(bytes, at);
    return begin > 0 && only(bytes.substr(begin, at - begin), " \t");
}

std::string_view indentation(std::string_view bytes, std::size_t at) {
    const std::size_t begin = line_begin(bytes, at);
    return bytes.substr(begin, at - begin);
}

// Whole lines behind the line on which something ends; the last line of a text may lack its end.
Patch lines_behind(std::string_view bytes, std::size_t end, std::string lines) {
    const std::size_t at = line_end(bytes, end);
    const std::string ending = line_break(bytes);
    return {at, at, at > 0 && bytes[at - 1] == '\n' ? lines + ending : ending + lines};
}

// ---- scalars
// Characters that YAML does not take as they are, or takes for line breaks, as \u; the rest as JSON writes it.
std::string in_quotes(std::string_view text) {
    std::string out = "\"";
    const auto escape = [&](unsigned code) {
        std::array<char, 8> buffer{};
        std::snprintf(buffer.data(), buffer.size(), "\\u%04x", code & 0xffff);
        out += buffer.data();
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto follows = [&](std::size_t n) {
            return i + n < text.size() ? static_cast<unsigned char>(text[i + n]) : 0u;
        };
        if (byte == '"' || byte == '\\') {
            out += '\\';
            out += text[i];
        } else if (byte < 0x20 || byte == 0x7f) {
            escape(byte);
        } else if (byte == 0xc2 && follows(1) <= 0xa0) {  // C1 controls, the next-line character, no-break space
            escape(follows(1));
            i += 1;
        } else if ((byte == 0xe2 && follows(1) == 0x80 && (follows(2) == 0xa8 || follows(2) == 0xa9)) ||
                   (byte == 0xef && follows(1) == 0xbb && follows(2) == 0xbf) ||
                   (byte == 0xef && follows(1) == 0xbf && follows(2) >= 0xbe)) {  // U+2028, U+2029, U+FEFF, U+FFFE..
            escape((byte & 0x0fu) << 12 | (follows(1) & 0x3fu) << 6 | (follows(2) & 0x3fu));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out + '"';
}

// Means the same text in block and flow style, and to tools that take dates and octal numbers for more than texts.
bool plain_is_safe(std::string_view text) {
    const auto letter = [](unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return !text.empty() && (letter(static_cast<unsigned char>(text[0])) || text[0] == '/') &&
           std::ranges::all_of(text,
                               [&](unsigned char c) {
                                   return letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '/';
                               }) &&
           config::classify(text) == config::Scalar::kText;
}

std::string written(const Span& scalar, bool json) {
    if (scalar.is_null()) {
        return "null";
    }
    if (scalar.plain && config::classify(scalar.text) != config::Scalar::kText) {
        return scalar.text;
    }
    return !json && plain_is_safe(scalar.text) ? scalar.text : in_quotes(scalar.text);
}

std::string flow_text(const Span& span, bool json) {
    if (span.type == Span::Type::kScalar) {
        return written(span, json);
    }
    const bool map = span.type == Span::Type::kMap;
    std::string out = map ? "{" : "[";
    for (std::size_t i = 0; i < span.items.size(); ++i) {
        const bool value = map && i % 2 == 1;
        out += i == 0 ? "" : value ? ": " : ", ";
        out += flow_text(span.items[i], json);
    }
    return out + (map ? "}" : "]");
}

// A block collection whose first line begins at `column`, written by the columns that it has.
std::string block_text(const Span& span, std::size_t column, const std::string& ending) {
    if (span.type == Span::Type::kScalar || span.flow || span.items.empty()) {
        return flow_text(span, false);
    }
    std::string out;
    const bool map = span.type == Span::Type::kMap;
    for (std::size_t i = 0; i < span.items.size(); i += map ? 2 : 1) {
        out += i == 0 ? "" : ending + std::string(column, ' ');
        const Span& item = span.items[map ? i + 1 : i];
        const std::size_t inner = column + (item.column > span.column ? item.column - span.column : 0);
        const bool below = item.type != Span::Type::kScalar && !item.flow && !item.items.empty();
        if (!map) {
            const std::size_t blanks = below && inner > column + 1 ? inner - column - 1 : 1;
            out += "-" + std::string(blanks, ' ') + block_text(item, column + 1 + blanks, ending);
        } else if (below) {
            out += written(span.items[i], false) + ":" + ending + std::string(inner, ' ') +
                   block_text(item, inner, ending);
        } else {
            out += written(span.items[i], false) + ": " + flow_text(item, false);
        }
    }
    return out;
}

// JSON's quotes where the neighbours have them.
bool quotes_keys(const Span& map) {
    return map.flow && !map.items.empty() && !map.items.front().plain;
}
bool quotes_inside(const Span& span) {
    if (span.type == Span::Type::kMap) {
        return quotes_keys(span);
    }
    return span.flow && !span.items.empty() && quotes_inside(span.items.front());
}

// ---- flow collections
// Something behind the last of a flow collection's parts, which begins at `last_begin` and ends at `last_end`.
Patch append_flow(std::string_view bytes, const Span& collection, std::size_t last_begin, std::size_t last_end,
                  const std::string& text) {
    if (collection.items.empty()) {
        return {collection.begin + 1, collection.begin + 1, text};
    }
    const std::string between = first_on_line(bytes, last_begin)
                                    ? "," + line_break(bytes) + std::string(indentation(bytes, last_begin))
                                    : std::string(", ");
    return {last_end, last_end, between + text};
}

// One part of several, with a comma: `previous_end` is where the part before it ends, if there is one.
std::optional<Patch> remove_flow(std::string_view bytes, std::optional<std::size_t> previous_end, std::size_t begin,
                                 std::size_t end, std::optional<std::size_t> next_begin) {
    if (next_begin) {
        const std::size_t comma = bytes.find_first_not_of(" \t\r\n", end);
        if (comma == std::string_view::npos || bytes[comma] != ',') {
            return std::nullopt;
        }
        return Patch{begin, std::min(bytes.find_first_not_of(" \t\r\n", comma + 1), *next_begin), ""};
    }
    if (!previous_end) {
        return std::nullopt;
    }
    const std::size_t comma = bytes.find(',', *previous_end);
    if (comma >= begin || !only(bytes.substr(comma + 1, begin - comma - 1), " \t\r\n")) {
        return std::nullopt;
    }
    return Patch{comma, end, ""};
}

// ---- block lists
// The line of an item's dash, which nothing else may stand before on.
std::optional<std::size_t> dash_line(std::string_view bytes, const Span& list, std::size_t index) {
    std::size_t at = index == 0 ? line_begin(bytes, list.begin) : line_end(bytes, list.items[index - 1].end);
    for (; at < bytes.size(); at = line_end(bytes, at + 1)) {
        const std::size_t first = bytes.find_first_not_of(' ', at);
        if (first == std::string_view::npos || first >= list.items[index].begin + 1) {
            return std::nullopt;
        }
        if (bytes[first] == '-') {
            return first - at == list.column ? std::optional(at) : std::nullopt;
        }
        if (bytes[first] != '#' && bytes[first] != '\r' && bytes[first] != '\n') {
            return std::nullopt;
        }
    }
    return std::nullopt;
}

// Comments right above an item belong to it.
std::size_t above_comments(std::string_view bytes, std::size_t line, std::size_t not_before, std::size_t column) {
    while (line > not_before) {
        const std::size_t previous = line_begin(bytes, line - 1);
        const std::size_t first = bytes.find_first_not_of(' ', previous);
        if (previous < not_before || first - previous != column || bytes[first] != '#') {
            break;
        }
        line = previous;
    }
    return line;
}

}  // namespace

std::string patched(std::string_view bytes, std::vector<Patch> patches) {
    std::ranges::stable_sort(patches, {}, &Patch::begin);
    std::string out;
    std::size_t done = 0;
    for (const Patch& patch : patches) {
        out.append(bytes.substr(done, patch.begin - done)).append(patch.text);
        done = patch.end;
    }
    return out.append(bytes.substr(done));
}

Span scalar_span(std::string text, bool plain) {
    Span out;
    out.plain = plain;
    out.text = std::move(text);
    return out;
}

Span span_of(const nlohmann::ordered_json& value) {
    if (value.is_string()) {
        return scalar_span(value.get<std::string>(), false);
    }
    if (!value.is_array() && !value.is_object()) {
        return scalar_span(value.dump(), true);
    }
    Span out;
    out.type = value.is_array() ? Span::Type::kSeq : Span::Type::kMap;
    out.flow = true;
    for (const auto& [key, item] : value.items()) {
        if (value.is_object()) {
            out.items.push_back(scalar_span(key, false));
        }
        out.items.push_back(span_of(item));
    }
    return out;
}

void put_field(Span& map, std::string_view key, Span value, std::string_view behind) {
    const std::size_t at = map.find(key);
    if (at < map.items.size()) {
        map.items[at + 1] = std::move(value);
        return;
    }
    const std::size_t before = std::min(map.find(behind) + 2, map.items.size());
    Span name = scalar_span(std::string(key), false);
    map.items.insert(map.items.begin() + static_cast<std::ptrdiff_t>(before), {std::move(name), std::move(value)});
}

Patch replace_value(const Span& map, std::size_t key, const Span& with) {
    const Span& value = map.items[key + 1];
    const std::string text = flow_text(with, quotes_keys(map));
    return {value.begin, value.end, value.begin == value.end ? " " + text : text};
}

Patch append_field(std::string_view bytes, const Span& map, std::string_view key, const Span& value) {
    const bool json = quotes_keys(map);
    const std::string text = written(scalar_span(std::string(key), false), json) + ": " + flow_text(value, json);
    if (!map.flow) {
        return lines_behind(bytes, map.end, std::string(map.column, ' ') + text);
    }
    const std::size_t count = map.items.size();
    return append_flow(bytes, map, count == 0 ? 0 : map.items[count - 2].begin, count == 0 ? 0 : map.items.back().end,
                       text);
}

Patch append_item(std::string_view bytes, const Span& list, const Span& item) {
    if (list.flow) {
        const bool empty = list.items.empty();
        return append_flow(bytes, list, empty ? 0 : list.items.back().begin, empty ? 0 : list.items.back().end,
                           flow_text(item, quotes_inside(list)));
    }
    Span alone = list;
    alone.items = {item};
    return lines_behind(bytes, list.end,
                        std::string(list.column, ' ') + block_text(alone, list.column, line_break(bytes)));
}

std::optional<Patch> insert_item(std::string_view bytes, const Span& list, std::size_t before, const Span& item) {
    if (list.flow) {
        const std::size_t at = list.items[before].begin;
        const std::string behind = first_on_line(bytes, at)
                                       ? "," + line_break(bytes) + std::string(indentation(bytes, at))
                                       : std::string(", ");
        return Patch{at, at, flow_text(item, quotes_inside(list)) + behind};
    }
    const auto dash = dash_line(bytes, list, before);
    if (!dash) {
        return std::nullopt;
    }
    const std::size_t above = before == 0 ? 0 : line_end(bytes, list.items[before - 1].end);
    const std::size_t at = above_comments(bytes, *dash, above, list.column);
    return Patch{at, at, std::string(list.column, ' ') + "- " + flow_text(item, false) + line_break(bytes)};
}

std::optional<Patch> remove_item(std::string_view bytes, const Span& list, std::size_t index) {
    const Span& item = list.items[index];
    if (list.flow) {
        return remove_flow(bytes, index == 0 ? std::nullopt : std::optional(list.items[index - 1].end), item.begin,
                           item.end,
                           index + 1 == list.items.size() ? std::nullopt : std::optional(list.items[index + 1].begin));
    }
    const auto dash = dash_line(bytes, list, index);
    return dash ? std::optional(Patch{*dash, line_end(bytes, item.end), ""}) : std::nullopt;
}

std::optional<Patch> remove_field(std::string_view bytes, const Span& map, std::size_t key) {
    const std::size_t begin = map.items[key].begin, end = map.items[key + 1].end;
    if (map.flow) {
        return remove_flow(bytes, key == 0 ? std::nullopt : std::optional(map.items[key - 1].end), begin, end,
                           key + 2 >= map.items.size() ? std::nullopt : std::optional(map.items[key + 2].begin));
    }
    const std::size_t line = line_begin(bytes, begin);
    return key > 0 && only(bytes.substr(line, begin - line), " ") ? std::optional(Patch{line, line_end(bytes, end), ""})
                                                                  : std::nullopt;
}

}  // namespace sluice::source
