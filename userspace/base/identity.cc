#include "base/identity.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice {

Identity Identity::of(std::string_view name) {
    const XXH128_hash_t hash = XXH3_128bits(name.data(), name.size());
    return {hash.high64, hash.low64};
}

}  // namespace sluice
