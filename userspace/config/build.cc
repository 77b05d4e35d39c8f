#include "config/build.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string>
#include <unordered_set>
#include <vector>

#include "config/events.h"
#include "config/path.h"

namespace sluice::config {

namespace {

// An open mapping or list.
struct Frame {
    std::uint32_t node = Node::kNone;  // kNone: what is below it is read but not kept
    std::uint32_t last = Node::kNone;  // its newest child
    bool map = false;
    bool flow = false;
    bool expects_key = true;
    bool drop_value = false;  // of a key that was refused
    bool items = false;       // the top-level `items`
    int index = 0;            // list: of the next element
    int keys = 0;
    std::string key;                           // mapping: of the value being read
    std::unordered_set<std::uint64_t> hashes;  // of its keys, once there are many
};

class Builder {
  public:
    Builder(const Chunk& chunk, const ParseLimits& limits, Report& report, Tree& tree, const ItemReader& on_item)
        : chunk_(chunk),
          limits_(limits),
          report_(report),
          document_(tree),
          tree_(&tree),
          on_item_(on_item),
          events_(chunk.bytes),
          offsets_(chunk.bytes) {}

    bool run();

  private:
    Place place(const yaml_mark_t& mark) const {
        return {chunk_.line + static_cast<int>(mark.line), static_cast<int>(mark.column) + 1};
    }
    std::string path() const;
    void error(const yaml_mark_t& mark, std::string message) { report_.error(place(mark), path(), std::move(message)); }
    bool syntax_error();
    void refuse_extras(const yaml_event_t& event, const yaml_char_t* anchor, const yaml_char_t* tag);

    bool handle(const yaml_event_t& event);
    void alias(const yaml_event_t& event);
    bool scalar(const yaml_event_t& event);
    void key(const yaml_event_t& event, std::string_view text);
    bool duplicate(Frame& frame, std::string_view text) const;
    bool open(const yaml_event_t& event, bool map, bool flow);
    void close(const yaml_event_t& event);
    void value_begins(const yaml_event_t& event, bool flow);
    void value_ends(const yaml_event_t& event);
    std::uint32_t add(const yaml_event_t& event, Node node, std::string_view text);

    Frame* top() { return depth_ == 0 ? nullptr : &frames_[depth_ - 1]; }
    bool key_is_next() { return depth_ > 0 && top()->map && top()->expects_key; }

    const Chunk& chunk_;
    const ParseLimits& limits_;
    Report& report_;
    Tree& document_;
    Tree item_tree_;
    Tree* tree_;  // where nodes go: the document or the item
    const ItemReader& on_item_;
    Events events_;
    Offsets offsets_;
    std::vector<Frame> frames_;  // the first depth_ are open; the others keep their memory
    std::size_t depth_ = 0;
    std::size_t item_depth_ = 0;  // of the `items` list whose element is read; 0: none is
    Item item_;
    std::size_t leaf_end_ = 0;  // character behind the newest scalar or flow collection
};

std::string Builder::path() const {
    std::string out;
    for (std::size_t i = 0; i < depth_; ++i) {
        const Frame& frame = frames_[i];
        if (!frame.map) {
            append_step(out, {}, frame.index);
        } else if (!frame.expects_key) {
            append_step(out, frame.key, -1);
        }
    }
    return out;
}

bool Builder::syntax_error() {
    const yaml_parser_t& parser = events_.parser();
    if (events_.out_of_memory()) {
        report_.error({chunk_.line, 1}, "", "out of memory while reading the document");
        return false;
    }
    std::string message = std::string("not valid YAML: ") + (parser.problem != nullptr ? parser.problem : "unreadable");
    if (parser.context != nullptr) {
        message += std::string(" ") + parser.context;
        if (parser.context_mark.line != parser.problem_mark.line) {
            message += " that begins at line " + std::to_string(place(parser.context_mark).line);
        }
    }
    report_.error(place(parser.problem_mark), path(), std::move(message));
    return false;
}

bool Builder::run() {
    while (events_.next()) {
        if (events_.event().type == YAML_STREAM_END_EVENT) {
            return true;
        }
        if (!handle(events_.event())) {
            return false;
        }
    }
    return syntax_error();
}

bool Builder::handle(const yaml_event_t& event) {
    switch (event.type) {
        case YAML_DOCUMENT_START_EVENT:
            if (!document_.empty()) {
                error(event.start_mark, "found a second document without a '---' line before it");
                return false;
            }
            return true;
        case YAML_ALIAS_EVENT:
            alias(event);
            return true;
        case YAML_SCALAR_EVENT:
            return scalar(event);
        case YAML_SEQUENCE_START_EVENT:
            refuse_extras(event, event.data.sequence_start.anchor, event.data.sequence_start.tag);
            return open(event, false, event.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
        case YAML_MAPPING_START_EVENT:
            refuse_extras(event, event.data.mapping_start.anchor, event.data.mapping_start.tag);
            return open(event, true, event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
            close(event);
            return true;
        default:
            return true;
    }
}

void Builder::refuse_extras(const yaml_event_t& event, const yaml_char_t* anchor, const yaml_char_t* tag) {
    if (anchor != nullptr) {
        error(event.start_mark, "found the anchor " + quoted(reinterpret_cast<const char*>(anchor)) +
                                    "; anchors and aliases are not supported: write the value out");
    }
    if (tag != nullptr) {
        error(event.start_mark,
              "found the tag " + quoted(reinterpret_cast<const char*>(tag)) + "; tags are not supported");
    }
}

void Builder::alias(const yaml_event_t& event) {
    error(event.start_mark, "found the alias " + quoted(reinterpret_cast<const char*>(event.data.alias.anchor)) +
                                "; anchors and aliases are not supported: write the value out");
    if (key_is_next()) {
        top()->expects_key = false;
        top()->drop_value = true;
        top()->key = "*";
        return;
    }
    value_begins(event, false);
    add(event, Node{.broken = true, .plain = true}, "");
    value_ends(event);
}

bool Builder::scalar(const yaml_event_t& event) {
    const auto& scalar = event.data.scalar;
    refuse_extras(event, scalar.anchor, scalar.tag);
    if (scalar.length > limits_.scalar_bytes) {
        error(event.start_mark, "found a text of " + std::to_string(scalar.length) + " bytes; the limit is " +
                                    std::to_string(limits_.scalar_bytes));
        return false;
    }
    const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    leaf_end_ = event.end_mark.index;
    if (key_is_next()) {
        key(event, text);
        return true;
    }
    value_begins(event, false);
    add(event, Node{.plain = scalar.style == YAML_PLAIN_SCALAR_STYLE}, text);
    value_ends(event);
    return true;
}

bool Builder::duplicate(Frame& frame, std::string_view text) const {
    constexpr int kMany = 16;
    const auto hash_of = [](std::string_view key) { return XXH3_64bits(key.data(), key.size()); };
    const auto linear = [&](auto&& fn) {
        for (const Node* key = tree_->first(tree_->node(frame.node)); key != nullptr;) {
            if (fn(tree_->text(*key))) {
                return true;
            }
            const Node* value = tree_->next(*key);
            key = value == nullptr ? nullptr : tree_->next(*value);
        }
        return false;
    };
    if (frame.keys < kMany) {
        return linear([&](std::string_view key) { return key == text; });
    }
    if (frame.keys == kMany) {
        linear([&](std::string_view key) {
            frame.hashes.insert(hash_of(key));
            return false;
        });
    }
    return !frame.hashes.insert(hash_of(text)).second;
}

void Builder::key(const yaml_event_t& event, std::string_view text) {
    Frame& frame = *top();
    std::string problem;
    if (text == "<<" && event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        problem = "found a merge key; merge keys (<<) are not supported: write the fields out";
    } else if (frame.node != Node::kNone && duplicate(frame, text)) {
        problem = "found this key a second time in one mapping; every key is allowed once";
    }
    frame.expects_key = false;
    frame.key = text;
    if (!problem.empty()) {
        error(event.start_mark, std::move(problem));
        frame.drop_value = true;
        return;
    }
    add(event, Node{.plain = event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE}, text);
    ++frame.keys;
}

std::uint32_t Builder::add(const yaml_event_t& event, Node node, std::string_view text) {
    Frame* parent = top();
    if (parent != nullptr && (parent->node == Node::kNone || parent->drop_value)) {
        return Node::kNone;
    }
    const Place at = place(event.start_mark);
    node.line = static_cast<std::uint32_t>(at.line);
    node.column = static_cast<std::uint32_t>(at.column);
    const std::uint32_t index = tree_->add(node, text);
    if (parent == nullptr || depth_ == item_depth_) {
        return index;  // a root
    }
    if (parent->last == Node::kNone) {
        tree_->node(parent->node).first = index;
    } else {
        tree_->node(parent->last).next = index;
    }
    parent->last = index;
    return index;
}

bool Builder::open(const yaml_event_t& event, bool map, bool flow) {
    if (depth_ >= static_cast<std::size_t>(limits_.depth)) {
        error(event.start_mark, "nested too deeply; the limit is " + std::to_string(limits_.depth) + " levels");
        return false;
    }
    const bool as_key = key_is_next();
    if (as_key) {
        error(event.start_mark,
              map ? "found a mapping as a key; keys are texts" : "found a list as a key; keys are texts");
    } else {
        value_begins(event, flow);
    }
    const bool items = !map && depth_ == 1 && top()->map && !as_key && top()->key == "items" && !top()->drop_value;
    const std::uint32_t node =
        as_key ? Node::kNone : add(event, Node{.type = map ? Node::Type::kMap : Node::Type::kSeq}, "");
    if (frames_.size() == depth_) {
        frames_.emplace_back();
    }
    Frame& frame = frames_[depth_++];
    frame.node = node;
    frame.last = Node::kNone;
    frame.map = map;
    frame.flow = flow;
    frame.expects_key = true;
    frame.drop_value = false;
    frame.items = items;
    frame.index = 0;
    frame.keys = 0;
    frame.hashes.clear();
    return true;
}

void Builder::close(const yaml_event_t& event) {
    if (top()->flow) {
        leaf_end_ = event.end_mark.index;
    }
    --depth_;
    if (key_is_next()) {  // what closed was a key
        top()->expects_key = false;
        top()->drop_value = true;
        top()->key = "?";
        return;
    }
    value_ends(event);
}

void Builder::value_begins(const yaml_event_t& event, bool flow) {
    if (depth_ != 2 || !top()->items || item_depth_ != 0) {
        return;
    }
    item_depth_ = depth_;
    item_tree_.clear();
    tree_ = &item_tree_;
    item_ = {.index = top()->index,
             .begin = chunk_.offset + offsets_.at(event.start_mark.index),
             .end = 0,
             .flow = flow,
             .column = static_cast<int>(event.start_mark.column)};
    leaf_end_ = event.start_mark.index;
}

void Builder::value_ends(const yaml_event_t& event) {
    if (depth_ == 0) {
        return;
    }
    Frame& frame = *top();
    if (item_depth_ != 0 && depth_ == item_depth_) {
        item_.end = chunk_.offset + (item_.flow ? offsets_.at(event.end_mark.index) : offsets_.line_end(leaf_end_));
        on_item_(item_tree_, item_);
        tree_ = &document_;
        item_depth_ = 0;
    }
    if (frame.map) {
        frame.expects_key = true;
        frame.drop_value = false;
    } else {
        ++frame.index;
    }
}

}  // namespace

bool build(const Chunk& chunk, const ParseLimits& limits, Report& report, Tree& tree, const ItemReader& on_item) {
    tree.clear();
    return Builder(chunk, limits, report, tree, on_item).run();
}

}  // namespace sluice::config
