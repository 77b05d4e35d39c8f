#include "ctl/tail_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::ctl {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Json sample(int status, const char* flag = "-", Json reason = nullptr) {
    return Json{{"time", "2026-11-21T04:05:06.789Z"},
                {"client", "web/frontend"},
                {"host", "ranking.ml.svc.cluster.local"},
                {"port", 8080},
                {"subset", "v47"},
                {"endpoint", "127.100.47.1:8080"},
                {"method", "POST"},
                {"status", status},
                {"duration_ms", 12.3456},
                {"first_byte_ms", status == 0 ? Json(nullptr) : Json(3.5)},
                {"request_bytes", 120},
                {"response_bytes", 4096},
                {"flag", flag},
                {"reason", std::move(reason)},
                {"connection", 7}};
}

TEST(TailLines, SaysWhoAskedWhomAndHowItWent) {
    TailLines lines(false);
    const std::string line = lines.line(sample(200));
    EXPECT_EQ(
        line,
        "04:05:06.789  web/frontend  ranking.ml.svc.cluster.local:8080  v47  127.100.47.1:8080  POST  200  12.346ms  "
        "3.500ms  120/4096  -  -  -  -\n");
}

TEST(TailLines, WithoutAnAnswerThereIsNoStatusButAFlag) {
    TailLines lines(false);
    EXPECT_THAT(lines.line(sample(0, "UC", "upstream_closed")),
                HasSubstr("POST  -  12.346ms  -  120/4096  -  -  UC  upstream_c"));
}

TEST(TailLines, AProxiedRequestHasItsTriesAndItsRoute) {
    TailLines lines(false);
    Json proxied = sample(503, "UF,URX", "upstream_reset");
    proxied["attempts"] = 3;
    proxied["route"] = "canary";
    EXPECT_THAT(lines.line(proxied), EndsWith("  120/4096  3  canary  UF,URX  upstream_reset\n"));
}

TEST(TailLines, LinesStayAlignedAsColumnsGrow) {
    TailLines lines(false);
    const std::string title = lines.title(), first = lines.line(sample(200)), second = lines.line(sample(404));
    EXPECT_EQ(first.find("v47"), second.find("v47"));
    EXPECT_THAT(title, StartsWith("TIME"));
    EXPECT_EQ(second.find("404"), first.find("200"));
}

TEST(TailLines, OnlyATerminalGetsColours) {
    TailLines plain(false), colour(true);
    EXPECT_THAT(plain.line(sample(503)), Not(HasSubstr("\033")));
    EXPECT_THAT(colour.line(sample(503)), StartsWith("\033[31m"));
    EXPECT_THAT(colour.line(sample(503)), EndsWith("\033[0m\n"));
    EXPECT_THAT(colour.line(sample(404)), StartsWith("\033[33m"));
    EXPECT_THAT(colour.line(sample(200)), Not(HasSubstr("\033")));
    EXPECT_THAT(colour.line(sample(200, "DC", "downstream_closed")), StartsWith("\033[31m"));
}

TEST(TailLines, NamesNeverSteerATerminal) {
    TailLines lines(true);
    Json evil = sample(200);
    evil["subset"] = "\033[2J";
    EXPECT_THAT(lines.line(evil), HasSubstr("\\x1b[2J"));
}

}  // namespace
}  // namespace sluice::ctl
