// Which service port a client means that dials a name. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/mesh.h"

namespace sluice::verify {

// Names of all service ports: hosts, virtual addresses, and hosts cut off at a dot. Filled once, then only read.
class DialledIndex {
  public:
    explicit DialledIndex(const std::map<model::ServicePortKey, model::ServicePortPtr>& services);

    // As a client in namespace `ns` sees it: its namespace's service of that bare name, else the one with exactly that
    // host or address, else the longest wildcard, else the only one whose host begins with the name. `port` 0: the only
    // HTTP port, else the only port. Errors name what there is.
    Result<model::ServicePortPtr> find(std::string_view name, std::uint16_t port, const std::string& ns) const;

  private:
    using Ports = std::vector<model::ServicePortPtr>;
    Ports candidates(std::string_view name, const std::string& ns) const;

    std::unordered_map<std::string, Ports> exact_, prefix_;
    std::unordered_map<std::string, Ports> wildcards_;  // by what follows the star
};

}  // namespace sluice::verify
