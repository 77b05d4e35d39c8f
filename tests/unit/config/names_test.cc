#include "config/names.h"

#include <gtest/gtest.h>

#include <array>

namespace sluice::config {
namespace {

TEST(Names, Labels) {
    for (const char* name : {"a", "v45", "a-b", "0", "1a"}) {
        EXPECT_EQ(check_label(name), "") << name;
    }
    EXPECT_EQ(check_label(std::string(63, 'a')), "");
    for (const char* name : {"", "-a", "a-", "A", "a.b", "a_b", "a b", "ä"}) {
        EXPECT_NE(check_label(name), "") << name;
    }
    EXPECT_NE(check_label(std::string(64, 'a')), "");
}

TEST(Names, Hosts) {
    for (const char* host : {"a", "a.b", "ranker.ml.svc.cluster.local", "a.b.", "A.example.COM", "1a.b", "a.b1"}) {
        EXPECT_EQ(check_host(host), "") << host;
        EXPECT_EQ(check_wildcard_host(host, false), "") << host;
    }
    for (const char* host : {"*.a", "*.example.com", "*-canary.example.com"}) {
        EXPECT_NE(check_host(host), "") << host;
        EXPECT_EQ(check_wildcard_host(host, false), "") << host;
    }
    for (const char* host : {"", ".", "a..b", ".a", "a.*", "*a.b", "a*.b", "**.a", "10.0.0.1", "::1", "a_b", "a b",
                             "a.1", "-a", "a:80", "a/b", "a.."}) {
        EXPECT_NE(check_host(host), "") << host;
        EXPECT_NE(check_wildcard_host(host, true), "") << host;
    }
    EXPECT_EQ(check_wildcard_host("*", true), "");
    EXPECT_NE(check_wildcard_host("*", false), "");
    EXPECT_NE(check_host(std::string(64, 'a') + ".b"), "");
    std::string long_name = "a";
    while (long_name.size() < 255) {
        long_name += ".a";
    }
    EXPECT_EQ(check_host(long_name), "");
    EXPECT_NE(check_host(long_name + ".a"), "");
}

TEST(Names, LabelKeysAndValues) {
    for (const char* key : {"a", "app.kubernetes.io/name", "A_b.c-1", "x/y"}) {
        EXPECT_EQ(check_label_key(key), "") << key;
    }
    for (const char* key : {"", "/a", "a/", "A.b/c", "a/b/c", "-a", "a b"}) {
        EXPECT_NE(check_label_key(key), "") << key;
    }
    EXPECT_EQ(check_label_value(""), "");
    EXPECT_EQ(check_label_value("V1.0_x-y"), "");
    EXPECT_NE(check_label_value("-"), "");
    EXPECT_NE(check_label_value(std::string(64, 'a')), "");
}

TEST(Names, Headers) {
    EXPECT_EQ(check_header_name("x-user", false), "");
    EXPECT_EQ(check_header_name(":authority", true), "");
    EXPECT_NE(check_header_name(":authority", false), "");
    EXPECT_NE(check_header_name("a b", true), "");
    EXPECT_NE(check_header_name("", true), "");
}

TEST(Names, ClosestFindsTypingErrorsOnly) {
    constexpr std::array<std::string_view, 4> kWords{"subsets", "host", "trafficPolicy", "exportTo"};
    EXPECT_EQ(closest("subset", kWords), "subsets");
    EXPECT_EQ(closest("hsot", kWords), "host");
    EXPECT_EQ(closest("trafficpolicy", kWords), "trafficPolicy");
    EXPECT_EQ(closest("exportto", kWords), "exportTo");
    EXPECT_FALSE(closest("gateways", kWords));
    EXPECT_FALSE(closest("", kWords));
}

}  // namespace
}  // namespace sluice::config
