#include "proxy/record.h"

#include <bit>
#include <iterator>

namespace sluice::proxy {

// Envoy's short names, by bit.
static constexpr const char* kNames[] = {"UH", "UF", "UO", "UC",  "UPE", "UT", "URX", "NR", "NC",
                                         "DC", "DI", "FI", "DPE", "SI",  "DT", "OM",  "LR"};

void write_flags(std::uint32_t flags, std::string& out) {
    if (flags == 0) {
        out += '-';
        return;
    }
    for (const char* between = ""; flags != 0; flags &= flags - 1, between = ",") {
        const auto bit = static_cast<std::size_t>(std::countr_zero(flags));
        out.append(between).append(bit < std::size(kNames) ? kNames[bit] : "?");
    }
}

}  // namespace sluice::proxy
