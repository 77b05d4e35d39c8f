// Values for people and programs.
#include "ctl/render.h"

#include <gtest/gtest.h>

#include <sstream>

#include "ctl/changes.h"
#include "ctl/documents.h"
#include "ctl/http.h"

namespace sluice::ctl {
namespace {

std::string rendered(const Json& value, Format format, bool colour = false) {
    std::ostringstream out;
    render(out, value, format, colour);
    return out.str();
}

TEST(Render, a_table_is_aligned_with_numbers_to_the_right_and_no_trailing_blanks) {
    const Json rows = Json::array({{{"host", "a"}, {"max_weight", 5}, {"up", true}},
                                   {{"host", "größer"}, {"max_weight", 1000}, {"up", false}, {"late", nullptr}}});
    EXPECT_EQ(rendered(rows, Format::kTable),
              "HOST    MAX WEIGHT  UP   LATE\n"
              "a                5  yes     -\n"
              "größer        1000  no      -\n");
    EXPECT_EQ(rendered(rows, Format::kTable).find('\033'), std::string::npos);
    EXPECT_TRUE(rendered(rows, Format::kTable, true).starts_with("\033[1mHOST"));
}

TEST(Render, shares_are_percentages_and_control_characters_never_reach_the_terminal) {
    EXPECT_EQ(cell(0.1, "share"), "10.00%");
    EXPECT_EQ(cell(0.0849, "observed_share"), "8.49%");
    EXPECT_EQ(cell(nullptr, "observed_share"), "-");
    EXPECT_EQ(cell("", "x"), "-");
    EXPECT_EQ(cell("a\033[31m\nb", "x"), "a\\x1b[31m\\x0ab");
    EXPECT_EQ(cell(1.5, "uptime_s"), "1.5");
}

TEST(Render, a_record_shows_scalars_then_lists_then_tables) {
    const Json record{{"generation", 7},
                      {"config", {{"dir", "/r"}, {"last_error", Json::array({"e1", "e2"})}}},
                      {"empty", Json::array()},
                      {"lanes", Json::array({{{"name", "direct"}, {"available", true}}})}};
    EXPECT_EQ(rendered(record, Format::kTable),
              "generation  7\n"
              "config.dir  /r\n"
              "\nconfig.last_error\n  e1\n  e2\n"
              "\nlanes\n  NAME    AVAILABLE\n  direct  yes\n");
}

TEST(Render, yaml_quotes_what_would_be_read_as_something_else) {
    const Json value{
        {"plain", "v45"},      {"bool", "yes"},
        {"number", "10"},      {"colon", "a: b"},
        {"none", nullptr},     {"list", Json::array({1, "x", Json::object({{"k", "v"}, {"l", Json::array()}})})},
        {"map", {{"a", true}}}};
    EXPECT_EQ(rendered(value, Format::kYaml),
              "plain: v45\nbool: \"yes\"\nnumber: \"10\"\ncolon: \"a: b\"\nnone: null\n"
              "list:\n- 1\n- x\n- k: v\n  l: []\nmap:\n  a: true\n");
}

TEST(Render, json_keeps_the_order_of_keys) {
    EXPECT_EQ(rendered(Json{{"z", 1}, {"a", 2}}, Format::kJson), "{\n  \"z\": 1,\n  \"a\": 2\n}\n");
}

TEST(UnifiedDiff, shows_changed_lines_with_their_surroundings) {
    EXPECT_EQ(unified_diff("a\nb\n", "a\nb\n"), "");
    EXPECT_EQ(unified_diff("", "a\nb\n"), "+ a\n+ b\n");
    EXPECT_EQ(unified_diff("1\n2\n3\n4\n5\nold\n7\n8\n9\n10\n11\n", "1\n2\n3\n4\n5\nnew\n7\n8\n9\n10\n11\n"),
              "  3\n  4\n  5\n- old\n+ new\n  7\n  8\n  9\n");
    EXPECT_EQ(unified_diff("a\n2\n3\n4\n5\n6\n7\n8\nb\n", "A\n2\n3\n4\n5\n6\n7\n8\nB\n"),
              "- a\n+ A\n  2\n  3\n  4\n  …\n  6\n  7\n  8\n- b\n+ B\n");
}

TEST(Http, a_reply_is_read_by_length_by_chunks_or_to_the_end) {
    EXPECT_EQ(parse_reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}xx")->body, "{}");
    EXPECT_EQ(parse_reply("HTTP/1.1 404 No\r\ncontent-LENGTH:3\r\n\r\nabc")->status, 404);
    EXPECT_EQ(
        parse_reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")
            ->body,
        "abc0123456789");
    EXPECT_EQ(parse_reply("HTTP/1.0 200 OK\r\n\r\nall")->body, "all");
}

TEST(Http, a_reply_that_is_cut_or_no_http_is_an_error) {
    for (const char* bytes : {"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "SSH-2.0-x\r\n\r\n",
                              "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
                              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab\r\n"}) {
        EXPECT_FALSE(parse_reply(bytes).has_value()) << bytes;
    }
}

TEST(Http, targets_are_encoded) {
    EXPECT_EQ(target("/v1/explain", {{"host", "a b/c"}, {"port", ""}, {"client", "ns&x"}}),
              "/v1/explain?host=a%20b%2Fc&client=ns%26x");
}

TEST(Documents, diagnostics_of_several_files_name_the_file_and_line_the_user_knows) {
    const Documents documents{.body = "", .name = "apply", .parts = {{"a.yaml", 1}, {"b.yaml", 10}, {"c.yaml", 20}}};
    EXPECT_EQ(documents.translated("apply:3:5: spec: no"), "a.yaml:3:5: spec: no");
    EXPECT_EQ(documents.translated("apply:10:1: no"), "b.yaml:1:1: no");
    EXPECT_EQ(documents.translated("apply:25:2: warning: x"), "c.yaml:6:2: warning: x");
    EXPECT_EQ(documents.translated("/rules/x.yaml:3:5: no"), "/rules/x.yaml:3:5: no");
}

}  // namespace
}  // namespace sluice::ctl
