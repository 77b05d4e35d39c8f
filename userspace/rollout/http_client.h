// One HTTP request to a server that a canary names: Prometheus, or a webhook.
#pragma once

#include <chrono>
#include <cstddef>
#include <stop_token>
#include <string>

#include "base/result.h"

namespace sluice::rollout {

struct HttpRequest {
    std::string url;                                             // http or https
    std::string body;                                            // with a type: POST
    std::string type;                                            // of the body; empty: GET
    std::chrono::nanoseconds timeout = std::chrono::seconds(5);  // of everything together; at least a millisecond
};

struct HttpReply {
    long status = 0;
    std::string body;
};

constexpr std::size_t kReplyMax = 1u << 20;  // octets of a body

// Blocks. Redirects are not followed, and proxies of the environment not used: what answers is what the canary names.
// Errors are sentences that name the URL: no answer in time, a body over kReplyMax, no such host, … Any thread. Ends at
// once when `stop` is requested.
Result<HttpReply> ask_http(const HttpRequest& request, const std::stop_token& stop = {});

// Percent-encoded, for a query or a form.
std::string url_encoded(const std::string& text);

}  // namespace sluice::rollout
