#include "telemetry/reading.h"

#include <cstring>
#include <string_view>

#include "base/identity.h"

namespace sluice::telemetry {

std::size_t RequestSums::KeyHash::operator()(const sl_request_key& key) const {
    return Identity::of({reinterpret_cast<const char*>(&key), sizeof(key)}).lo;
}

bool RequestSums::KeyEqual::operator()(const sl_request_key& a, const sl_request_key& b) const {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
}

void RequestSums::add(sl_request_key key, const sl_request_counts& counts) {
    if (counts.requests == 0) {
        return;
    }
    key.shard = 0;
    auto [at, inserted] = index_.try_emplace(key, rows_.size());
    if (inserted) {
        rows_.emplace_back(key, counts);
        return;
    }
    // The row is words and nothing else.
    constexpr std::size_t kWords = sizeof(sl_request_counts) / sizeof(std::uint64_t);
    std::array<std::uint64_t, kWords> sum, more;
    std::memcpy(sum.data(), &rows_[at->second].second, sizeof(sum));
    std::memcpy(more.data(), &counts, sizeof(more));
    for (std::size_t i = 0; i < kWords; ++i) {
        sum[i] += more[i];
    }
    std::memcpy(&rows_[at->second].second, sum.data(), sizeof(sum));
}

std::vector<RequestRow> RequestSums::take() {
    index_.clear();
    return std::exchange(rows_, {});
}

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
           reason == SL_REASON_FAMILY_MISMATCH || reason == SL_REASON_CAPTURE_REFUSED;
}

bool is_connect_failure(std::uint32_t reason) {
    return reason == SL_REASON_REFUSED || reason == SL_REASON_TIMED_OUT || reason == SL_REASON_UNREACHABLE;
}

}  // namespace sluice::telemetry
