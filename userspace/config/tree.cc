#include "config/tree.h"

namespace sluice::config {

void Tree::clear() {
    // One huge document must not keep its memory for the rest of the file.
    constexpr std::size_t kKeep = 1 << 16;
    if (nodes_.capacity() > kKeep) {
        nodes_ = {};
    }
    if (chars_.capacity() > kKeep * 16) {
        chars_ = {};
    }
    nodes_.clear();
    chars_.clear();
}

std::uint32_t Tree::add(Node node, std::string_view text) {
    node.offset = static_cast<std::uint32_t>(chars_.size());
    node.size = static_cast<std::uint32_t>(text.size());
    chars_.append(text);
    nodes_.push_back(node);
    return static_cast<std::uint32_t>(nodes_.size() - 1);
}

}  // namespace sluice::config
