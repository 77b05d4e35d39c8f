// Which outcomes each retryOn condition covers, and how long the pause is, by Envoy's definition.
#include "proxy/retry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace sluice::proxy {

using config::RetryConditions;
using config::RetryOn;

static RetryConditions only(RetryOn condition) {
    RetryConditions on;
    on.on.set(static_cast<std::size_t>(condition));
    return on;
}

static bool by_status(const RetryConditions& on, int status, std::vector<http::Field> fields = {}) {
    http::ResponseHead head;
    head.status = status;
    head.fields = std::move(fields);
    return covers(on, head);
}

// "500 502 ": the statuses that are covered.
static std::string statuses(const RetryConditions& on) {
    std::string covered;
    for (const int status : {200, 404, 408, 409, 418, 429, 500, 501, 502, 503, 504, 599}) {
        covered += by_status(on, status) ? std::to_string(status) + " " : "";
    }
    return covered;
}

// "connect timeout reset protocol try": the failures that are covered; "+" behind those covered only while nothing was
// sent.
static std::string failures(const RetryConditions& on) {
    std::string covered;
    const std::pair<Failure, const char*> all[] = {
        {Failure::kConnectFailure, "connect"}, {Failure::kConnectTimeout, "timeout"},
        {Failure::kTermination, "reset"},      {Failure::kProtocolError, "protocol"},
        {Failure::kOverflow, "overflow"},      {Failure::kNoHealthyUpstream, "none"},
        {Failure::kNoCluster, "cluster"}};
    for (const auto& [failure, name] : all) {
        if (covers(on, failure, true)) {
            covered += std::string(name) + " ";
        } else if (covers(on, failure, false)) {
            covered += std::string(name) + "+ ";
        }
    }
    return covered + (covers_timeout(on) ? "try" : "");
}

TEST(Retry, EachConditionCoversWhatEnvoyRetriesUnderIt) {
    const std::string every = "connect timeout reset protocol try";
    EXPECT_EQ(statuses(only(RetryOn::k5xx)), "500 501 502 503 504 599 ");
    EXPECT_EQ(failures(only(RetryOn::k5xx)), every);
    EXPECT_EQ(statuses(only(RetryOn::kGatewayError)), "502 503 504 ");
    EXPECT_EQ(failures(only(RetryOn::kGatewayError)), every);
    EXPECT_EQ(statuses(only(RetryOn::kReset)), "");
    EXPECT_EQ(failures(only(RetryOn::kReset)), every);
    EXPECT_EQ(statuses(only(RetryOn::kResetBeforeRequest)), "");
    EXPECT_EQ(failures(only(RetryOn::kResetBeforeRequest)), "connect+ timeout+ reset+ protocol+ ");
    EXPECT_EQ(statuses(only(RetryOn::kConnectFailure)), "");
    EXPECT_EQ(failures(only(RetryOn::kConnectFailure)), "connect timeout ");
    EXPECT_EQ(statuses(only(RetryOn::kRetriable4xx)), "409 ");
    EXPECT_EQ(failures(only(RetryOn::kRetriable4xx)), "");
    for (const RetryOn none : {RetryOn::kRefusedStream, RetryOn::kRetriableHeaders, RetryOn::kHttp3PostConnectFailure,
                               RetryOn::kRetriableStatusCodes}) {
        EXPECT_EQ(statuses(only(none)) + failures(only(none)), "");
    }
}

TEST(Retry, CodesCountOnlyAsAnswersOfEndpoints) {
    RetryConditions on = only(RetryOn::kRetriableStatusCodes);
    on.codes = {418, 503};
    EXPECT_EQ(statuses(on), "418 503 ");
    EXPECT_EQ(failures(on), "");
}

TEST(Retry, ARateLimitedAnswerIsCoveredByItsOwnConditionAlone) {
    EXPECT_FALSE(by_status(only(RetryOn::k5xx), 503, {{"x-envoy-ratelimited", "true"}}));
    EXPECT_TRUE(by_status(only(RetryOn::kEnvoyRatelimited), 429, {{"X-Envoy-RateLimited", "true"}}));
    EXPECT_FALSE(by_status(only(RetryOn::kEnvoyRatelimited), 429));
}

TEST(Retry, GrpcStatusCountsWhereItIsAmongTheHeadsFields) {
    const std::pair<RetryOn, const char*> all[] = {{RetryOn::kCancelled, "1"},
                                                   {RetryOn::kDeadlineExceeded, "4"},
                                                   {RetryOn::kResourceExhausted, "8"},
                                                   {RetryOn::kInternal, "13"},
                                                   {RetryOn::kUnavailable, "14"}};
    for (const auto& [condition, code] : all) {
        for (const auto& [other, its] : all) {
            EXPECT_EQ(by_status(only(condition), 200, {{"grpc-status", its}}), condition == other) << code << its;
        }
        EXPECT_FALSE(by_status(only(condition), 200));
    }
}

TEST(Retry, BackOffIsDrawnBelowADoublingCeilingOfTenTimesTheBase) {
    RetryPolicy policy;
    policy.backoff_ns = 1000;
    const std::uint64_t ceilings[] = {1000, 2000, 4000, 8000, 10000, 10000, 10000};
    for (std::uint32_t retry = 1; retry <= std::size(ceilings); ++retry) {
        std::uint64_t least = UINT64_MAX, most = 0;
        for (std::uint64_t random = 0; random < 20'000; ++random) {
            const std::uint64_t wait = backoff_ns(policy, retry, random);
            least = std::min(least, wait);
            most = std::max(most, wait);
        }
        EXPECT_EQ(least, 0u);
        EXPECT_EQ(most, ceilings[retry - 1] - 1) << retry;
    }
}

}  // namespace sluice::proxy
