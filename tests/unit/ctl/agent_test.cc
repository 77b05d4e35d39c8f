// Verbs that ask an agent, against a stand-in that gives prepared answers.
#include "tests/unit/ctl/stand_in.h"

namespace sluice::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST_F(AgentTest, status_is_a_record_or_the_agents_json) {
    agent_->answer("GET /v1/status", 200,
                   R"({"generation":7,"config":{"dir":"/rules","last_error":["x.yaml:1:2: no"]}})");
    EXPECT_EQ(ask({"status"}), kDone) << err_;
    EXPECT_EQ(out_, "generation  7\nconfig.dir  /rules\n\nconfig.last_error\n  x.yaml:1:2: no\n");
    EXPECT_EQ(ask({"status", "-o", "json"}), kDone);
    EXPECT_EQ(Json::parse(out_)["generation"], 7);
}

TEST_F(AgentTest, an_answer_of_no_is_exit_code_1_with_the_agents_reason) {
    agent_->answer("GET /v1/maps/nonsense%2F", 404, R"({"error":"no such map"})");
    EXPECT_EQ(ask({"map", "dump", "nonsense/"}), kNo);
    EXPECT_EQ(err_, "sluice: no such map\n");
}

TEST_F(AgentTest, something_else_on_the_socket_is_unreachable) {
    agent_->answer("GET /v1/status", 200, "<html>");
    EXPECT_EQ(ask({"status"}), kUnreachable);
}

TEST_F(AgentTest, map_dump_prints_rows_and_history_one_line_an_entry) {
    agent_->answer("GET /v1/maps/routes", 200, R"({"name":"routes","rows":["0: a","1: b"]})");
    EXPECT_EQ(ask({"map", "dump", "routes"}), kDone);
    EXPECT_EQ(out_, "0: a\n1: b\n");
    agent_->answer(
        "GET /v1/history", 200,
        R"([{"generation":3,"time":"T","actor":"alice","source":"apply","summary":"a\nb\nc","result":"in force","errors":"","message":"why"}])");
    EXPECT_EQ(ask({"history", "-n", "5"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), HasSubstr("/v1/history?limit=5 "));
    EXPECT_THAT(out_, HasSubstr("a (and 2 more)"));
    EXPECT_EQ(std::ranges::count(out_, '\n'), 2);
}

TEST_F(AgentTest, apply_sends_the_file_with_its_name_and_message_and_prints_what_happened) {
    const std::string file = put("canary.yaml", virtual_service(75, 25));
    agent_->answer(
        "POST /v1/apply", 200,
        R"({"generation":8,"dry_run":false,"changes":[{"object":"VirtualService ml/ranker","action":"replaced","file":"/r/x.yaml"}],"warnings":["w"],"notes":["10 -> 25"]})");
    EXPECT_EQ(ask({"apply", file, "-m", "to 25%"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), StartsWith("POST /v1/apply?file="));
    EXPECT_THAT(agent_->last(), HasSubstr("&message=to%2025%25 "));
    EXPECT_THAT(agent_->last(), testing::EndsWith("\r\n\r\n" + virtual_service(75, 25)));
    EXPECT_THAT(out_, HasSubstr("VirtualService ml/ranker  replaced  /r/x.yaml\n10 -> 25\ngeneration 8 is in force\n"));
    EXPECT_EQ(err_, "w\n");
}

TEST_F(AgentTest, a_refused_apply_is_exit_code_1_with_every_error_at_the_users_own_place) {
    const std::string one = put("one.yaml", virtual_service(75, 25)), two = put("two.yaml", "kind: x");
    agent_->answer("POST /v1/apply", 422,
                   R"({"errors":["apply:13:1: kind: no such kind","apply:2:3: spec: no"],"warnings":[]})");
    EXPECT_EQ(ask({"apply", one, two}), kNo);
    EXPECT_EQ(err_, two + ":1:1: kind: no such kind\n" + one + ":2:3: spec: no\nsluice: nothing was changed\n");
    EXPECT_EQ(out_, "");
    EXPECT_EQ(ask({"apply", one, "--dry-run", "-o", "json"}), kNo);
    EXPECT_THAT(agent_->last(), HasSubstr("dry_run=1"));
    EXPECT_EQ(Json::parse(out_)["errors"].size(), 2u);
}

TEST_F(AgentTest, explain_joins_the_agents_answers) {
    agent_->answer(
        "GET /v1/explain", 200,
        R"({"host":"a.ml","port":80,"scope":"*","protocol":"tcp","addresses":["10.0.0.1"],"lane":"direct","reasons":["r"],"generation":4,"open_connections":3,"older_generation_connections":1,"destinations":[{"destination":"a","weight":1,"share":1.0}]})");
    agent_->answer(
        "GET /v1/subsets", 200,
        R"([{"host":"a.ml","port":80,"scope":"*","subset":"v1"},{"host":"a.ml","port":81,"scope":"*","subset":"v2"}])");
    agent_->answer("GET /v1/endpoints", 200, R"([{"host":"a.ml","port":80,"scope":"*","endpoint":"10.1.1.1:80"}])");
    EXPECT_EQ(ask({"explain", "a.ml:80", "--client", "ml"}), kDone) << err_;
    EXPECT_THAT(out_, HasSubstr("4; 3 open connections follow it, 1 an older one"));
    EXPECT_THAT(out_, HasSubstr("10.1.1.1:80"));
    EXPECT_THAT(out_, HasSubstr("v1"));
    EXPECT_THAT(out_, testing::Not(HasSubstr("v2")));
}

}  // namespace
}  // namespace sluice::ctl
