#include <memory>
#include <set>

#include "made_reading.h"

namespace sluice::telemetry {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(ReadingTest, EstablishedConnectionsHaveEveryIstioLabel) {
    sl_flow& counted = flow(1, 0, 2, SL_REASON_ESTABLISHED);
    counted.opened = 7;
    counted.closed = 5;
    counted.sent_bytes = 100;       // by the client
    counted.received_bytes = 4000;  // by the client
    const std::string labels =
        "{reporter=\"source\",source_workload=\"feed\",source_canonical_service=\"ranker\","
        "source_canonical_revision=\"latest\",source_workload_namespace=\"ml-serving\",source_principal=\"unknown\","
        "source_app=\"ranker\",source_version=\"unknown\",source_cluster=\"unknown\","
        "destination_workload=\"ranker-v45\",destination_workload_namespace=\"ml-serving\","
        "destination_principal=\"unknown\",destination_app=\"ranker\",destination_version=\"v45\","
        "destination_service=\"ranking.ml-serving.svc.cluster.local\",destination_canonical_service=\"ranker\","
        "destination_canonical_revision=\"v45\",destination_service_name=\"ranking\","
        "destination_service_namespace=\"ml-serving\",destination_cluster=\"unknown\",request_protocol=\"tcp\","
        "response_flags=\"-\",connection_security_policy=\"unknown\"} ";
    const std::string out = text();
    EXPECT_EQ(family(out, "istio_tcp_connections_opened_total"), "istio_tcp_connections_opened_total" + labels + "7\n");
    EXPECT_EQ(family(out, "istio_tcp_connections_closed_total"), "istio_tcp_connections_closed_total" + labels + "5\n");
    // Istio counts from the proxy's seat: sent is what went to the client.
    EXPECT_EQ(family(out, "istio_tcp_sent_bytes_total"), "istio_tcp_sent_bytes_total" + labels + "4000\n");
    EXPECT_EQ(family(out, "istio_tcp_received_bytes_total"), "istio_tcp_received_bytes_total" + labels + "100\n");
    EXPECT_THAT(out, HasSubstr("# TYPE istio_tcp_connections_opened_total counter\n"));
    EXPECT_THAT(out, HasSubstr("istio_build{component=\"sluice\",tag=\"0.1.0\"} 1\n"));
}

TEST_F(ReadingTest, NumbersWithoutNamesAreUnknown) {
    flow(99, 2, 0, SL_REASON_NO_HEALTHY_UPSTREAM).opened = 3;
    flow(SL_NONE, SL_NONE, 0, SL_REASON_NO_CLUSTER).opened = 4;
    const std::string out = text();
    const std::string opened = family(out, "istio_tcp_connections_opened_total");
    EXPECT_THAT(opened, HasSubstr("source_workload=\"unknown\""));
    EXPECT_THAT(opened, HasSubstr("source_canonical_revision=\"latest\""));
    EXPECT_THAT(opened, HasSubstr("destination_canonical_revision=\"latest\""));
    EXPECT_THAT(opened, HasSubstr("destination_service=\"unknown\""));
    EXPECT_THAT(opened, HasSubstr("response_flags=\"UH\",connection_security_policy=\"unknown\"} 3\n"));
    EXPECT_THAT(opened, HasSubstr("response_flags=\"NC\",connection_security_policy=\"unknown\"} 4\n"));
    EXPECT_EQ(family(out, "sluice_refusals_total"),
              "sluice_refusals_total{service=\"unknown\",port=\"unknown\",subset=\"unknown\",reason=\"no_cluster\"} 4\n"
              "sluice_refusals_total{service=\"unknown\",port=\"unknown\",subset=\"unknown\","
              "reason=\"no_healthy_upstream\"} 3\n");
}

TEST_F(ReadingTest, FlowsThatDifferOnlyInUnlabelledThingsAreSummed) {
    flow(1, 0, 2, SL_REASON_REFUSED).opened = 1;
    flow(1, 0, 2, SL_REASON_TIMED_OUT).opened = 2;  // also UF
    EXPECT_THAT(family(text(), "istio_tcp_connections_opened_total"),
                HasSubstr("response_flags=\"UF\",connection_security_"
                          "policy=\"unknown\"} 3\n"));
}

TEST_F(ReadingTest, OutcomesKeepReasonsApart) {
    flow(1, 0, 2, SL_REASON_REFUSED).opened = 1;
    flow(1, 0, 2, SL_REASON_TIMED_OUT).opened = 2;
    const std::string head = "sluice_outcomes_total{service=\"ranking.ml-serving.svc.cluster.local\",port=\"8080\",";
    EXPECT_EQ(family(text(), "sluice_outcomes_total"),
              head + "subset=\"v45\",reason=\"refused\"} 1\n" + head + "subset=\"v45\",reason=\"timed_out\"} 2\n");
}

TEST_F(ReadingTest, LatencyBucketsAreCumulativeAndInSeconds) {
    sl_flow& counted = flow(1, 0, 2, SL_REASON_ESTABLISHED);
    counted.connect_latency[0] = 2;                       // < 16 us
    counted.connect_latency[2] = 3;                       // < 64 us
    counted.connect_latency[SL_LATENCY_BUCKETS - 1] = 1;  // slower than all bounds
    counted.connect_ns = 5'000'000'000;
    const std::string out = text();
    const std::string labels =
        "service=\"ranking.ml-serving.svc.cluster.local\",port=\"8080\",subset=\"v45\",version=\"v45\"";
    const std::string bucket = "sluice_connect_duration_seconds_bucket{" + labels;
    EXPECT_THAT(out, HasSubstr(bucket + ",le=\"1.6e-05\"} 2\n"));
    EXPECT_THAT(out, HasSubstr(bucket + ",le=\"3.2e-05\"} 2\n"));
    EXPECT_THAT(out, HasSubstr(bucket + ",le=\"6.4e-05\"} 5\n"));
    EXPECT_THAT(out, HasSubstr(bucket + ",le=\"4.194304\"} 5\n"));
    EXPECT_THAT(out, HasSubstr(bucket + ",le=\"+Inf\"} 6\n"));
    EXPECT_THAT(out, HasSubstr("sluice_connect_duration_seconds_sum{" + labels + "} 5\n"));
    EXPECT_THAT(out, HasSubstr("sluice_connect_duration_seconds_count{" + labels + "} 6\n"));
}

TEST_F(ReadingTest, RoundTripAndRetransmitsComeFromClosedConnections) {
    sl_flow& counted = flow(1, 0, 2, SL_REASON_ESTABLISHED);
    counted.closed = 4;
    counted.srtt_us = 2'000'000;
    counted.duration_ns = 6'000'000'000;
    counted.retransmits = 9;
    const std::string out = text();
    const std::string labels =
        "{service=\"ranking.ml-serving.svc.cluster.local\",port=\"8080\",subset=\"v45\",version=\"v45\"} ";
    EXPECT_THAT(out, HasSubstr("sluice_srtt_seconds_sum" + labels + "2\n"));
    EXPECT_THAT(out, HasSubstr("sluice_srtt_seconds_count" + labels + "4\n"));
    EXPECT_THAT(out, HasSubstr("sluice_connection_duration_seconds_sum" + labels + "6\n"));
    EXPECT_THAT(out, HasSubstr("sluice_retransmits_total" + labels + "9\n"));
}

TEST_F(ReadingTest, TableWordsAppearOnFirstUse) {
    records[1].picks_total = 12;
    records[1].active = 3;
    records[1].ejected = 1;
    records[1].ejections_total = 2;
    const std::string out = text();
    const std::string labels = "{service=\"ranking.ml-serving.svc.cluster.local\",port=\"8080\",subset=\"v47\"} ";
    EXPECT_EQ(family(out, "sluice_picks_total"), "sluice_picks_total" + labels + "12\n");
    EXPECT_EQ(family(out, "sluice_active_connections"), "sluice_active_connections" + labels + "3\n");
    EXPECT_EQ(family(out, "sluice_endpoints_ejected"), "sluice_endpoints_ejected" + labels + "1\n");
    EXPECT_EQ(family(out, "sluice_ejections_total"), "sluice_ejections_total" + labels + "2\n");
    EXPECT_EQ(family(out, "sluice_ejections_overflow_total"), "");
}

TEST_F(ReadingTest, TwoRecordsOfOneSubsetAreOneSeries) {
    reading.names.clusters[1] = cluster("v45");  // shaped by another namespace's DestinationRule
    records[0].picks_total = 5;
    records[1].picks_total = 6;
    EXPECT_EQ(family(text(), "sluice_picks_total"),
              "sluice_picks_total{service=\"ranking.ml-serving.svc.cluster.local\",port=\"8080\",subset=\"v45\"} 11\n");
}

TEST_F(ReadingTest, DropsAndFactsAreAlwaysThere) {
    reading.counters[SL_REASON_FLOWS_FULL] = 5;
    reading.agent.generation = 17;
    reading.agent.config_load_errors = 2;
    reading.agent.heartbeat_age_ns = 500'000'000;
    reading.occupancy = {{"services", 3, 16384}};
    reading.programs = {{"sl_connect4", 10, 2'000'000'000}};
    const std::string out = text();
    for (const char* line :
         {"sluice_drops_total{reason=\"flows_full\"} 5\n", "sluice_drops_total{reason=\"events_lost\"} 0\n",
          "sluice_generation 17\n", "sluice_config_load_errors_total 2\n", "sluice_config_last_load_success 0\n",
          "sluice_heartbeat_age_seconds 0.5\n", "sluice_table_used{table=\"services\"} 3\n",
          "sluice_table_capacity{table=\"services\"} 16384\n",
          "sluice_program_runs_total{program=\"sl_connect4\"} 10\n",
          "sluice_program_run_seconds_total{program=\"sl_connect4\"} 2\n", "sluice_applies_total{result=\"done\"} 0\n",
          "sluice_metric_series_overflow_total 0\n"}) {
        EXPECT_THAT(out, HasSubstr(line));
    }
    EXPECT_THAT(out, Not(HasSubstr("reason=\"established\"")));
}

TEST_F(ReadingTest, DrainsAreToldByModeAndFailuresByReason) {
    reading.drains = {.idle = 3, .now = 4, .waiting = 5, .unwatched = 6, .failures = {{"not_supported", 7}}};
    const std::string out = text();
    for (const char* line :
         {"sluice_drained_connections_total{mode=\"idle\"} 3\n", "sluice_drained_connections_total{mode=\"now\"} 4\n",
          "sluice_drain_waiting_connections 5\n", "sluice_drain_unwatched_connections 6\n",
          "sluice_drain_failures_total{reason=\"not_supported\"} 7\n"}) {
        EXPECT_THAT(out, HasSubstr(line));
    }
}

TEST_F(ReadingTest, LabelValuesAreEscaped) {
    auto odd = std::make_shared<model::Workload>(*reading.names.workloads[1]);
    odd->name = "a\"b\\c\nd";
    reading.names.workloads[1] = odd;
    flow(1, 0, 2, SL_REASON_ESTABLISHED).opened = 1;
    EXPECT_THAT(text(), HasSubstr("source_workload=\"a\\\"b\\\\c\\nd\""));
}

TEST(Reasons, EveryNumberHasAUniqueLabel) {
    std::set<std::string> labels;
    for (std::uint32_t i = 0; i < SL_REASON_COUNT; ++i) {
        EXPECT_STRNE(reason_label(i), "unknown") << i;
        EXPECT_TRUE(labels.insert(reason_label(i)).second) << reason_label(i);
    }
    EXPECT_STREQ(reason_label(SL_REASON_COUNT), "unknown");
    EXPECT_STREQ(reason_flag(SL_REASON_OVERFLOW), "UO");
}

}  // namespace
}  // namespace sluice::telemetry
