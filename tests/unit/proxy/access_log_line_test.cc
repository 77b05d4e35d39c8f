#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "proxy/access_line.h"
#include "records.h"

namespace sluice::proxy {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kStarted = 1'795'234'906'789'999'999;  // 2026-11-21T04:21:46.789Z

class AccessLineTest : public testing::Test {
  protected:
    AccessLineTest() {
        made.head.fields = {{"User-Agent", "curl/8"}, {"X-Forwarded-For", "10.1.1.1"}, {"x-forwarded-for", "10.2.2.2"}};
        record = made.record(cluster, 0, 200);
        record.response = &made.answer;
        record.details = "via_upstream";
        record.received_body = 12;
        record.sent_body = 3456;
        record.service_time_ms = 5;
        record.attempts = 1;
        record.upstream_address = "10.0.0.1:8000";
        record.upstream_local_address = "10.0.0.9:40000";
        record.downstream_local_address = "127.0.0.1:8080";
        record.downstream_remote_address = "127.0.0.1:50000";
        record.request_id = "0f1e2d3c-0000-4000-8000-000000000000";
        record.authority = "ranker:8080";
    }
    std::string line(LogFormat format) const {
        std::string out;
        AccessLine(format).write(record, kStarted, out);
        return out;
    }
    nlohmann::json json() const { return nlohmann::json::parse(line(LogFormat::kJson)); }

    test::Records made;
    ClusterPtr cluster = made.cluster("v45");
    Record record;
};

TEST_F(AccessLineTest, TextIsIstiosDefaultFormat) {
    EXPECT_EQ(
        line(LogFormat::kText),
        "[2026-11-21T04:21:46.789Z] \"POST /v1/models/ranker:predict HTTP/1.1\" 200 - via_upstream - \"-\" 12 3456 "
        "7 5 \"10.1.1.1,10.2.2.2\" \"curl/8\" \"0f1e2d3c-0000-4000-8000-000000000000\" \"ranker:8080\" "
        "\"10.0.0.1:8000\" outbound|8080|v45|ranker.ml.svc.cluster.local 10.0.0.9:40000 127.0.0.1:8080 "
        "127.0.0.1:50000 - split\n");
}

TEST_F(AccessLineTest, WhatHasNoValueIsADash) {
    http::RequestHead empty;
    empty.minor = 0;
    record = Record{};
    record.client = &made.client;
    record.request = &empty;
    EXPECT_EQ(
        line(LogFormat::kText),
        "[2026-11-21T04:21:46.789Z] \"- - HTTP/1.0\" 0 - - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - - - - "
        "-\n");
}

TEST_F(AccessLineTest, AFailureHasItsFlagsAndNoBlanksInItsDetails) {
    record.response = nullptr;  // a local answer: x-envoy-upstream-service-time was never there
    record.status = 503;
    record.flags = bit(Flag::kUpstreamConnectionFailure) | bit(Flag::kUpstreamRetryLimitExceeded);
    record.details = "upstream_reset_before_response_started{remote connection failure}";
    record.upstream_failure = "delayed connect error: Connection refused";
    EXPECT_THAT(line(LogFormat::kText),
                HasSubstr("\" 503 UF,URX upstream_reset_before_response_started{remote_connection_failure} - "
                          "\"delayed_connect_error:_Connection_refused\" 12 3456 7 - \""));
}

TEST_F(AccessLineTest, TheQueryBelongsToThePathAndAnAbsoluteTargetHasOne) {
    const std::string target = "http://ranker:8080/v1?user=7&x";
    made.head.target = target;
    made.head.path = std::string_view(target).substr(18, 3);
    made.head.query = std::string_view(target).substr(22);
    made.head.has_query = true;
    EXPECT_THAT(line(LogFormat::kText), HasSubstr("\"POST /v1?user=7&x HTTP/1.1\""));
}

TEST_F(AccessLineTest, NoPeerCanEndItsFieldOrTheLine) {
    made.head.fields = {{"user-agent", "a\" 200 \\ \t\n\x01\x7f"}};
    EXPECT_THAT(line(LogFormat::kText), HasSubstr("\"a\\x22 200 \\x5c \\x09\\x0a\\x01\\x7f\" \""));
    EXPECT_EQ(json()["user_agent"], "a\" 200 \\ \t\n\x01\x7f");
    EXPECT_EQ(std::ranges::count(line(LogFormat::kJson), '\n'), 1);
}

TEST_F(AccessLineTest, JsonStaysJsonWhateverTheOctets) {
    made.head.fields = {{"user-agent", "\xff\xc3"}};
    EXPECT_EQ(json()["user_agent"], "\u00ff\u00c3");
}

TEST_F(AccessLineTest, JsonHasTheSameOperatorsByName) {
    const auto row = nlohmann::ordered_json::parse(line(LogFormat::kJson));
    EXPECT_EQ(row.dump(),
              R"({"start_time":"2026-11-21T04:21:46.789Z","route_name":"split","method":"POST",)"
              R"("path":"/v1/models/ranker:predict","protocol":"HTTP/1.1","response_code":200,"response_flags":"-",)"
              R"("response_code_details":"via_upstream","connection_termination_details":null,"bytes_received":12,)"
              R"("bytes_sent":3456,"duration":7,"upstream_service_time":"5","x_forwarded_for":"10.1.1.1,10.2.2.2",)"
              R"("user_agent":"curl/8","request_id":"0f1e2d3c-0000-4000-8000-000000000000","authority":"ranker:8080",)"
              R"("upstream_host":"10.0.0.1:8000","upstream_cluster":"outbound|8080|v45|ranker.ml.svc.cluster.local",)"
              R"("upstream_local_address":"10.0.0.9:40000","downstream_local_address":"127.0.0.1:8080",)"
              R"("downstream_remote_address":"127.0.0.1:50000","requested_server_name":null,)"
              R"("upstream_transport_failure_reason":null})");
}

TEST_F(AccessLineTest, JsonHasNullForWhatHasNoValue) {
    record.response = nullptr;
    record.rule = nullptr;
    record.upstream_address = {};
    const auto row = json();
    EXPECT_TRUE(row["upstream_service_time"].is_null());
    EXPECT_TRUE(row["route_name"].is_null());
    EXPECT_TRUE(row["upstream_host"].is_null());
}

TEST_F(AccessLineTest, OneWriterKnowsTheTimeOfEachLine) {
    AccessLine writer(LogFormat::kText);
    std::string out;
    writer.write(record, kStarted, out);
    writer.write(record, kStarted + 1'000'000, out);
    writer.write(record, kStarted + 300'000'000, out);
    EXPECT_THAT(out, HasSubstr("[2026-11-21T04:21:46.789Z]"));
    EXPECT_THAT(out, HasSubstr("[2026-11-21T04:21:46.790Z]"));
    EXPECT_THAT(out, HasSubstr("[2026-11-21T04:21:47.089Z]"));
}

}  // namespace
}  // namespace sluice::proxy
