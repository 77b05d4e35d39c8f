#include <cstring>

#include "made_reading.h"

namespace sluice::telemetry {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kPeers =
    "reporter=\"source\",source_workload=\"feed\",source_canonical_service=\"ranker\","
    "source_canonical_revision=\"latest\",source_workload_namespace=\"ml-serving\",source_principal=\"unknown\","
    "source_app=\"ranker\",source_version=\"unknown\",source_cluster=\"unknown\","
    "destination_workload=\"ranker-v45\",destination_workload_namespace=\"ml-serving\","
    "destination_principal=\"unknown\",destination_app=\"ranker\",destination_version=\"v45\","
    "destination_service=\"ranking.ml-serving.svc.cluster.local\",destination_canonical_service=\"ranker\","
    "destination_canonical_revision=\"v45\",destination_service_name=\"ranking\","
    "destination_service_namespace=\"ml-serving\",destination_cluster=\"unknown\",request_protocol=\"http\",";

std::string ends(const std::string& code, const std::string& flags) {
    return kPeers + "response_code=\"" + code + "\",grpc_response_status=\"\",response_flags=\"" + flags +
           "\",connection_security_policy=\"unknown\"";
}

class Requests : public ReadingTest {
  protected:
    Requests() { speak_http(true); }
    void speak_http(bool http) {
        for (auto& known : reading.names.clusters) {
            auto made = std::make_shared<model::Cluster>(*known);
            made->http = http;
            known = made;
        }
    }
    std::map<std::string, double> total() { return series(text(), "istio_requests_total"); }
};

TEST_F(Requests, AreCountedByCodeAndFlagWithEveryLabel) {
    request(1, 0, 2, 200).requests = 7;
    request(1, 0, 2, 503).requests = 2;
    request(1, 0, 2, 200, SL_REASON_UPSTREAM_CLOSED).requests = 1;
    request(1, 0, 2, 0, SL_REASON_DOWNSTREAM_CLOSED).requests = 3;
    request(1, 0, 2, 0, SL_REASON_DRAINED).requests = 4;
    const std::map<std::string, double> wanted{{"{" + ends("200", "-") + "}", 7},
                                               {"{" + ends("503", "-") + "}", 2},
                                               {"{" + ends("200", "UC") + "}", 1},
                                               {"{" + ends("0", "DC") + "}", 3},
                                               {"{" + ends("0", "LR") + "}", 4}};
    EXPECT_EQ(total(), wanted);
    EXPECT_THAT(text(), HasSubstr("# TYPE istio_requests_total counter\n"));
}

TEST_F(Requests, ThatMetNoEndpointAreCountedWithoutACode) {
    flow(1, 0, 2, SL_REASON_REFUSED).opened = 1;
    flow(1, 0, 2, SL_REASON_TIMED_OUT).opened = 2;
    flow(1, 0, 2, SL_REASON_UNREACHABLE).opened = 4;
    flow(1, 0, 2, SL_REASON_NO_HEALTHY_UPSTREAM).opened = 8;
    flow(1, 0, 2, SL_REASON_OVERFLOW).opened = 16;
    flow(1, 0, 2, SL_REASON_ESTABLISHED).opened = 1000;  // asks, or not, later
    flow(1, 0, 2, SL_REASON_CANCELLED).opened = 1000;    // asked nothing
    flow(1, 0, 2, SL_REASON_LOCAL_ERROR).opened = 1000;
    const std::map<std::string, double> wanted{
        {"{" + ends("0", "UF") + "}", 7}, {"{" + ends("0", "UH") + "}", 8}, {"{" + ends("0", "UO") + "}", 16}};
    EXPECT_EQ(total(), wanted);
    speak_http(false);
    EXPECT_EQ(total(), (std::map<std::string, double>{})) << "connections of a TCP port are no requests";
    flow(1, SL_NONE, 0, SL_REASON_NO_CLUSTER).opened = 5;
    const std::string text_now = text();
    EXPECT_THAT(family(text_now, "istio_requests_total"), HasSubstr("response_flags=\"NC\""));
    EXPECT_EQ(total().size(), 1u);
}

TEST_F(Requests, HistogramsHaveIstiosBounds) {
    sl_request_counts& counted = request(1, 0, 2, 200);
    counted.requests = 6;
    counted.duration_ns = 4'500'000;  // 4.5 ms
    counted.request_bytes = 900;
    counted.response_bytes = 5'000'000;
    counted.first_byte_ns = 250'000;
    counted.duration[0] = 2;                         // <= 0.5 ms
    counted.duration[1] = 3;                         // <= 1 ms
    counted.duration[SL_HISTOGRAM_BUCKETS - 1] = 1;  // above all
    counted.request_size[7] = 6;                     // <= 250 bytes
    counted.response_size[SL_HISTOGRAM_BUCKETS - 2] = 6;
    counted.first_byte[0] = 6;
    const std::string out = text();
    const std::string labels = ends("200", "-");
    const std::string bucket = "istio_request_duration_milliseconds_bucket{" + labels + ",le=\"";
    std::string wanted;
    for (const auto& [bound, count] : std::vector<std::pair<const char*, int>>{
             {"0.5", 2},   {"1", 5},      {"5", 5},      {"10", 5},      {"25", 5},      {"50", 5},    {"100", 5},
             {"250", 5},   {"500", 5},    {"1000", 5},   {"2500", 5},    {"5000", 5},    {"10000", 5}, {"30000", 5},
             {"60000", 5}, {"300000", 5}, {"600000", 5}, {"1800000", 5}, {"3600000", 5}, {"+Inf", 6}}) {
        wanted += bucket + bound + "\"} " + std::to_string(count) + "\n";
    }
    EXPECT_EQ(family(out, "istio_request_duration_milliseconds_bucket"), wanted);
    EXPECT_EQ(series(out, "istio_request_duration_milliseconds_sum"),
              (std::map<std::string, double>{{"{" + labels + "}", 4.5}}));
    EXPECT_EQ(series(out, "istio_request_duration_milliseconds_count"),
              (std::map<std::string, double>{{"{" + labels + "}", 6}}));
    EXPECT_EQ(series(out, "istio_request_bytes_sum"), (std::map<std::string, double>{{"{" + labels + "}", 900}}));
    EXPECT_THAT(out, HasSubstr("istio_request_bytes_bucket{" + labels + ",le=\"100\"} 0\n"));
    EXPECT_THAT(out, HasSubstr("istio_request_bytes_bucket{" + labels + ",le=\"250\"} 6\n"));
    EXPECT_EQ(series(out, "istio_response_bytes_sum"), (std::map<std::string, double>{{"{" + labels + "}", 5e6}}));
    EXPECT_THAT(out, HasSubstr("istio_response_bytes_bucket{" + labels + ",le=\"1800000\"} 0\n"));
    EXPECT_THAT(out, HasSubstr("istio_response_bytes_bucket{" + labels + ",le=\"3600000\"} 6\n"));
    const std::string few =
        "source_workload=\"feed\",source_workload_namespace=\"ml-serving\",destination_workload=\"ranker-v45\","
        "destination_version=\"v45\",destination_service=\"ranking.ml-serving.svc.cluster.local\",response_code="
        "\"200\"";
    EXPECT_THAT(out, HasSubstr("sluice_request_first_byte_seconds_bucket{" + few + ",le=\"0.0005\"} 6\n"));
    EXPECT_THAT(out, HasSubstr("sluice_request_first_byte_seconds_sum{" + few + "} 0.00025\n"));
}

TEST_F(Requests, WithoutAnAnswerHaveNoFirstByte) {
    sl_request_counts& counted = request(1, 0, 2, 0, SL_REASON_DOWNSTREAM_CLOSED);
    counted.requests = 1;
    counted.duration[3] = 1;
    const std::string out = text();
    EXPECT_THAT(out, HasSubstr("istio_request_duration_milliseconds_count{"));
    EXPECT_THAT(out, Not(HasSubstr("first_byte")));
}

TEST_F(Requests, UnobservedConnectionsAreNoRequests) {
    request(1, 0, 2, 0, SL_REASON_UNOBSERVED_HTTP2).requests = 3;
    request(1, 1, 2, 0, SL_REASON_UNOBSERVED_TLS).requests = 4;
    request(99, 0, 2, 0, SL_REASON_UNOBSERVED_HTTP2).requests = 5;
    reading.counters[SL_REASON_UNOBSERVED_HTTP2] = 8;
    reading.counters[SL_REASON_UPSTREAM_CLOSED] = 9;
    reading.counters[SL_REASON_SAMPLES_LOST] = 2;
    const std::string out = text();
    const std::string head = "{service=\"ranking.ml-serving.svc.cluster.local\",port=\"8080\",subset=\"v4";
    EXPECT_EQ(series(out, "sluice_unobserved_connections_total"),
              (std::map<std::string, double>{{head + "5\",version=\"v45\",reason=\"http2\"}", 8},
                                             {head + "7\",version=\"v45\",reason=\"tls\"}", 4}}));
    EXPECT_THAT(out, Not(HasSubstr("istio_request")));
    EXPECT_EQ(family(out, "sluice_outcomes_total"), "");
    // Nor drops: nothing was lost. What was lost is one.
    for (const char* reason : {"http2", "not_http", "no_storage", "upstream_closed", "downstream_closed", "drained"}) {
        EXPECT_THAT(out, Not(HasSubstr("sluice_drops_total{reason=\"" + std::string(reason) + "\"}")));
    }
    EXPECT_THAT(out, HasSubstr("sluice_drops_total{reason=\"samples_lost\"} 2\n"));
    EXPECT_THAT(out, HasSubstr("sluice_drops_total{reason=\"requests_full\"} 0\n"));
}

TEST_F(Requests, OfTheOverflowRowAreOther) {
    reading.requests.push_back({SL_REQUEST_KEY_OVERFLOW, {}});
    reading.requests.back().second.requests = 12;
    const auto counted = total();
    ASSERT_EQ(counted.size(), 1u);
    EXPECT_THAT(counted.begin()->first, HasSubstr("response_code=\"other\""));
    EXPECT_THAT(counted.begin()->first, Not(HasSubstr("unknown")));
    EXPECT_EQ(counted.begin()->second, 12);
    EXPECT_THAT(text(), HasSubstr("sluice_metric_series_overflow_total 0\n"));
}

TEST(RequestSums, ShardsAreSummedAndEmptyRowsLeftOut) {
    RequestSums sums;
    sl_request_key key{1, 2, 3, 200, SL_REASON_NONE, 0};
    for (std::uint8_t shard = 0; shard < SL_REQUEST_SHARDS; ++shard) {
        sl_request_counts counts;
        std::array<std::uint64_t, sizeof(counts) / 8> words;
        for (std::size_t i = 0; i < words.size(); ++i) {
            words[i] = 1000 * shard + i + 1;
        }
        std::memcpy(&counts, words.data(), sizeof(counts));
        key.shard = shard;
        sums.add(key, counts);
    }
    sl_request_key other = key;
    other.status = 503;
    sl_request_counts one{};
    one.requests = 1;
    sums.add(other, one);
    sums.add(SL_REQUEST_KEY_OVERFLOW, sl_request_counts{});
    const std::vector<RequestRow> rows = sums.take();
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].first.shard, 0);
    EXPECT_EQ(rows[0].first.status, 200);
    std::array<std::uint64_t, sizeof(sl_request_counts) / 8> words;
    std::memcpy(words.data(), &rows[0].second, sizeof(words));
    for (std::size_t i = 0; i < words.size(); ++i) {
        EXPECT_EQ(words[i], 28000 + 8 * (i + 1)) << i;
    }
    EXPECT_EQ(rows[1].second.requests, 1u);
    EXPECT_TRUE(sums.take().empty());
}

}  // namespace
}  // namespace sluice::telemetry
