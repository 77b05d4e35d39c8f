#include "source/rule_edit_tree.h"

#include <algorithm>

#include "config/events.h"
#include "config/scalar.h"

namespace sluice::source {

namespace {

using config::Scalar;
using nlohmann::json;

constexpr std::size_t kDeepest = 64;

std::string at_line(const yaml_mark_t& mark) {
    return "line " + std::to_string(mark.line + 1) + ": ";
}

// Reads events into nested spans; offsets are asked for in the order of the events, which never decreases.
class Reader {
  public:
    explicit Reader(std::string_view bytes) : events_(bytes), offsets_(bytes) {}

    Result<Span> read() {
        std::vector<Span> documents;
        while (events_.next()) {
            const yaml_event_t& event = events_.event();
            if (event.type == YAML_STREAM_END_EVENT) {
                if (documents.size() != 1) {
                    return fail("found no document, where one is needed");
                }
                return std::move(documents.front());
            }
            if (event.type == YAML_DOCUMENT_START_EVENT && !documents.empty()) {
                return fail(at_line(event.start_mark) + "found a second document");
            }
            if (event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT ||
                event.type == YAML_DOCUMENT_END_EVENT) {
                continue;
            }
            auto root = node(0);
            if (!root) {
                return root;
            }
            documents.push_back(std::move(*root));
        }
        return syntax_error();
    }

  private:
    std::unexpected<Error> syntax_error() const {
        const yaml_parser_t& parser = events_.parser();
        return fail(at_line(parser.problem_mark) +
                    "not valid YAML: " + (parser.problem != nullptr ? parser.problem : "unreadable"));
    }

    // Of the current event.
    Result<Span> node(std::size_t depth) {
        const yaml_event_t& event = events_.event();
        if (depth > kDeepest) {
            return fail(at_line(event.start_mark) + "nested too deeply");
        }
        Span out;
        out.column = event.start_mark.column;
        out.begin = offsets_.at(event.start_mark.index);
        switch (event.type) {
            case YAML_SCALAR_EVENT:
                return scalar(std::move(out));
            case YAML_SEQUENCE_START_EVENT:
                out.type = Span::Type::kSeq;
                out.flow = event.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
                return event.data.sequence_start.anchor != nullptr || event.data.sequence_start.tag != nullptr
                           ? extras()
                           : children(std::move(out), depth, YAML_SEQUENCE_END_EVENT);
            case YAML_MAPPING_START_EVENT:
                out.type = Span::Type::kMap;
                out.flow = event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
                return event.data.mapping_start.anchor != nullptr || event.data.mapping_start.tag != nullptr
                           ? extras()
                           : children(std::move(out), depth, YAML_MAPPING_END_EVENT);
            default:
                return extras();
        }
    }

    Result<Span> extras() const {
        return fail(at_line(events_.event().start_mark) +
                    "found an anchor, an alias or a tag, with which the rule cannot be edited: write the value out");
    }

    Result<Span> scalar(Span out) {
        const auto& scalar = events_.event().data.scalar;
        if (scalar.anchor != nullptr || scalar.tag != nullptr) {
            return extras();
        }
        out.plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
        out.text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
        out.end = offsets_.at(events_.event().end_mark.index);
        return out;
    }

    Result<Span> children(Span out, std::size_t depth, yaml_event_type_t end) {
        out.end = out.begin;
        while (events_.next()) {
            const yaml_event_t& event = events_.event();
            if (event.type == end) {
                if (out.flow) {
                    out.end = offsets_.at(event.end_mark.index);
                }
                return out;
            }
            const yaml_mark_t mark = event.start_mark;
            auto child = node(depth + 1);
            if (!child) {
                return child;
            }
            if (out.type == Span::Type::kMap && out.items.size() % 2 == 0) {
                if (child->type != Span::Type::kScalar) {
                    return fail(at_line(mark) + "found a key that is not a text");
                }
                if (out.find(child->text) != out.items.size()) {
                    return fail(at_line(mark) + "found the key " + child->text + " a second time");
                }
            }
            out.end = child->end;
            out.items.push_back(std::move(*child));
        }
        return syntax_error();
    }

    config::Events events_;
    config::Offsets offsets_;
};

}  // namespace

bool Span::is_null() const {
    return type == Type::kScalar && plain && config::classify(text) == Scalar::kNull;
}

std::size_t Span::find(std::string_view key) const {
    for (std::size_t i = 0; type == Type::kMap && i < items.size(); i += 2) {
        if (items[i].text == key) {
            return i;
        }
    }
    return items.size();
}

const Span* Span::field(std::string_view key) const {
    const std::size_t at = find(key);
    return at + 1 < items.size() && !items[at + 1].is_null() ? &items[at + 1] : nullptr;
}

json Span::meaning() const {
    if (type == Type::kScalar) {
        if (is_null()) {
            return nullptr;
        }
        return (plain && config::classify(text) != Scalar::kText ? "p" : "q") + text;
    }
    if (type == Type::kSeq) {
        json out = json::array();
        for (const Span& item : items) {
            out.push_back(item.meaning());
        }
        return out;
    }
    json out = json::object();
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
        out[items[i].text] = items[i + 1].meaning();
    }
    return out;
}

Result<Span> read_spans(std::string_view bytes) {
    return Reader(bytes).read();
}

json meaning_of_text(std::string_view text) {
    return "q" + std::string(text);
}

json meaning_of(const nlohmann::ordered_json& value) {
    if (value.is_string()) {
        return meaning_of_text(value.get_ref<const std::string&>());
    }
    if (value.is_array() || value.is_object()) {
        json out = value.is_array() ? json::array() : json::object();
        for (const auto& [key, item] : value.items()) {
            if (value.is_array()) {
                out.push_back(meaning_of(item));
            } else {
                out[key] = meaning_of(item);
            }
        }
        return out;
    }
    return value.is_null() ? json(nullptr) : json("p" + value.dump());
}

}  // namespace sluice::source
