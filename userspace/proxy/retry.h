// Which tries are made again, and when (Envoy: source/common/router/retry_state_impl.cc, backoff_strategy.cc). Pure.
#pragma once

#include <cstdint>

#include "config/http_rule.h"
#include "http/head.h"
#include "proxy/table.h"
#include "proxy/upstream.h"

namespace sluice::proxy {

// Whether the conditions cover a final answer: by its status, or a grpc-status among its fields. One that carries
// x-envoy-ratelimited is covered by envoy-ratelimited alone.
bool covers(const config::RetryConditions& on, const http::ResponseHead& head);
// Whether they cover a try without an answer. `sent`: octets of the request were given to any try's connection.
// Overflows and a cluster without endpoints are never covered.
bool covers(const config::RetryConditions& on, Failure failure, bool sent);
// A per-try time-out counts as a reset of our own.
bool covers_timeout(const config::RetryConditions& on);

// Full jitter: uniform in [0, min(base * 2^(retry - 1), 10 * base)) nanoseconds. `retry` counts from 1; `random`: any
// word.
std::uint64_t backoff_ns(const RetryPolicy& policy, std::uint32_t retry, std::uint64_t random);

}  // namespace sluice::proxy
