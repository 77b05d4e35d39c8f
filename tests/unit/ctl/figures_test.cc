#include "ctl/figures.h"

#include <gtest/gtest.h>

#include "tests/unit/ctl/top_answers.h"

namespace sluice::ctl {
namespace {

TEST(Figures, TheFirstAnswerHasCountsButNoRates) {
    const Json now = made_answer(10, Json::array({made_ranking({.requests = 50}, {})}));
    const auto services = service_figures(now, nullptr);
    ASSERT_EQ(services.size(), 1u);
    EXPECT_EQ(services[0].total.name, "ranking.ml:8080");
    EXPECT_EQ(services[0].total.open, 9u);
    EXPECT_EQ(services[0].total.old, 2u);
    EXPECT_EQ(services[0].total.endpoints, 6u);
    EXPECT_EQ(services[0].total.unobserved, 2u);
    EXPECT_FALSE(services[0].total.rate);
    ASSERT_EQ(services[0].versions.size(), 2u);
    EXPECT_EQ(services[0].versions[1].name, "v47");
    EXPECT_EQ(services[0].versions[1].set_share, 0.1);
    EXPECT_FALSE(services[0].versions[1].rate);
    EXPECT_FALSE(services[0].versions[1].p99);
}

TEST(Figures, RatesSharesAndQuantilesAreOfTheInterval) {
    const Json before = made_answer(
        10, Json::array({made_ranking({.requests = 1000, .failed = 900, .fast = 1000}, {.requests = 5, .fast = 5})}));
    const Json now =
        made_answer(12, Json::array({made_ranking({.requests = 1060, .failed = 900, .picks = 8, .fast = 1060},
                                                  {.requests = 45, .failed = 10, .fast = 5, .slow = 40})}));
    const auto services = service_figures(now, &before);
    const Figures& v45 = services[0].versions[0];
    const Figures& v47 = services[0].versions[1];
    EXPECT_DOUBLE_EQ(*v45.rate, 30);
    EXPECT_DOUBLE_EQ(*v45.success, 1);
    EXPECT_DOUBLE_EQ(*v45.p50, 7.5);
    EXPECT_DOUBLE_EQ(*v45.connects, 4);
    EXPECT_DOUBLE_EQ(*v45.request_share, 0.6);
    EXPECT_DOUBLE_EQ(*v47.rate, 20);
    EXPECT_DOUBLE_EQ(*v47.success, 0.75);
    EXPECT_DOUBLE_EQ(*v47.p50, 75);
    EXPECT_DOUBLE_EQ(*v47.request_share, 0.4);
    EXPECT_DOUBLE_EQ(*services[0].total.rate, 50);
    EXPECT_DOUBLE_EQ(*services[0].total.success, 0.9);
    EXPECT_DOUBLE_EQ(*services[0].total.p90, 87.5);
}

TEST(Figures, WhatCameToNoDestinationCountsForTheService) {
    Json before = made_answer(10, Json::array({made_ranking({.requests = 5, .fast = 5}, {})}));
    Json now = made_answer(12, Json::array({made_ranking({.requests = 15, .fast = 15}, {})}));
    before["services"][0]["unrouted_requests"] = 100u;
    before["services"][0]["unrouted_failed"] = 50u;
    now["services"][0]["unrouted_requests"] = 130u;
    now["services"][0]["unrouted_failed"] = 70u;
    const auto services = service_figures(now, &before);
    EXPECT_DOUBLE_EQ(*services[0].total.rate, 20);
    EXPECT_DOUBLE_EQ(*services[0].total.success, 0.5);
    EXPECT_DOUBLE_EQ(*services[0].versions[0].rate, 5);
}

TEST(Figures, WithoutRequestsInTheIntervalThereIsARateButNoSuccess) {
    const Json before = made_answer(10, Json::array({made_ranking({.requests = 5, .fast = 5}, {})}));
    const Json now = made_answer(12, Json::array({made_ranking({.requests = 5, .fast = 5}, {})}));
    const auto services = service_figures(now, &before);
    EXPECT_EQ(services[0].total.rate, 0);
    EXPECT_FALSE(services[0].total.success);
    EXPECT_FALSE(services[0].total.p50);
    EXPECT_FALSE(services[0].versions[0].request_share);
}

TEST(Figures, ACountThatWentDownBeganAnew) {
    const Json before = made_answer(10, Json::array({made_ranking({.requests = 1000}, {})}));
    const Json now = made_answer(12, Json::array({made_ranking({.requests = 6}, {})}));
    EXPECT_DOUBLE_EQ(*service_figures(now, &before)[0].versions[0].rate, 3);
}

TEST(Figures, AServiceThatIsNewHasNoRatesYet) {
    const Json before = made_answer(10, Json::array());
    const Json now = made_answer(12, Json::array({made_ranking({.requests = 6}, {})}));
    EXPECT_FALSE(service_figures(now, &before)[0].versions[0].rate);
    EXPECT_FALSE(service_figures(now, &before)[0].total.rate);
}

TEST(Figures, TcpServicesShowConnectionsOnly) {
    const auto at = [](std::uint64_t seconds, std::uint64_t picks) {
        Json destination = made_destination("", 1, {.picks = picks});
        return made_answer(seconds, Json::array({made_service("db", Json::array({destination}), false)}));
    };
    const Json before = at(1, 10), now = at(3, 16);
    const auto services = service_figures(now, &before);
    EXPECT_DOUBLE_EQ(*services[0].total.connects, 3);
    EXPECT_FALSE(services[0].total.rate);
    EXPECT_FALSE(services[0].versions[0].request_share);
}

TEST(Figures, DestinationsThatShareAClusterAreCountedOnceInTheSum) {
    const auto at = [](std::uint64_t seconds, std::uint64_t requests) {
        Json one = made_destination("v45", 0.5, {.requests = requests});
        Json other = one;
        other["destination"] = "ranking.ml/v45";
        return made_answer(seconds, Json::array({made_service("ranking", Json::array({one, other}))}));
    };
    const Json before = at(1, 0), now = at(2, 8);
    const auto services = service_figures(now, &before);
    EXPECT_DOUBLE_EQ(*services[0].total.rate, 8);
    EXPECT_EQ(services[0].total.endpoints, 3u);
}

TEST(Figures, ADestinationWithoutAClusterHasOnlyItsWeight) {
    Json nothing{
        {"destination", "ranking/v99"}, {"subset", nullptr}, {"cluster", nullptr}, {"weight", 1u}, {"share", 0.05},
        {"observed_share", 0.0}};
    const Json now = made_answer(1, Json::array({made_service("ranking", Json::array({nothing}))}));
    const auto services = service_figures(now, &now);
    EXPECT_EQ(services[0].versions[0].name, "ranking/v99");
    EXPECT_EQ(services[0].versions[0].set_share, 0.05);
    EXPECT_FALSE(services[0].versions[0].open);
}

TEST(Figures, EndpointsShowTheirStateAndShare) {
    const Json now_top = made_answer(1, Json::array({made_ranking({}, {})}));
    const ServiceFigures service = service_figures(now_top, nullptr)[0];
    const auto row = [](const char* subset, const char* endpoint, std::uint64_t picks, const char* state) {
        return Json{{"host", "ranking.ml.svc.cluster.local"},
                    {"port", 8080u},
                    {"scope", "*"},
                    {"subset", subset},
                    {"endpoint", endpoint},
                    {"state", state},
                    {"active", 1u},
                    {"picks", picks},
                    {"times_ejected", 2u},
                    {"ejected_for_s", 4.4}};
    };
    const Json before = Json::array({row("v47", "127.1.0.1:9", 10, "in")});
    const Json now = Json::array({row("v47", "127.1.0.1:9", 30, "in"), row("v47", "127.1.0.2:9", 10, "ejected"),
                                  row("v45", "127.1.0.3:9", 10, "in")});
    const auto endpoints = endpoint_figures(service, "v47", now, &before, 4);
    ASSERT_EQ(endpoints.size(), 2u);
    EXPECT_DOUBLE_EQ(*endpoints[0].connects, 5);
    EXPECT_DOUBLE_EQ(*endpoints[0].conn_share, 0.75);
    EXPECT_EQ(endpoints[1].state, "ejected 4s");
    EXPECT_FALSE(endpoints[1].connects);
}

}  // namespace
}  // namespace sluice::ctl
