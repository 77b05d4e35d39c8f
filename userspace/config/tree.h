// One YAML document (or one item of a List) as a flat tree, built from libyaml's events. Reused from document to
// document, so that a file is never held as a tree as a whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::config {

// Children of a mapping are key, value, key, value…; keys are scalars and unique.
struct Node {
    enum class Type : std::uint8_t { kScalar, kMap, kSeq };
    static constexpr std::uint32_t kNone = 0xffffffff;

    Type type = Type::kScalar;
    bool broken = false;     // an alias: already reported, so nothing more is said about it
    bool plain = false;      // scalar without quotes: may mean null, a boolean or a number
    std::uint32_t line = 0;  // from 1, in the file
    std::uint32_t column = 0;
    std::uint32_t offset = 0;  // of the text in the tree's characters
    std::uint32_t size = 0;
    std::uint32_t first = kNone;
    std::uint32_t next = kNone;
};

class Tree {
  public:
    void clear();
    const Node& root() const { return nodes_.front(); }
    bool empty() const { return nodes_.empty(); }
    const Node* first(const Node& node) const { return at(node.first); }
    const Node* next(const Node& node) const { return at(node.next); }
    std::string_view text(const Node& node) const { return std::string_view(chars_).substr(node.offset, node.size); }

    // Building. Indices stay valid; references do not.
    std::uint32_t add(Node node, std::string_view text);
    Node& node(std::uint32_t index) { return nodes_[index]; }

  private:
    const Node* at(std::uint32_t index) const { return index == Node::kNone ? nullptr : &nodes_[index]; }

    std::vector<Node> nodes_;
    std::string chars_;
};

}  // namespace sluice::config
