#include "admin/watching.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "base/ip.h"

namespace sluice::admin {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

void put(std::uint8_t (&bytes)[16], const char* address) {
    std::ranges::copy(IpAddress::parse(address)->bytes, bytes);
}

Known known() {
    auto service = std::make_shared<model::ServicePort>();
    service->host = "ranking.ml.svc.cluster.local";
    service->port = 8080;
    auto cluster = std::make_shared<model::Cluster>();
    cluster->host = "other.ml.svc.cluster.local";
    cluster->port = 9090;
    cluster->subset = "v47";
    auto client = std::make_shared<model::Workload>();
    client->ns = "web";
    client->name = "frontend";
    return {.service = service, .cluster = cluster, .client = client};
}

sl_connection connection() {
    sl_connection made{};
    made.cookie = 77;
    made.generation = 4;
    made.started_ns = 10 * kSecond;
    made.established_ns = 10 * kSecond + 1;
    made.requests = 12;
    made.sent_bytes = 100;
    put(made.local_address, "127.0.0.1");
    put(made.remote_address, "127.1.0.1");
    put(made.dialled_address, "::1");
    made.local_port = htons(40000);
    made.remote_port = htons(9000);
    made.dialled_port = htons(8080);
    made.watched = SL_REASON_NONE;
    return made;
}

TEST(ConnectionRow, ShowsWhoTalksToWhomAndSinceWhen) {
    const Json row = connection_row(connection(), known(), true, 12 * kSecond + kSecond / 2);
    EXPECT_EQ(row.dump(),
              R"({"client":"web/frontend","host":"ranking.ml.svc.cluster.local","port":8080,"subset":"v47",)"
              R"("endpoint":"127.1.0.1:9000","dialled":"[::1]:8080","local":"127.0.0.1:40000","state":"established",)"
              R"("age_s":2.5,"requests":12,"sent_bytes":100,"received_bytes":0,"generation":4,"older":true,)"
              R"("watched":"yes","gate":"open","cookie":77,"netns_cookie":0})");
}

TEST(ConnectionRow, WhatIsNotKnownIsNull) {
    Json row = connection_row(connection(), {}, false, 0);
    for (const char* name : {"client", "host", "port", "subset"}) {
        EXPECT_TRUE(row[name].is_null()) << name;
    }
    EXPECT_EQ(row["age_s"], 0.0);  // it began after the clock was read
    Known without_service = known();
    without_service.service = nullptr;
    row = connection_row(connection(), without_service, false, 0);
    EXPECT_EQ(row["host"], "other.ml.svc.cluster.local");
    EXPECT_EQ(row["port"], 9090);
}

TEST(ConnectionRow, OnlyWatchedConnectionsHaveAGateAndRequests) {
    sl_connection made = connection();
    made.watched = SL_REASON_ESTABLISHED;
    Json row = connection_row(made, known(), false, 0);
    EXPECT_EQ(row["watched"], "tcp");
    EXPECT_TRUE(row["gate"].is_null());
    EXPECT_TRUE(row["requests"].is_null());
    made.watched = SL_REASON_UNOBSERVED_HTTP2;
    made.established_ns = 0;
    row = connection_row(made, known(), false, 0);
    EXPECT_EQ(row["watched"], "http2");
    EXPECT_EQ(row["state"], "connecting");
    EXPECT_TRUE(row["gate"].is_null());
}

TEST(ConnectionRow, TheGateSaysWhatWouldHappen) {
    EXPECT_STREQ(gate_text(0), "open");
    EXPECT_STREQ(gate_text(SL_GATE_BUSY), "busy");
    EXPECT_STREQ(gate_text(SL_GATE_BUSY | SL_GATE_WANTED), "wanted");
    EXPECT_STREQ(gate_text(SL_GATE_CLOSED), "closed");
}

TEST(SampleRow, ShowsOneRequest) {
    proxy::Sample sample;
    sample.seen.duration_ns = 12'345'678;
    sample.seen.first_byte_ns = 1'500'000;
    sample.seen.request_bytes = 120;
    sample.seen.response_bytes = 4096;
    sample.seen.cookie = 77;
    sample.seen.status = 200;
    sample.seen.method = SL_METHOD_POST;
    Known who = known();
    who.service = nullptr;
    const Json row = sample_row(sample, who, "127.1.0.1:9000", 1'763'697'906'789'012'345);
    EXPECT_EQ(row.dump(),
              R"({"time":"2025-11-21T04:05:06.789Z","client":"web/frontend","host":"other.ml.svc.cluster.local",)"
              R"("port":9090,"subset":"v47","endpoint":"127.1.0.1:9000","method":"POST","status":200,)"
              R"("duration_ms":12.345,"first_byte_ms":1.5,"request_bytes":120,"response_bytes":4096,"flag":"-",)"
              R"("reason":null,"connection":77,"lane":"direct","route":null,"attempts":null})");
}

TEST(SampleRow, OfTheProxyShowsAllFlagsAndTheRoute) {
    proxy::Sample sample;
    sample.proxied = true;
    sample.seen.status = 503;
    sample.flags = 1u << 1 | 1u << 6;
    sample.attempts = 3;
    constexpr auto put = [](auto& chars, std::string_view text) { std::ranges::copy(text, chars.begin()); };
    put(sample.client, "ml/gateway");
    put(sample.host, "asked.ml.svc.cluster.local");
    sample.port = 80;
    put(sample.method, "PURGE");
    put(sample.route, "canary");
    put(sample.details, "upstream_reset_before_response_started{remote_connection_failure}");
    const Json row = sample_row(sample, known(), "", 0);
    EXPECT_EQ(row.dump(),
              R"({"time":"1970-01-01T00:00:00.000Z","client":"ml/gateway","host":"asked.ml.svc.cluster.local",)"
              R"("port":80,"subset":"v47","endpoint":"","method":"PURGE","status":503,)"
              R"("duration_ms":0.0,"first_byte_ms":null,"request_bytes":0,"response_bytes":0,"flag":"UF,URX",)"
              R"("reason":"upstream_reset_before_response_started{remote_connection_failure}","connection":null,)"
              R"("lane":"proxy","route":"canary","attempts":3})");
    sample.flags = 0;
    EXPECT_TRUE(sample_row(sample, known(), "", 0)["reason"].is_null()) << "only what went wrong has one";
    sample.port = 0;
    EXPECT_TRUE(sample_row(sample, {}, "", 0)["host"].is_null()) << "a Host that nobody has";
}

TEST(SampleRow, ARequestThatWasNotAnsweredSaysWhoseDoingItWas) {
    proxy::Sample sample;
    sample.seen.reason = SL_REASON_UPSTREAM_CLOSED;
    sample.seen.method = 200;  // of a newer kernel side
    const Json row = sample_row(sample, {}, "", 0);
    EXPECT_EQ(row["status"], 0);
    EXPECT_TRUE(row["first_byte_ms"].is_null());
    EXPECT_EQ(row["flag"], "UC");
    EXPECT_EQ(row["reason"], "upstream_closed");
    EXPECT_EQ(row["method"], "other");
}

}  // namespace
}  // namespace sluice::admin
