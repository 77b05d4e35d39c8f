#include "rollout/webhook.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "rollout/questions.h"
#include "tests/unit/rollout/http_stub.h"

namespace sluice::rollout {
namespace {

using testing::HasSubstr;

std::optional<bool> verdict(long status, const std::string& body = "") {
    return webhook_verdict("http://gate", HttpReply{status, body}).approved;
}

TEST(Webhook, a_2xx_approves_unless_its_body_says_no) {
    EXPECT_EQ(verdict(200), true);
    EXPECT_EQ(verdict(204), true);
    EXPECT_EQ(verdict(200, "fine"), true);
    EXPECT_EQ(verdict(200, R"({"approved":true})"), true);
    EXPECT_EQ(verdict(200, R"({"approved":false})"), false);
    EXPECT_EQ(verdict(200, R"([{"approved":false}])"), true);
}

TEST(Webhook, a_4xx_does_not_approve) {
    EXPECT_EQ(verdict(403), false);
    EXPECT_EQ(verdict(404), false);
}

TEST(Webhook, all_else_is_no_data_and_says_why) {
    for (const long status : {0L, 301L, 408L, 425L, 429L, 500L, 503L}) {
        const Seen::Asked asked = webhook_verdict("http://gate", HttpReply{status, R"({"approved":true})"});
        EXPECT_FALSE(asked.approved) << status;
        EXPECT_THAT(asked.problem, HasSubstr("http://gate: answered with status " + std::to_string(status)));
    }
    EXPECT_EQ(webhook_verdict("http://gate", fail("no answer")).problem, "no answer");
}

TEST(Webhook, is_told_where_the_canary_is_and_gates_are_asked_at_once) {
    HttpStub stub([](const std::string&) { return HttpStub::reply(200, ""); });
    auto object = std::make_shared<config::Object>();
    object->key = {config::Kind::kCanary, "ml", "ranker-v47"};
    config::Canary canary;
    canary.champion = "v45";
    canary.challenger = "v47";
    canary.gates.resize(3);
    canary.gates[0].kind = config::Gate::Kind::kErrorRate;
    canary.gates[1].kind = config::Gate::Kind::kWebhook;
    canary.gates[1].url = stub.url() + "/gate";
    canary.gates[2] = canary.gates[1];
    canary.gates[2].url = "http://127.0.0.1:1/";
    object->spec = canary;
    const auto asked = ask_gates(*object, {"v45", "v47"},
                                 {.service = "ranker.ml.svc.cluster.local", .stage = 2, .weight = 10, .mirror = false});
    ASSERT_EQ(asked.size(), 3u);
    EXPECT_FALSE(asked[0].approved);
    EXPECT_EQ(asked[0].problem, "");
    EXPECT_EQ(asked[1].approved, true);
    EXPECT_FALSE(asked[2].approved);
    EXPECT_NE(asked[2].problem, "");
    const std::string request = stub.requests().at(0);
    EXPECT_THAT(request, testing::StartsWith("POST /gate "));
    EXPECT_EQ(nlohmann::json::parse(request.substr(request.find("\r\n\r\n"))),
              nlohmann::json::parse(R"({"canary":"ranker-v47","namespace":"ml","service":"ranker.ml.svc.cluster.local",
                  "champion":"v45","challenger":"v47","stage":2,"weight":10,"mirror":false})"));
}

}  // namespace
}  // namespace sluice::rollout
