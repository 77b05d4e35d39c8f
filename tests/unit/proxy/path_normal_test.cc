// Paths as rules and upstreams get them. Expected values are what Envoy 1.40 made of the same paths (normalize_path).
#include "proxy/path.h"

#include <gtest/gtest.h>

namespace sluice::proxy {
namespace {

std::string normal(std::string_view raw) {
    std::string buffer;
    std::string_view path;
    return normalise_path(raw, buffer, path) ? std::string(path) : "refused";
}

// 15
TEST(Path, DotSegmentsGoAndUnreservedOctetsAreDecoded) {
    EXPECT_EQ(normal("/a/../exact"), "/exact");
    EXPECT_EQ(normal("/./exact"), "/exact");
    EXPECT_EQ(normal("/a/%2e%2e/exact"), "/exact");
    EXPECT_EQ(normal("/%65xact"), "/exact");
    EXPECT_EQ(normal("/exact#part"), "/exact");
    EXPECT_EQ(normal("//exact"), "//exact");
    EXPECT_EQ(normal("/dir//a"), "/dir//a");
    EXPECT_EQ(normal("/a%20b"), "/a%20b");
}

TEST(Path, DotSegmentsAtTheEndsAndBehindRepeatedSlashes) {
    EXPECT_EQ(normal("/a/.."), "/");
    EXPECT_EQ(normal("/a/."), "/a/");
    EXPECT_EQ(normal("/a/%2e"), "/a/");
    EXPECT_EQ(normal("/.."), "/");
    EXPECT_EQ(normal("/%2e%2E/x"), "/x");
    EXPECT_EQ(normal("/a//.."), "/a/");
    EXPECT_EQ(normal("/a//../b"), "/a/b");
    EXPECT_EQ(normal("/.a/..b/..."), "/.a/..b/...");
    EXPECT_EQ(normal("/a/;/..;/b"), "/a/;/..;/b");
    EXPECT_EQ(normal("/a/b/../../../../c"), "/c");
}

TEST(Path, EscapedSlashesStayAndBackslashesAreSlashes) {
    EXPECT_EQ(normal("/a%2f..%2Fb"), "/a%2f..%2Fb");
    EXPECT_EQ(normal("/a%5c..%5Cb"), "/a%5c..%5Cb");
    EXPECT_EQ(normal("/a\\b\\..\\c"), "/a/c");
}

TEST(Path, WhatNoUriHasIsEscaped) {
    EXPECT_EQ(normal("/a{b}|\"^`<>"), "/a%7Bb%7D%7C%22%5E%60%3C%3E");
    EXPECT_EQ(normal("/a'()!*@:;,=+$&~[x]"), "/a'()!*@:;,=+$&~[x]");
    EXPECT_EQ(normal("/%7Eq%41%2d"), "/~qA-");
}

TEST(Path, BrokenEscapesStayAndNeverBecomeOnes) {
    EXPECT_EQ(normal("/%zz%4"), "/%zz%4");
    EXPECT_EQ(normal("/%%341"), "/%2541");
    EXPECT_EQ(normal("/%"), "/%");
    EXPECT_EQ(normal("/%4%31"), "/%2541");
    EXPECT_EQ(normal("/%25%34%31"), "/%2541");
}

TEST(Path, AnEscapedNulOrNoPathIsRefused) {
    EXPECT_EQ(normal("/a%00"), "refused");
    EXPECT_EQ(normal(""), "refused");
    EXPECT_EQ(normal("a/b"), "refused");
    EXPECT_EQ(normal("*"), "*");
}

TEST(Path, WhatIsNormalIsNotCopied) {
    const std::string raw = "/v1/models/ranker:predict/a.b";
    std::string buffer;
    std::string_view path;
    ASSERT_TRUE(normalise_path(raw, buffer, path));
    EXPECT_EQ(path.data(), raw.data());
    EXPECT_TRUE(buffer.empty());
}

TEST(Path, QueryParametersAreFoundByTheirWholeName) {
    std::string_view value = "untouched";
    EXPECT_FALSE(query_parameter("debugging=1&a", "debug", value));
    EXPECT_EQ(value, "untouched");
    EXPECT_TRUE(query_parameter("debugging=1&debug=2&debug=3", "debug", value));
    EXPECT_EQ(value, "2");
    EXPECT_TRUE(query_parameter("a&debug", "debug", value));
    EXPECT_EQ(value, "");
    EXPECT_FALSE(query_parameter("", "debug", value));
}

}  // namespace
}  // namespace sluice::proxy
