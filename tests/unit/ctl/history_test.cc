// history, rollback and diff of generations, against a stand-in for the agent; times as people write them.
#include "ctl/moment.h"
#include "tests/unit/ctl/stand_in.h"

namespace sluice::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kEntry =
    R"({"id":12,"generation":7,"time":"2026-11-21T10:00:00Z","actor":"alice","source":"apply","file":"canary.yaml",)"
    R"("summary":"changed VirtualService ml/ranker","result":"in force","errors":"","message":"to 25%","objects":1,)"
    R"("uid":1000,"pid":42,"changes":[{"object":"VirtualService ml/ranker","action":"changed",)"
    R"("before":{"file":"/r/x.yaml","text":"a\nweight: 10\n"},"after":{"file":"/r/x.yaml","text":"a\nweight: 25\n"}}]})";

TEST_F(AgentTest, history_passes_its_filters_on) {
    agent_->answer("GET /v1/history", 200, "[]");
    EXPECT_EQ(ask({"history", "-n", "5", "--refused", "--object", "Service/a/b", "--since", "2026-11-21T10:00Z"}),
              kDone)
        << err_;
    EXPECT_THAT(agent_->last(), HasSubstr("/v1/history?object=Service%2Fa%2Fb&refused=1&since=1795255200&limit=5 "));
    EXPECT_EQ(ask({"history", "--since", "yesterday"}), kUsage);
    EXPECT_THAT(err_, HasSubstr("--since: expected a time"));
    EXPECT_EQ(ask({"history", "--objects", "-n", "2000"}), kUsage);
    EXPECT_THAT(err_, HasSubstr("--export"));
    EXPECT_EQ(ask({"history", "x"}), kUsage);
}

TEST_F(AgentTest, one_entry_is_shown_with_who_why_and_its_difference) {
    agent_->answer("GET /v1/history", 200, "[" + std::string(kEntry) + "]");
    EXPECT_EQ(ask({"history", "7"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), HasSubstr("generation=7&limit=20&objects=1 "));
    EXPECT_EQ(
        out_,
        "generation 7, entry 12: in force\n  when     2026-11-21T10:00:00Z\n  who      alice (uid 1000, pid 42)\n"
        "  source   apply\n  from     canary.yaml\n  why      to 25%\n  what     changed VirtualService ml/ranker\n"
        "\nchanged VirtualService ml/ranker (/r/x.yaml)\n  a\n- weight: 10\n+ weight: 25\n");
    EXPECT_EQ(ask({"history", "--id", "12", "-o", "json"}), kDone);
    EXPECT_EQ(Json::parse(out_)["id"], 12);
    agent_->answer("GET /v1/history", 200, "[]");
    EXPECT_EQ(ask({"history", "8"}), kNo);
    EXPECT_EQ(err_, "sluice: generation 8 is not in the history\n");
}

TEST_F(AgentTest, the_export_is_a_line_of_json_an_entry) {
    agent_->answer("GET /v1/history", 200, "[" + std::string(kEntry) + "," + kEntry + "]");
    EXPECT_EQ(ask({"history", "--export"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), HasSubstr("limit=50&objects=1 "));
    EXPECT_EQ(out_, std::string(kEntry) + "\n" + kEntry + "\n");
}

TEST_F(AgentTest, rollback_names_where_to_and_prints_what_happened) {
    agent_->answer(
        "POST /v1/rollback", 200,
        R"({"generation":9,"dry_run":false,"changes":[{"object":"VirtualService ml/ranker","action":"replaced",)"
        R"("file":"/r/x.yaml"}],"warnings":[],"effects":["ranker: all requests: v47 100% -> v45 100%"],"notes":[]})");
    EXPECT_EQ(ask({"rollback", "7", "-m", "slow"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), HasSubstr("POST /v1/rollback?generation=7&message=slow "));
    EXPECT_THAT(
        out_, HasSubstr("replaced  /r/x.yaml\nranker: all requests: v47 100% -> v45 100%\ngeneration 9 is in force\n"));
    EXPECT_EQ(ask({"rollback", "--id", "12", "--dry-run"}), kDone);
    EXPECT_THAT(agent_->last(), HasSubstr("?id=12&dry_run=1 "));
    agent_->answer("GET /v1/history", 200,
                   R"([{"id":11,"generation":6,"result":"refused"},{"id":10,"generation":6,"result":"in force"}])");
    EXPECT_EQ(ask({"rollback", "--before", "7"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), HasSubstr("?id=10 "));
    EXPECT_EQ(ask({"rollback"}), kUsage);
    EXPECT_EQ(ask({"rollback", "7", "--id", "3"}), kUsage);
    agent_->answer("POST /v1/rollback", 422, R"({"error":"x","errors":["nothing differs"],"warnings":[]})");
    EXPECT_EQ(ask({"rollback", "7"}), kNo);
    EXPECT_EQ(err_, "nothing differs\nsluice: nothing was changed\n");
}

TEST_F(AgentTest, diff_takes_numbers_for_generations) {
    agent_->answer(
        "GET /v1/diff", 200,
        R"({"generation":9,"dry_run":true,"changes":[{"object":"VirtualService ml/ranker","action":"deleted",)"
        R"("file":"/r/x.yaml","before":"a\n","after":null}],"warnings":[],"effects":["e"],"notes":["n"]})");
    EXPECT_EQ(ask({"diff", "7"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), HasSubstr("GET /v1/diff?from=7 "));
    EXPECT_THAT(out_, HasSubstr("\nVirtualService ml/ranker\n- a\n\nEffect:\n  e\nn\n"));
    EXPECT_THAT(out_, Not(HasSubstr("in force")));
    EXPECT_EQ(ask({"diff", "7", "8", "-o", "json"}), kDone);
    EXPECT_THAT(agent_->last(), HasSubstr("?from=7&to=8 "));
    agent_->answer("GET /v1/diff", 422, R"({"error":"generation 7 is not in the history"})");
    EXPECT_EQ(ask({"diff", "7"}), kNo);
    EXPECT_THAT(err_, HasSubstr("is not in the history"));
    EXPECT_EQ(ask({"--config", rules_, "diff", "7"}), kUsage);
}

TEST(Moment, is_a_time_or_so_long_ago) {
    const auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'795'255'200));  // 2026-11-21T10:00Z
    EXPECT_EQ(moment("2026-11-21T10:00:00Z", now), 1'795'255'200);
    EXPECT_EQ(moment("2026-11-21T10:00", now), 1'795'255'200);
    EXPECT_EQ(moment("2026-11-21 10:00", now), 1'795'255'200);
    EXPECT_EQ(moment("2026-11-21", now), 1'795'219'200);
    EXPECT_EQ(moment("90s", now), 1'795'255'110);
    EXPECT_EQ(moment("2h", now), 1'795'248'000);
    EXPECT_EQ(moment("1w", now), 1'795'255'200 - 604'800);
    for (const char* bad : {"", "2", "h", "-1h", "2 h", "99999999999999999999s", "99999999999w", "2026-13-01", "now"}) {
        EXPECT_EQ(moment(bad, now), std::nullopt) << bad;
    }
}

}  // namespace
}  // namespace sluice::ctl
