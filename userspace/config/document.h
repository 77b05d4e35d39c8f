// A document's tree into an Object: which kind it is, its metadata, its spec.
#pragma once

#include <memory>

#include "config/objects.h"
#include "config/report.h"
#include "config/tree.h"

namespace sluice::config {

// Is the tree a List, whose items are the objects? Has it a field `items`?
bool is_list(const Tree& tree);
bool has_items(const Tree& tree);

// Null when there was an error, and for a List. `item` is the element number in a List, or -1. Problems go to `report`.
// The object's byte range and digest are the caller's to fill.
std::shared_ptr<Object> read_document(const Tree& tree, Report& report, int item);

}  // namespace sluice::config
