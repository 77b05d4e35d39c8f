#include "ctl/canary_text.h"

#include "tests/unit/ctl/stand_in.h"

namespace sluice::ctl {
namespace {

using testing::HasSubstr;

Json canary(const std::string& state, const Json& steps = Json::array()) {
    return {{"canary", "ranker-v47"},
            {"namespace", "ml"},
            {"service", "ranker"},
            {"champion", "v45"},
            {"challenger", "v47"},
            {"state", state},
            {"stage", 2},
            {"stages", 5},
            {"weight", 10},
            {"hold_s", 900.0},
            {"hold_left_s", 12.0},
            {"waits_for", "its hold, 12 s more"},
            {"reason", "stage 1 held"},
            {"who", "controller"},
            {"problem", nullptr},
            {"in_force", true},
            {"minimum_requests", 500},
            {"gates", Json::array()},
            {"powers", Json::array()},
            {"steps", steps}};
}

Json step(const std::string& time, const std::string& to, int stage, int weight) {
    return {{"time", time},     {"from", "stage"}, {"to", to},           {"stage", stage},
            {"weight", weight}, {"who", "alice"},  {"reason", "because"}};
}

std::string list_of(const Json& one) {
    return Json::array({one}).dump();
}

TEST_F(AgentTest, a_canary_is_told_what_to_do_and_says_where_it_is) {
    agent_->answer("POST /v1/canaries", 200, canary("stage").dump());
    EXPECT_EQ(ask({"canary", "start", "ranker-v47", "-m", "week 47"}), kDone) << err_;
    EXPECT_THAT(agent_->last(),
                testing::StartsWith("POST /v1/canaries?name=ranker-v47&command=start&message=week%2047 "));
    EXPECT_EQ(out_, "ranker-v47: stage 2 of 5, 10% to v47; it waits for its hold, 12 s more\n");
    for (const char* command : {"pause", "resume", "promote", "abort"}) {
        EXPECT_EQ(ask({"canary", command, "ml/ranker-v47"}), kDone);
        EXPECT_THAT(agent_->last(), HasSubstr("&command=" + std::string(command)));
    }
}

TEST_F(AgentTest, a_command_that_is_not_taken_is_exit_code_1_with_the_reason) {
    agent_->answer("POST /v1/canaries", 409, R"({"error":"it is paused already"})");
    EXPECT_EQ(ask({"canary", "pause", "ranker-v47"}), kNo);
    EXPECT_EQ(err_, "sluice: it is paused already\n");
    EXPECT_EQ(ask({"canary", "pause"}), kUsage);
    EXPECT_EQ(ask({"canary"}), kUsage);
}

TEST_F(AgentTest, status_tells_gates_power_and_steps_in_their_units) {
    Json value = canary("stage", Json::array({step("T1", "stage", 2, 10)}));
    value["gates"] = Json::array({{{"gate", "tail"},
                                   {"kind", "latency"},
                                   {"verdict", "pass"},
                                   {"champion", 0.1},
                                   {"challenger", 0.105},
                                   {"bound", nullptr},
                                   {"p", 0.4},
                                   {"level", 0.001},
                                   {"champion_sample", 900},
                                   {"challenger_sample", 100},
                                   {"text", "p99 is fine"}},
                                  {{"gate", "errors"},
                                   {"kind", "errorRate"},
                                   {"verdict", "no data"},
                                   {"champion", nullptr},
                                   {"challenger", 0.02},
                                   {"bound", 0.01},
                                   {"p", nullptr},
                                   {"level", nullptr},
                                   {"champion_sample", 0},
                                   {"challenger_sample", 0},
                                   {"text", "too few"}}});
    value["powers"] = Json::array({{{"gate", "tail"}, {"power", 0.97}, {"text", "finds +20% with 97%"}}});
    agent_->answer("GET /v1/canaries", 200, list_of(value));
    EXPECT_EQ(ask({"canary", "status", "ranker-v47"}), kDone) << err_;
    for (const char* text : {"ml/ranker-v47: v45 -> v47 of ranker", "stage 2 of 5, 10% to v47; 12 s of 900 s left",
                             "105 ms", "900/100", "2%", "no data", "tail: p99 is fine",
                             "power at the minimum of 500 requests", "finds +20% with 97%", "stage 2/5", "because"}) {
        EXPECT_THAT(out_, HasSubstr(text));
    }
    EXPECT_EQ(ask({"canary", "status", "ranker-v47", "-o", "json"}), kDone);
    EXPECT_EQ(Json::parse(out_), value);
    agent_->answer("GET /v1/canaries", 404, R"({"error":"no canary 'x'"})");
    EXPECT_EQ(ask({"canary", "status", "x"}), kNo);
}

TEST_F(AgentTest, watch_ends_with_the_canary_and_its_exit_code_says_how) {
    agent_->answer(
        "GET /v1/canaries", 200,
        list_of(canary("promoted", Json::array({step("T2", "promoted", 0, 100), step("T1", "stage", 5, 50)}))));
    EXPECT_EQ(ask({"canary", "watch", "ranker-v47"}), kDone) << err_;
    EXPECT_EQ(out_, "T2  promoted    100%  because (alice)\nranker-v47: promoted\n") << "the last step alone";
    for (const char* state : {"aborted", "paused", "idle"}) {
        agent_->answer("GET /v1/canaries", 200, list_of(canary(state)));
        EXPECT_EQ(ask({"canary", "watch", "ranker-v47"}), kNo) << state;
    }
}

TEST(CanarySteps, come_once_each_and_oldest_first) {
    const Json first = step("T1", "stage", 1, 5), second = step("T2", "stage", 2, 10),
               third = step("T3", "stage", 3, 25);
    CanarySteps steps(canary("stage", Json::array({first})));
    EXPECT_EQ(steps.since(canary("stage", Json::array({first}))).size(), 1u);
    const auto fresh = steps.since(canary("stage", Json::array({third, second, first})));
    ASSERT_EQ(fresh.size(), 2u);
    EXPECT_EQ(fresh[0]["time"], "T2");
    EXPECT_EQ(CanarySteps::line(canary("stage"), fresh[1]), "T3  stage 3/5    25%  because (alice)\n");
    EXPECT_TRUE(steps.since(canary("stage", Json::array({third, second, first}))).empty());
}

}  // namespace
}  // namespace sluice::ctl
