// Answers of a Prometheus server that may be anybody: whatever they hold, values are finite or infinite but never NaN,
// counts are sane, and errors are one line.
// rooms: rollout state source model config base
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "rollout/prometheus.h"

namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace sluice::rollout;
    const auto values = parse_promql_answer({reinterpret_cast<const char*>(data), size});
    if (!values) {
        require(!values.error().message.empty() && values.error().message.find('\n') == std::string::npos);
        return 0;
    }
    for (const PromqlValue& value : *values) {
        require(!std::isnan(value.value));
    }
    for (const char* version : {"v45", "v47", ""}) {
        if (const auto errors = errors_of(*values, "v", version)) {
            require(errors->failed <= errors->requests);
        }
        if (const auto durations = durations_of(*values, "v", version, 1000)) {
            require(durations->above(0).count <= durations->count());
            const auto tail = durations->quantile(0.99);
            require(!tail || !std::isnan(*tail));
        }
    }
    return 0;
}
