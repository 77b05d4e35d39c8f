// `sluice weight`: in a directory without agent, and against one.
#include "tests/unit/ctl/stand_in.h"

namespace sluice::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class WeightTest : public CtlTest {
  protected:
    void SetUp() override {
        CtlTest::SetUp();
        put_sound_rules();
    }
    std::string file() const {
        std::ostringstream out;
        out << std::ifstream(rules_ + "/route.yaml", std::ios::binary).rdbuf();
        return out.str();
    }
};

TEST_F(WeightTest, edits_the_file_of_a_directory_and_nothing_else_in_it) {
    const std::string comment = "# the split\n---\n";
    put("rules/route.yaml", comment + virtual_service(90, 10));
    EXPECT_EQ(sluice({"--config", rules_, "weight", "ranker", "v47=25", "v45=75"}), kDone) << err_;
    EXPECT_EQ(file(), comment + virtual_service(75, 25));
    EXPECT_THAT(out_, StartsWith(rules_ + "/route.yaml:9: rule without name of VirtualService ml/ranker\n"));
    EXPECT_THAT(out_, HasSubstr("\nv45              90     75\n"));
    EXPECT_THAT(out_, HasSubstr("\nv47              10     25\n"));
    EXPECT_EQ(sluice({"--config", rules_, "weight", "ranker", "v47=25", "-o", "json"}), kDone) << err_;
    EXPECT_EQ(Json::parse(out_)["changes"][0]["action"], "unchanged");
    EXPECT_EQ(Json::parse(out_)["rule"]["line"], 9);
}

TEST_F(WeightTest, of_a_dry_run_shows_the_difference_and_changes_nothing) {
    EXPECT_EQ(sluice({"--config", rules_, "weight", "ranker", "v47=25", "--dry-run"}), kDone) << err_;
    EXPECT_THAT(out_, HasSubstr("-       weight: 10\n+       weight: 25\n"));
    EXPECT_EQ(file(), virtual_service(90, 10));
}

TEST_F(WeightTest, that_the_rules_would_not_take_changes_nothing) {
    EXPECT_EQ(sluice({"--config", rules_, "weight", "ranker", "v47=0", "v45=0"}), kNo);
    EXPECT_THAT(err_, HasSubstr("add up to 0"));
    EXPECT_EQ(sluice({"--config", rules_, "weight", "ranker", "v46=5"}), kNo);
    EXPECT_THAT(err_, HasSubstr("has no v46, only v45, v47"));
    EXPECT_EQ(sluice({"--config", rules_, "weight", "nobody", "v45=5"}), kNo);
    EXPECT_EQ(file(), virtual_service(90, 10));
}

TEST_F(WeightTest, wrong_usage_is_exit_code_2) {
    EXPECT_EQ(sluice({"--config", rules_, "weight", "ranker"}), kUsage);
    EXPECT_EQ(sluice({"--config", rules_, "weight", "ranker", "v47"}), kUsage);
    EXPECT_THAT(err_, HasSubstr("a weight is SUBSET=NUMBER"));
    EXPECT_EQ(sluice({"--config", rules_, "weight", "ranker", "v47=25", "-m", "why"}), kUsage);
    EXPECT_THAT(err_, HasSubstr("goes into the history of an agent"));
}

TEST_F(AgentTest, weight_asks_the_agent_and_prints_what_it_did) {
    agent_->answer(
        "POST /v1/weight", 200,
        R"({"generation":8,"dry_run":false,"changes":[{"object":"VirtualService ml/ranker","action":"replaced","file":"/r/x.yaml"}],"warnings":[],"notes":["by connection"],)"
        R"("rule":{"object":"VirtualService ml/ranker","name":"split","file":"/r/x.yaml","line":12},"weights":[{"destination":"v45","before":90,"after":75},{"destination":"v47","before":null,"after":25}]})");
    EXPECT_EQ(ask({"weight", "ranker", "v45=75", "v47=25", "--route", "split", "-m", "to 25%"}), kDone) << err_;
    EXPECT_THAT(agent_->last(), StartsWith("POST /v1/weight?service=ranker&weights=v45%3D75%2Cv47%3D25&route=split&"
                                           "message=to%2025%25 "));
    EXPECT_THAT(out_, StartsWith("/r/x.yaml:12: rule split of VirtualService ml/ranker\n"));
    EXPECT_THAT(out_, HasSubstr("by connection\ngeneration 8 is in force\n"));
}

TEST_F(AgentTest, weight_that_the_agent_refuses_is_exit_code_1_with_its_reason) {
    agent_->answer("POST /v1/weight", 422, R"({"error":"several","errors":["several rules fit:\n  a\n  b"]})");
    EXPECT_EQ(ask({"weight", "ranker", "v45=75"}), kNo);
    EXPECT_THAT(err_, HasSubstr("several rules fit"));
}

}  // namespace
}  // namespace sluice::ctl
