// Retries, faults and mirrors of an HTTP rule.
#include <gtest/gtest.h>

#include "tests/unit/config/http_parsed.h"

namespace sluice::config::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RetriesTest, DefaultsAndAll) {
    const Retries none = *beside_route("retries: {}").retries;
    EXPECT_EQ(none.attempts, 0u);
    EXPECT_FALSE(none.per_try_timeout || none.on || none.ignore_previous_hosts);
    EXPECT_EQ(none.backoff, milliseconds(25));
    const Retries all = *beside_route(
                             "retries: {attempts: 3, perTryTimeout: 80ms, retryOn: reset, retryRemoteLocalities: true, "
                             "retryIgnorePreviousHosts: false, backoff: 1s}")
                             .retries;
    EXPECT_EQ(all.attempts, 3u);
    EXPECT_EQ(all.per_try_timeout, milliseconds(80));
    EXPECT_EQ(all.ignore_previous_hosts, false);
    EXPECT_EQ(all.backoff, seconds(1));
    EXPECT_FALSE(beside_route("retries: {attempts: 1, retryOn: ''}").retries->on);
    EXPECT_EQ(beside_route("retries: {attempts: 0, retryOn: ''}").retries->attempts, 0u);
}

TEST(RetriesTest, EveryConditionByItsName) {
    const std::pair<const char*, RetryOn> conditions[] = {
        {"5xx", RetryOn::k5xx},
        {"gateway-error", RetryOn::kGatewayError},
        {"reset", RetryOn::kReset},
        {"reset-before-request", RetryOn::kResetBeforeRequest},
        {"connect-failure", RetryOn::kConnectFailure},
        {"retriable-4xx", RetryOn::kRetriable4xx},
        {"refused-stream", RetryOn::kRefusedStream},
        {"retriable-status-codes", RetryOn::kRetriableStatusCodes},
        {"retriable-headers", RetryOn::kRetriableHeaders},
        {"envoy-ratelimited", RetryOn::kEnvoyRatelimited},
        {"http3-post-connect-failure", RetryOn::kHttp3PostConnectFailure},
        {"cancelled", RetryOn::kCancelled},
        {"deadline-exceeded", RetryOn::kDeadlineExceeded},
        {"resource-exhausted", RetryOn::kResourceExhausted},
        {"internal", RetryOn::kInternal},
        {"unavailable", RetryOn::kUnavailable},
    };
    EXPECT_EQ(std::size(conditions), static_cast<std::size_t>(RetryOn::kCount));
    for (const auto& [name, condition] : conditions) {
        const RetryConditions made =
            *beside_route(std::string("retries: {attempts: 1, retryOn: ") + name + "}").retries->on;
        EXPECT_TRUE(made.has(condition)) << name;
        EXPECT_EQ(made.on.count(), 1u) << name;
        EXPECT_TRUE(made.codes.empty());
    }
}

TEST(RetriesTest, NumbersAreStatusCodes) {
    const RetryConditions made =
        *beside_route("retries: {attempts: 1, retryOn: 'gateway-error,418,503,418'}").retries->on;
    EXPECT_TRUE(made.has(RetryOn::kGatewayError) && made.has(RetryOn::kRetriableStatusCodes));
    EXPECT_EQ(made.on.count(), 2u);
    EXPECT_EQ(made.codes, (std::vector<std::uint16_t>{418, 503}));
    EXPECT_TRUE(
        beside_route("retries: {attempts: 1, retryOn: '418'}").retries->on->has(RetryOn::kRetriableStatusCodes));
}

// ---- faults and mirrors
TEST(FaultTest, DelayAndAbort) {
    const Fault made =
        *beside_route(
             "fault: {delay: {fixedDelay: 7s, percentage: {value: 12.5}}, abort: {httpStatus: 429, percentage: {value: "
             "100}}}")
             .fault;
    EXPECT_EQ(made.delay->duration, seconds(7));
    EXPECT_EQ(made.delay->share, 125'000u);
    EXPECT_EQ(made.abort->status, 429);
    EXPECT_FALSE(made.abort->grpc_status);
    EXPECT_EQ(made.abort->share, kAlways);
    const Fault grpc = *beside_route("fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 1}}}").fault;
    EXPECT_FALSE(grpc.delay);
    EXPECT_EQ(grpc.abort->grpc_status, 14);
    EXPECT_EQ(grpc.abort->status, 0);
    EXPECT_EQ(beside_route("fault: {abort: {grpcStatus: OK, percentage: {value: 1}}}").fault->abort->grpc_status, 0);
}

Millionths abort_share(const std::string& fields) {
    return beside_route("fault: {abort: {httpStatus: 500" + fields + "}}").fault->abort->share;
}

TEST(FaultTest, SharesInMillionths) {
    EXPECT_EQ(abort_share(", percentage: {value: 0.0001}"), 1u);
    EXPECT_EQ(abort_share(", percentage: {value: 0.0003}"), 3u);
    EXPECT_EQ(abort_share(", percentage: {value: 0.00019}"), 1u);
    EXPECT_EQ(abort_share(", percentage: {value: 33.3333}"), 333'333u);
    EXPECT_EQ(abort_share(", percentage: {value: 99.9999}"), 999'999u);
    EXPECT_EQ(abort_share(", percentage: {value: 0}"), 0u);
    EXPECT_EQ(abort_share(", percentage: {}"), 0u);
    EXPECT_EQ(abort_share(", percent: 5"), 50'000u);
    EXPECT_EQ(abort_share(", percent: 5, percentage: {value: 7}"), 70'000u);
    EXPECT_EQ(abort_share(""), 0u);
    const Parsed unset = parse_text(text_of("{route: [{destination: {host: a}}], fault: {abort: {httpStatus: 500}}}"));
    EXPECT_NE(unset.lines().find("spec.http[0].fault.abort: has no effect: without a percentage"), std::string::npos);
}

std::vector<Mirror> mirrors(const std::string& fields) {
    return beside_route(fields).mirrors;
}

TEST(MirrorTest, OneOrSeveralWithTheirShares) {
    const auto one = mirrors("mirror: {host: b, subset: v2, port: {number: 81}}");
    ASSERT_EQ(one.size(), 1u);
    EXPECT_EQ(one[0].destination.host, "b");
    EXPECT_EQ(one[0].destination.subset, "v2");
    EXPECT_EQ(one[0].destination.port, 81);
    EXPECT_EQ(one[0].destination.host_place.line, 7);
    EXPECT_EQ(one[0].share, kAlways);
    EXPECT_EQ(mirrors("mirrorPercentage: {value: 10.0}, mirror: {host: b}")[0].share, 100'000u);
    EXPECT_EQ(mirrors("mirror: {host: b}, mirrorPercentage: {value: 0}")[0].share, 0u);
    EXPECT_EQ(mirrors("mirror: {host: b}, mirrorPercent: 3")[0].share, 30'000u);
    EXPECT_EQ(mirrors("mirror: {host: b}, mirrorPercent: 3, mirrorPercentage: {value: 4}")[0].share, 40'000u);
    const auto two = mirrors("mirrors: [{destination: {host: b}, percentage: {value: 0.5}}, {destination: {host: c}}]");
    ASSERT_EQ(two.size(), 2u);
    EXPECT_EQ(two[0].share, 5'000u);
    EXPECT_EQ(two[1].destination.host, "c");
    EXPECT_EQ(two[1].share, kAlways);
}

TEST(MirrorTest, APercentageWithoutMirrorDoesNothingAndSaysSo) {
    const std::string rule = "{route: [{destination: {host: a}}], mirrorPercentage: {value: 5}}";
    EXPECT_EQ(parse_text(text_of(rule)).lines(),
              "t.yaml:7:41: warning: spec.http[0].mirrorPercentage: has no effect without mirror\n");
    EXPECT_FALSE(whole(rule).http);
}

}  // namespace
}  // namespace sluice::config::test
