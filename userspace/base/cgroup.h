// The machine's cgroup2 mount.
#pragma once

#include <string>

namespace sluice {

// Where cgroup2 is mounted in this mount namespace; "/sys/fs/cgroup" when the mount table does not tell.
std::string cgroup2_mount();

}  // namespace sluice
