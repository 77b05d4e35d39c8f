#include "proxy/retry.h"

#include <algorithm>
#include <charconv>

namespace sluice::proxy {

using config::RetryConditions;
using config::RetryOn;

static bool any_reset(const RetryConditions& on) {
    return on.has(RetryOn::k5xx) || on.has(RetryOn::kGatewayError) || on.has(RetryOn::kReset);
}

static bool covers_status(const RetryConditions& on, int status) {
    return (on.has(RetryOn::k5xx) && status >= 500 && status < 600) ||
           (on.has(RetryOn::kGatewayError) && status >= 502 && status <= 504) ||
           (on.has(RetryOn::kRetriable4xx) && status == 409) ||
           (on.has(RetryOn::kRetriableStatusCodes) &&
            std::find(on.codes.begin(), on.codes.end(), status) != on.codes.end());
}

static bool covers_grpc(const RetryConditions& on, int status) {
    switch (status) {
        case 1:
            return on.has(RetryOn::kCancelled);
        case 4:
            return on.has(RetryOn::kDeadlineExceeded);
        case 8:
            return on.has(RetryOn::kResourceExhausted);
        case 13:
            return on.has(RetryOn::kInternal);
        case 14:
            return on.has(RetryOn::kUnavailable);
        default:
            return false;
    }
}

bool covers(const RetryConditions& on, const http::ResponseHead& head) {
    if (head.find("x-envoy-ratelimited") != nullptr) {
        return on.has(RetryOn::kEnvoyRatelimited);
    }
    if (covers_status(on, head.status)) {
        return true;
    }
    const std::string_view* grpc = head.find("grpc-status");
    int status = -1;
    if (grpc != nullptr) {
        std::from_chars(grpc->data(), grpc->data() + grpc->size(), status);
    }
    return covers_grpc(on, status);
}

bool covers(const RetryConditions& on, Failure failure, bool sent) {
    switch (failure) {
        case Failure::kOverflow:
        case Failure::kNoHealthyUpstream:
        case Failure::kNoCluster:
            return false;
        case Failure::kConnectFailure:
        case Failure::kConnectTimeout:
            if (on.has(RetryOn::kConnectFailure)) {
                return true;
            }
            break;
        case Failure::kTermination:
        case Failure::kProtocolError:
            break;
    }
    return any_reset(on) || (!sent && on.has(RetryOn::kResetBeforeRequest));
}

bool covers_timeout(const RetryConditions& on) {
    return any_reset(on);
}

std::uint64_t backoff_ns(const RetryPolicy& policy, std::uint32_t retry, std::uint64_t random) {
    const std::uint64_t most = 10 * policy.backoff_ns;
    // 2^4 is beyond the cap already.
    const std::uint64_t ceiling = std::min(policy.backoff_ns << std::min(retry - 1, 4u), most);
    return ceiling == 0 ? 0 : random % ceiling;
}

}  // namespace sluice::proxy
