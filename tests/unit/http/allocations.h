// How often this binary has called operator new.
#pragma once

#include <cstddef>

namespace sluice::http {

std::size_t allocations();

}  // namespace sluice::http
