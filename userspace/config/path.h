// Field paths as messages show them: spec.http[0].route[1].weight, metadata.annotations["sluice.dev/split"].
#pragma once

#include <string>
#include <string_view>

namespace sluice::config {

// Appends one step: a key, or an element's number when `index` is not negative.
void append_step(std::string& path, std::string_view key, int index);

}  // namespace sluice::config
