#include "http/writer.h"

#include <gtest/gtest.h>

#include "http/parser.h"

namespace sluice::http {
namespace {

TEST(Writer, WritesRequests) {
    std::string out;
    write_request_line(out, "GET", "/a?b");
    write_field(out, "Host", "h");
    write_field(out, "X-Empty", "");
    write_field(out, "Content-Length", 18446744073709551615u);
    write_head_end(out);
    EXPECT_EQ(out, "GET /a?b HTTP/1.1\r\nHost: h\r\nX-Empty: \r\nContent-Length: 18446744073709551615\r\n\r\n");
}

TEST(Writer, WritesAnswers) {
    std::string out;
    write_status_line(out, 503);
    write_status_line(out, 200, "Fine");
    write_status_line(out, 299);
    EXPECT_EQ(out, "HTTP/1.1 503 Service Unavailable\r\nHTTP/1.1 200 Fine\r\nHTTP/1.1 299 \r\n");
}

TEST(Writer, WritesChunks) {
    std::string out;
    write_chunk_begin(out, 255);
    write_chunk_end(out);
    write_last_chunk(out, {});
    write_last_chunk(out, {{"X-Sum", "1"}});
    EXPECT_EQ(out, "ff\r\n\r\n0\r\n\r\n0\r\nX-Sum: 1\r\n\r\n");
}

TEST(Writer, NamesAreTokens) {
    EXPECT_TRUE(field_name_ok("X-a_1!#$%&'*+.^`|~"));
    for (const char* name : {"", " a", "a ", "a:", "a b", "a\tb", "a\r\nb", "\xc3\xa9", "a(b", "a/b", "a\x7f"}) {
        EXPECT_FALSE(field_name_ok(name)) << name;
    }
    EXPECT_FALSE(field_name_ok(std::string_view("a\0b", 3)));
}

TEST(Writer, ValuesHaveNoControls) {
    EXPECT_TRUE(field_value_ok(""));
    EXPECT_TRUE(field_value_ok("a\tb c \xc3\xa9~"));
    for (const char* value : {"a\rb", "a\nb", "a\r\nX: y", "\x1b", "\x7f"}) {
        EXPECT_FALSE(field_value_ok(value)) << value;
    }
    EXPECT_FALSE(field_value_ok(std::string_view("\0", 1)));
}

TEST(Fields, OfOneConnection) {
    for (const char* name : {"Connection", "keep-alive", "Proxy-Connection", "TE", "transfer-ENCODING", "Upgrade"}) {
        EXPECT_TRUE(is_hop_by_hop(name)) << name;
    }
    for (const char* name : {"", "Trailer", "Content-Length", "Proxy-Authenticate", "Host", "T", "Connections"}) {
        EXPECT_FALSE(is_hop_by_hop(name)) << name;
    }
    RequestParser parser;
    RequestHead head;
    parser.next(head, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-One\r\nconnection:,X-Two ,\r\n\r\n");
    EXPECT_TRUE(named_by_connection(head, "x-one"));
    EXPECT_TRUE(named_by_connection(head, "X-TWO"));
    EXPECT_FALSE(named_by_connection(head, "X"));
    EXPECT_FALSE(named_by_connection(head, "Host"));
}

TEST(Names, IgnoreCaseOfLettersOnly) {
    EXPECT_TRUE(same_name("Content-Length", "cONTENT-lENGTH"));
    EXPECT_FALSE(same_name("a", "ab"));
    EXPECT_FALSE(same_name("[", "{"));
    EXPECT_FALSE(same_name("@", "`"));
    EXPECT_FALSE(same_name("-", "\r"));
}

}  // namespace
}  // namespace sluice::http
