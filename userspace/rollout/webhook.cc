#include "rollout/webhook.h"

#include <nlohmann/json.hpp>

namespace sluice::rollout {

namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string webhook_body(const WebhookQuestion& question) {
    return Json{{"canary", question.canary},     {"namespace", question.ns},          {"service", question.service},
                {"champion", question.champion}, {"challenger", question.challenger}, {"stage", question.stage},
                {"weight", question.weight},     {"mirror", question.mirror}}
        .dump(-1, ' ', false, Json::error_handler_t::replace);
}

Seen::Asked webhook_verdict(const std::string& url, const Result<HttpReply>& reply) {
    Seen::Asked asked;
    if (!reply) {
        asked.problem = reply.error().text();
        return asked;
    }
    const long status = reply->status;
    if (status >= 200 && status < 300) {
        const Json body = Json::parse(reply->body, nullptr, false);
        const bool refused = body.is_object() && body.contains("approved") && body["approved"] == false;
        asked.approved = !refused;
    } else if (status >= 400 && status < 500 && status != 408 && status != 425 && status != 429) {
        asked.approved = false;
    } else {
        asked.problem = url + ": answered with status " + std::to_string(status);
    }
    return asked;
}

Seen::Asked ask_webhook(const config::Gate& gate, const WebhookQuestion& question, const std::stop_token& stop) {
    return webhook_verdict(
        gate.url,
        ask_http({.url = gate.url, .body = webhook_body(question), .type = "application/json", .timeout = gate.timeout},
                 stop));
}

}  // namespace sluice::rollout
