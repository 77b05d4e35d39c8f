// Verbs that show running traffic: get connections, tail, top.
#include "tests/unit/ctl/stand_in.h"
#include "tests/unit/ctl/top_answers.h"

namespace sluice::ctl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST_F(AgentTest, get_connections_prints_rows_and_says_what_is_not_shown) {
    agent_->answer("GET /v1/connections", 200, R"({"total":5,"shown":1,"connections":[{"host":"a","older":true}]})");
    EXPECT_EQ(ask({"get", "connections", "a.ml", "--limit", "1"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), StartsWith("GET /v1/connections?host=a.ml&limit=1 "));
    EXPECT_EQ(out_, "HOST  OLDER\na     yes\n");
    EXPECT_EQ(err_, "shown 1 of 5 connections; --limit shows more\n");
    EXPECT_EQ(ask({"get", "connections", "-o", "json"}), kDone);
    EXPECT_EQ(Json::parse(out_)["total"], 5);
    EXPECT_EQ(err_, "");
}

TEST_F(AgentTest, no_connections_and_a_limit_that_is_too_large) {
    agent_->answer("GET /v1/connections", 200, R"({"total":0,"shown":0,"connections":[]})");
    EXPECT_EQ(ask({"get", "connections"}), kDone);
    EXPECT_EQ(out_, "");
    EXPECT_EQ(err_, "no connections\n");
    EXPECT_EQ(ask({"get", "connections", "--limit", "100001"}), kUsage);
    EXPECT_EQ(ask({"get", "connections", "--config", rules_}), kUsage);
}

TEST_F(AgentTest, tail_ends_at_its_limit_and_says_what_was_lost) {
    agent_->answer("GET /v1/tail", 200,
                   R"({"next":9,"lost":4,"skipped":2,"samples":[{"status":200,"subset":"v45"},{"status":500},{}]})");
    EXPECT_EQ(ask({"tail", "ranking", "--limit", "2"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), StartsWith("GET /v1/tail?after=9&host=ranking "));
    EXPECT_EQ(std::ranges::count(out_, '\n'), 3);
    EXPECT_THAT(out_, AllOf(StartsWith("TIME"), HasSubstr("  v45  "), HasSubstr("  500  "), Not(HasSubstr("\033"))));
    EXPECT_EQ(err_, "2 requests shown, 2 lost\n");  // what was lost before it began is not counted
}

TEST_F(AgentTest, tail_prints_one_json_object_a_line) {
    agent_->answer("GET /v1/tail", 200, R"({"next":9,"lost":0,"skipped":0,"samples":[{"status":200},{"status":500}]})");
    EXPECT_EQ(ask({"tail", "--limit", "2", "-o", "json"}), kDone);
    EXPECT_EQ(out_, "{\"status\":200}\n{\"status\":500}\n");
    EXPECT_EQ(ask({"tail", "--limit", "2", "-o", "yaml"}), kDone);
    EXPECT_EQ(out_, "- status: 200\n- status: 500\n");
}

TEST_F(AgentTest, tail_ends_after_its_duration_without_requests) {
    agent_->answer("GET /v1/tail", 200, R"({"next":0,"lost":0,"skipped":0,"samples":[]})");
    EXPECT_EQ(ask({"tail", "--duration", "0.1"}), kDone);
    EXPECT_EQ(err_, "0 requests shown, 0 lost\n");
}

TEST_F(AgentTest, top_prints_blocks_when_it_has_no_terminal) {
    agent_->answer("GET /v1/top", 200, made_answer(5, Json::array({made_ranking({}, {})})).dump());
    EXPECT_EQ(ask({"top", "-n", "2", "--interval", "0.1"}), kDone) << err_;
    EXPECT_THAT(out_, HasSubstr("\n\n"));
    EXPECT_THAT(out_, AllOf(HasSubstr("ranking.ml:8080"), HasSubstr("  v47"), Not(HasSubstr("\033"))));
    EXPECT_EQ(ask({"top", "ranking", "--once", "--interval", "0.1", "-o", "json"}), kDone);
    EXPECT_THAT(agent_->last(), StartsWith("GET /v1/top?host=ranking "));
    const Json block = Json::parse(out_);
    EXPECT_EQ(block["services"][0]["versions"][1]["name"], "v47");
    EXPECT_EQ(block["services"][0]["versions"][1]["set_share"], 0.1);
    EXPECT_TRUE(block["services"][0]["rate"].is_null());  // the clock stood still
    EXPECT_EQ(ask({"top", "--once", "--interval", "0.1", "-o", "yaml"}), kDone);
    EXPECT_THAT(out_, StartsWith("---\ntime: "));
}

TEST_F(AgentTest, answers_of_another_agent_are_not_taken_for_figures) {
    agent_->answer("GET /v1/top", 200, R"({"answer":42})");
    EXPECT_EQ(ask({"top", "--once", "--interval", "0.1"}), kUnreachable);
    agent_->answer("GET /v1/top", 200, R"({"services":[{"host":1}]})");
    EXPECT_EQ(ask({"top", "--once", "--interval", "0.1"}), kUnreachable);
    EXPECT_THAT(err_, HasSubstr("not understood"));
    agent_->answer("GET /v1/tail", 200, "[]");
    EXPECT_EQ(ask({"tail", "--duration", "0.1"}), kUnreachable);
}

TEST_F(AgentTest, a_host_that_is_unknown_is_exit_code_1) {
    agent_->answer("GET /v1/top", 404, R"({"error":"no service 'x'"})");
    agent_->answer("GET /v1/tail", 404, R"({"error":"no service 'x'"})");
    agent_->answer("GET /v1/connections", 404, R"({"error":"no service 'x'"})");
    for (const std::vector<std::string>& verb :
         {std::vector<std::string>{"top", "x"}, {"tail", "x"}, {"get", "connections", "x"}}) {
        EXPECT_EQ(ask(verb), kNo);
        EXPECT_EQ(err_, "sluice: no service 'x'\n");
    }
}

}  // namespace
}  // namespace sluice::ctl
