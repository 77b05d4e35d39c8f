// libyaml's events of one document into a Tree; items of a List one by one.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "config/parse.h"
#include "config/report.h"
#include "config/tree.h"

namespace sluice::config {

// One document's bytes and where they stand in the file. They hold no separator line and are valid UTF-8.
struct Chunk {
    std::string_view bytes;
    std::size_t offset = 0;  // of bytes in the file
    int line = 1;            // of the first byte
};

// One element of a top-level `items` list. Offsets are bytes in the file.
struct Item {
    int index = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
    bool flow = false;
    int column = 0;  // blanks before its first byte
};
using ItemReader = std::function<void(const Tree&, const Item&)>;

// Fills `tree` with the document and calls `on_item` with each element of a top-level `items` list, which `tree` then
// shows as an empty list. What YAML allows and Sluice does not (anchors, tags, duplicate keys, …) is reported; the tree
// is built as far as possible. False: the document could not be read to its end, and `tree` is not to be used.
bool build(const Chunk& chunk, const ParseLimits& limits, Report& report, Tree& tree, const ItemReader& on_item);

}  // namespace sluice::config
