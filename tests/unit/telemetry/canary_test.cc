#include "telemetry/canary.h"

#include "tests/unit/telemetry/made_reading.h"

namespace sluice::telemetry {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(ReadingTest, a_canary_has_one_series_a_state_and_a_verdict) {
    reading.canaries.push_back({.name = "ranker-v47",
                                .ns = "ml",
                                .service = "ranker.ml.svc.cluster.local",
                                .champion = "v45",
                                .challenger = "v47",
                                .state = "stage",
                                .stage = 2,
                                .weight = 10,
                                .transitions = {{"stage", 2}},
                                .gates = {{"errors", "no data"}}});
    const std::string out = text();
    const std::string who = "canary=\"ranker-v47\",namespace=\"ml\"";
    EXPECT_THAT(out, HasSubstr("sluice_canary_state{" + who +
                               ",service=\"ranker.ml.svc.cluster.local\","
                               "champion=\"v45\",challenger=\"v47\",state=\"stage\"} 1\n"));
    for (const char* state : {"idle", "mirror", "paused", "promoted", "aborted"}) {
        EXPECT_THAT(out, HasSubstr("state=\"" + std::string(state) + "\"} 0\n"));
    }
    EXPECT_THAT(out, HasSubstr("sluice_canary_stage{" + who + "} 2\n"));
    EXPECT_THAT(out, HasSubstr("sluice_canary_weight{" + who + "} 10\n"));
    EXPECT_THAT(out, HasSubstr("sluice_canary_transitions_total{" + who + ",to=\"stage\"} 2\n"));
    EXPECT_THAT(out, HasSubstr("sluice_canary_gate{" + who + ",gate=\"errors\",verdict=\"no data\"} 1\n"));
    EXPECT_THAT(out, HasSubstr("sluice_canary_gate{" + who + ",gate=\"errors\",verdict=\"pass\"} 0\n"));
}

TEST_F(ReadingTest, weights_are_shares_by_rule_and_scope) {
    reading.route_weights = {
        {.service = "ranker", .port = 80, .route = "split", .subset = "v47", .scope = "", .share = 0.1},
        {.service = "ranker", .port = 80, .route = "split", .subset = "v47", .scope = "a", .share = 1}};
    const std::string out = text();
    const std::string rule =
        "sluice_route_weight{destination_service=\"ranker\",port=\"80\",route=\"split\",subset=\"v47\"";
    EXPECT_THAT(out, HasSubstr(rule + ",scope=\"\"} 0.1\n"));
    EXPECT_THAT(out, HasSubstr(rule + ",scope=\"a\"} 1\n"));
}

TEST_F(ReadingTest, without_canaries_and_rules_there_are_no_such_families) {
    EXPECT_THAT(text(), Not(HasSubstr("sluice_canary_")));
    EXPECT_THAT(text(), Not(HasSubstr("sluice_route_weight")));
}

}  // namespace
}  // namespace sluice::telemetry
