// A gate that somebody else keeps: a POST to its URL, whose status is the verdict.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "config/canary.h"
#include "rollout/gates.h"
#include "rollout/http_client.h"

namespace sluice::rollout {

// The body, as a JSON object of these names.
struct WebhookQuestion {
    std::string canary, ns, service, champion, challenger;  // ns: "namespace"
    std::size_t stage = 0;                                  // from 1; 0: the mirror stage
    std::uint32_t weight = 0;                               // percent of the challenger
    bool mirror = false;
};
std::string webhook_body(const WebhookQuestion& question);

// 2xx: approved, unless the body is a JSON object with "approved": false. 4xx: not approved, but 408, 425 and 429,
// which ask for patience. All else, and no answer: no data, with the reason. Pure.
Seen::Asked webhook_verdict(const std::string& url, const Result<HttpReply>& reply);

Seen::Asked ask_webhook(const config::Gate& gate, const WebhookQuestion& question, const std::stop_token& stop = {});

}  // namespace sluice::rollout
