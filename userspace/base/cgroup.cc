#include "base/cgroup.h"

#include <fstream>
#include <sstream>

namespace sluice {

std::string cgroup2_mount() {
    std::ifstream mounts("/proc/self/mounts");
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream fields(line);
        std::string device, directory, type;
        if (fields >> device >> directory >> type && type == "cgroup2") {
            return directory;
        }
    }
    return "/sys/fs/cgroup";
}

}  // namespace sluice
