#include <algorithm>
#include <array>

#include "config/http.h"
#include "config/names.h"
#include "config/scalar.h"

namespace sluice::config {

namespace {

// By RetryOn.
constexpr std::array<std::string_view, static_cast<std::size_t>(RetryOn::kCount)> kConditions{
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "resource-exhausted",
    "internal",
    "unavailable",
};

}  // namespace

const char* retry_on_name(RetryOn condition) {
    return kConditions[static_cast<std::size_t>(condition)].data();
}

namespace {

void unknown_condition(const Value& value, std::string_view condition) {
    std::string allowed;
    for (const std::string_view known : kConditions) {
        allowed += (allowed.empty() ? "" : ", ") + std::string(known);
    }
    const auto meant = closest(condition, kConditions);
    value.wrong("the condition " + quoted(condition) + " is unknown" +
                (meant ? "; did you mean " + quoted(*meant) + "?" : "") +
                "; allowed: a comma-separated list, without blanks, of HTTP status codes and " + allowed);
}

// False when it is none, which is then reported.
bool read_condition(const Value& value, std::string_view text, RetryConditions& out) {
    const auto known = std::ranges::find(kConditions, text);
    if (known != kConditions.end()) {
        out.on.set(static_cast<std::size_t>(known - kConditions.begin()));
        return true;
    }
    // Three digits: parse_integer takes signs.
    const bool code_like = text.size() == 3 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    const auto code = code_like ? parse_integer(text).value_or(0) : 0;
    if (code < 100 || code > 599) {
        unknown_condition(value, text);
        return false;
    }
    out.on.set(static_cast<std::size_t>(RetryOn::kRetriableStatusCodes));
    if (std::ranges::find(out.codes, code) == out.codes.end()) {
        out.codes.push_back(static_cast<std::uint16_t>(code));
    }
    return true;
}

void read_retry_on(const Value& value, Retries& out) {
    const auto list = value.string();
    if (!list || list->empty()) {  // empty: unset, as in Istio
        return;
    }
    RetryConditions& conditions = out.on.emplace();
    for (std::size_t begin = 0; begin <= list->size();) {
        const std::size_t comma = std::min(list->find(',', begin), list->size());
        if (!read_condition(value, list->substr(begin, comma - begin), conditions)) {
            return;
        }
        begin = comma + 1;
    }
}

constexpr Field<Retries> kRetries[] = {
    {"attempts",
     [](const Value& value, Retries& out) {
         out.attempts = static_cast<std::uint32_t>(value.integer(0, 0x7fffffff).value_or(0));
     }},
    {"perTryTimeout", [](const Value& value, Retries& out) { out.per_try_timeout = value.duration(); }},
    {"retryOn", read_retry_on},
    // Endpoints have no locality: a retry may go to each of them, which is what both values then mean in Istio.
    {"retryRemoteLocalities", [](const Value& value, Retries&) { value.boolean(); }},
    {"retryIgnorePreviousHosts", [](const Value& value, Retries& out) { out.ignore_previous_hosts = value.boolean(); }},
    {"backoff", [](const Value& value, Retries& out) { out.backoff = value.duration().value_or(out.backoff); }},
};

}  // namespace

void read_retries(const Value& value, std::optional<Retries>& out) {
    Retries& retries = out.emplace();
    const std::size_t problems = value.scope().report.errors();
    if (!read_fields(value, kRetries, retries) || value.scope().report.errors() != problems) {
        return;
    }
    if (retries.attempts == 0 && (retries.per_try_timeout || retries.on || value.has("retryRemoteLocalities"))) {
        value.error_at_key(
            "found attempts 0, which switches retries off, beside perTryTimeout, retryOn or "
            "retryRemoteLocalities; attempts of at least 1 are needed with them");
    }
}

}  // namespace sluice::config
