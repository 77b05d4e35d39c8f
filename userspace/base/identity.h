// 128-bit identities of canonical names: how tables recognise clusters, workloads and scopes after a restart.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sluice/abi/base.h"

namespace sluice {

// XXH3-128 of a canonical name. Not a defence against crafted collisions: names come from the operator's own rules.
struct Identity {
    std::uint64_t hi = 0;
    std::uint64_t lo = 0;

    static Identity of(std::string_view name);
    static Identity from_abi(const sl_id& id) { return {id.hi, id.lo}; }
    sl_id to_abi() const { return sl_id{hi, lo}; }
    auto operator<=>(const Identity&) const = default;
};

struct IdentityHash {
    std::size_t operator()(const Identity& id) const { return static_cast<std::size_t>(id.lo); }
};

}  // namespace sluice
