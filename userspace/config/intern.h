// Equal label maps and port maps are one object: endpoints are many, their labels few.
#pragma once

#include <memory>

#include "config/objects.h"

namespace sluice::config {

// Process-wide, thread-safe; forgets maps that nobody uses.
std::shared_ptr<const Labels> intern(Labels labels);
PortMap intern_ports(PortMap::Map ports);

}  // namespace sluice::config
