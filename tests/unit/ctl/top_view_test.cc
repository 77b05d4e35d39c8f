#include "ctl/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/ctl/top_answers.h"

namespace sluice::ctl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// ranking with 40 requests a second on two versions, and `idle` without any.
TopView view_of_two() {
    const auto at = [](std::uint64_t seconds, std::uint64_t requests) {
        return made_answer(
            seconds,
            Json::array(
                {made_service("idle", Json::array({made_destination("", 1, {})})),
                 made_ranking({.requests = requests, .fast = requests},
                              {.requests = requests, .failed = requests / 2, .slow = requests, .ejected = 1})}));
    };
    const Json before = at(1, 0), now = at(2, 20);
    TopView view("2s");
    view.show(top_header(now), service_figures(now, &before));
    return view;
}

std::string screen(TopView& view, std::size_t width, std::size_t height) {
    std::string out;
    for (const FrameLine& line : view.frame(width, height)) {
        out += line.text + "\n";
    }
    return out;
}

std::string selected(TopView& view) {
    for (const FrameLine& line : view.frame(120, 40)) {
        if (line.style == LineStyle::kSelected) {
            return line.text;
        }
    }
    return {};
}

TEST(TopView, NoLineIsWiderThanTheTerminalAndNoneIsTooMany) {
    TopView view = view_of_two();
    for (const bool help : {false, true}) {
        for (std::size_t width = 1; width <= 220; ++width) {
            for (const std::size_t height : {1u, 2u, 3u, 4u, 5u, 10u, 24u}) {
                const auto frame = view.frame(width, height);
                EXPECT_LE(frame.size(), height);
                for (const FrameLine& line : frame) {
                    EXPECT_LE(line.text.size(), width) << line.text;
                }
            }
        }
        view.press(help ? TopKey::kEnter : TopKey::kHelp);
    }
}

TEST(TopView, FortyColumnsShowVersionRateSuccessAndTheSlowest) {
    TopView view = view_of_two();
    const std::string text = screen(view, 40, 10);
    for (const char* part : {"SERVICE", "REQ/S", "OK", "P99", "ranking.ml:8", "v45", "v47", "50.00%", "99.5ms"}) {
        EXPECT_THAT(text, HasSubstr(part)) << text;
    }
    EXPECT_THAT(text, Not(HasSubstr("UNOBS")));
}

TEST(TopView, AWideTerminalShowsEveryColumn) {
    TopView view = view_of_two();
    const std::string text = screen(view, 200, 50);
    for (const Column& column : service_columns()) {
        EXPECT_THAT(text, HasSubstr(column.title));
    }
    EXPECT_THAT(text, AllOf(HasSubstr("1/3"), HasSubstr("90.0%"), HasSubstr("10.0%"), HasSubstr("50.0%")));
    EXPECT_THAT(text, HasSubstr("generation 7"));
}

TEST(TopView, TheBusiestServiceIsFirstAndReverseTurnsItRound) {
    TopView view = view_of_two();
    EXPECT_THAT(view.frame(100, 20)[2].text, StartsWith("ranking.ml"));
    view.press(TopKey::kReverse);
    EXPECT_THAT(view.frame(100, 20)[2].text, StartsWith("idle"));
}

TEST(TopView, SortingByAnotherColumnMarksIt) {
    TopView view = view_of_two();
    EXPECT_THAT(screen(view, 200, 20), HasSubstr("*REQ/S"));
    view.press(TopKey::kSortRight);
    EXPECT_THAT(screen(view, 200, 20), HasSubstr("*OK"));
    for (int i = 0; i < 5; ++i) {
        view.press(TopKey::kSortLeft);
    }
    EXPECT_THAT(screen(view, 200, 20), HasSubstr("SERVICE*"));
    EXPECT_THAT(view.frame(100, 20)[2].text, StartsWith("idle"));
}

TEST(TopView, DrillsDownToVersionsAndEndpointsAndBack) {
    TopView view = view_of_two();
    view.press(TopKey::kEnter);
    EXPECT_THAT(screen(view, 100, 20), AllOf(StartsWith("ranking.ml:8080"), HasSubstr("v47"), Not(HasSubstr("idle"))));
    view.press(TopKey::kDown);  // sorted by rate, then name
    view.press(TopKey::kDown);
    view.press(TopKey::kEnter);
    EXPECT_TRUE(view.wants_endpoints());
    EXPECT_EQ(view.subset(), "v47");
    ASSERT_NE(view.service(), nullptr);
    EXPECT_EQ(view.service()->host, "ranking.ml.svc.cluster.local");
    view.show_endpoints({{.key = "a", .name = "127.1.0.1:9", .depth = 2, .open = 3, .state = "in"},
                         {.key = "b", .name = "127.1.0.2:9", .depth = 2, .open = 0, .state = "ejected 4s"}});
    EXPECT_THAT(screen(view, 60, 20), AllOf(StartsWith("ranking.ml:8080 > v47"), HasSubstr("ENDPOINT"),
                                            HasSubstr("127.1.0.2:9"), HasSubstr("ejected 4s")));
    view.press(TopKey::kBack);
    view.press(TopKey::kBack);
    EXPECT_THAT(screen(view, 100, 20), HasSubstr("idle"));
    EXPECT_THAT(selected(view), StartsWith("ranking.ml"));
}

TEST(TopView, TheSelectedLineStaysSelectedWhenLinesMove) {
    TopView view = view_of_two();
    view.press(TopKey::kDown);
    view.press(TopKey::kDown);
    EXPECT_THAT(selected(view), HasSubstr("v47"));
    view.press(TopKey::kReverse);
    EXPECT_THAT(selected(view), HasSubstr("v47"));
}

TEST(TopView, AServiceThatWentAwayIsSaidToBeGone) {
    TopView view = view_of_two();
    view.press(TopKey::kEnter);
    view.show({}, {});
    EXPECT_THAT(screen(view, 80, 10), AllOf(StartsWith("(gone)"), HasSubstr("nothing to show")));
    EXPECT_TRUE(view.press(TopKey::kDown));
    EXPECT_TRUE(view.press(TopKey::kEnter));
}

TEST(TopView, ALongListFollowsTheSelection) {
    Json services = Json::array();
    for (int i = 0; i < 100; ++i) {
        services.push_back(made_service("s" + std::to_string(100 + i), Json::array({made_destination("", 1, {})})));
    }
    const Json now = made_answer(1, services);
    TopView view("2s");
    view.show(top_header(now), service_figures(now, nullptr));
    static_cast<void>(view.frame(80, 10));
    view.press(TopKey::kEnd);
    EXPECT_THAT(screen(view, 80, 10), AllOf(HasSubstr("s199:8080"), Not(HasSubstr("s100:8080"))));
    view.press(TopKey::kPageUp);
    EXPECT_THAT(selected(view), StartsWith("s192:8080"));
    view.press(TopKey::kHome);
    EXPECT_THAT(screen(view, 80, 10), HasSubstr("s100:8080"));
}

TEST(TopView, PauseHelpComplaintAndQuit) {
    TopView view = view_of_two();
    view.press(TopKey::kPause);
    EXPECT_TRUE(view.paused());
    EXPECT_THAT(screen(view, 100, 10), HasSubstr("PAUSED"));
    view.press(TopKey::kHelp);
    EXPECT_THAT(screen(view, 100, 24), HasSubstr("requests a second"));
    view.press(TopKey::kDown);  // any key leaves the help
    EXPECT_THAT(screen(view, 100, 24), Not(HasSubstr("requests a second")));
    view.complain("cannot reach the agent");
    EXPECT_EQ(view.frame(100, 10)[0].text, "cannot reach the agent");
    EXPECT_EQ(view.frame(100, 10)[0].style, LineStyle::kBad);
    EXPECT_FALSE(view.press(TopKey::kQuit));
}

TEST(TopView, TroubleIsMarked) {
    TopView view = view_of_two();
    view.press(TopKey::kEnd);
    for (const FrameLine& line : view.frame(120, 20)) {
        if (line.text.find("v47") != std::string::npos) {
            EXPECT_EQ(line.style, LineStyle::kBad);
        }
        if (line.text.find("v45") != std::string::npos) {
            EXPECT_NE(line.style, LineStyle::kBad);
        }
    }
}

TEST(TopView, APlainBlockHasEveryLineAndColumnWhole) {
    const Json now = made_answer(2, Json::array({made_ranking({.requests = 6}, {})}));
    const std::string block = plain_block(top_header(now), service_figures(now, &now), "2026-11-21T04:05:06.789Z");
    EXPECT_THAT(block, StartsWith("2026-11-21T04:05:06.789Z  generation 7"));
    EXPECT_THAT(block, AllOf(HasSubstr("ranking.ml:8080"), HasSubstr("\n  v45"), HasSubstr("CONN/S")));
    EXPECT_THAT(block, Not(HasSubstr("\033")));
}

TEST(Columns, NumbersStayWithinTheirWidth) {
    for (const double value : {0.0, 0.04, 9.99, 99.94, 99.96, 999.4, 9'999.0, 9'999.9, 99'999.0, 123'456.0, 9.9e6}) {
        Figures line{.key = "k", .name = "n", .rate = value, .p99 = value, .connects = value};
        EXPECT_LE(column_text(ColumnId::kRate, line).size(), 6u) << value;
        EXPECT_LE(column_text(ColumnId::kP99, line).size(), value > 3.6e6 ? 99u : 6u) << value;
    }
    Figures line{.key = "k", .name = "n", .success = 0.99999};
    EXPECT_EQ(column_text(ColumnId::kSuccess, line), "99.99%");
    line.success = 1;
    EXPECT_EQ(column_text(ColumnId::kSuccess, line), "100%");
}

TEST(Columns, NamesNeverSteerATerminal) {
    EXPECT_EQ(clipped("a\033[2Jb\xc3\xa9", 40), "a?[2Jb??");
    EXPECT_EQ(clipped("content-ranking", 8), "content~");
    EXPECT_EQ(clipped("abc", 0), "");
}

TEST(Columns, WhatIsNotKnownSortsLastEitherWay) {
    const Figures known{.key = "a", .name = "a", .rate = 1}, unknown{.key = "b", .name = "b"};
    for (const bool reverse : {false, true}) {
        EXPECT_TRUE(sorts_before(ColumnId::kRate, reverse, known, unknown));
        EXPECT_FALSE(sorts_before(ColumnId::kRate, reverse, unknown, known));
    }
}

}  // namespace
}  // namespace sluice::ctl
