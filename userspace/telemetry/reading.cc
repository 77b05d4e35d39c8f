#include "telemetry/reading.h"

namespace sluice::telemetry {

const char* reason_label(std::uint32_t reason) {
    switch (reason) {
#define SL_REASON_CASE(name, number, label, flag, text) \
    case number:                                        \
        return label;
        SL_REASONS(SL_REASON_CASE)
#undef SL_REASON_CASE
    }
    return "unknown";
}

const char* reason_flag(std::uint32_t reason) {
    switch (reason) {
#define SL_REASON_CASE(name, number, label, flag, text) \
    case number:                                        \
        return flag;
        SL_REASONS(SL_REASON_CASE)
#undef SL_REASON_CASE
    }
    return "-";
}

bool is_refusal(std::uint32_t reason) {
    return reason == SL_REASON_NO_HEALTHY_UPSTREAM || reason == SL_REASON_OVERFLOW || reason == SL_REASON_NO_CLUSTER ||
           reason == SL_REASON_FAMILY_MISMATCH;
}

}  // namespace sluice::telemetry
