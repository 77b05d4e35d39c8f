#include "config/scalar.h"

#include <gtest/gtest.h>

namespace sluice::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(Scalar, PlainTextsMeanWhatKubernetesReads) {
    for (const char* text : {"", "~", "null", "Null", "NULL"}) {
        EXPECT_EQ(classify(text), Scalar::kNull) << text;
    }
    for (const char* text : {"true", "True", "TRUE", "false", "False", "FALSE"}) {
        EXPECT_EQ(classify(text), Scalar::kBool) << text;
    }
    for (const char* text : {"yes", "No", "ON", "off", "y", "N"}) {
        EXPECT_EQ(classify(text), Scalar::kBoolWord) << text;
    }
    for (const char* text : {"0", "7", "-7", "65535", "99999999999999999999"}) {
        EXPECT_EQ(classify(text), Scalar::kInteger) << text;
    }
    for (const char* text :
         {"+1", "007", "0x1F", "0o17", "0b101", "1_000", "1.5", ".5", "5.", "1e3", "1.5E-3", "-.inf", ".NaN", "-0x1"}) {
        EXPECT_EQ(classify(text), Scalar::kOtherNumber) << text;
    }
    for (const char* text : {"v45", "45v", "1.2.3", "10.0.0.1", "1h", "-", "+", ".", "e5", "0x", "1e", "2024-01-31",
                             "nULL", "tRUE", "a b", "inf", "0xg1"}) {
        EXPECT_EQ(classify(text), Scalar::kText) << text;
    }
}

TEST(Scalar, IntegersAreWholeTexts) {
    EXPECT_EQ(parse_integer("-12").value(), -12);
    EXPECT_EQ(parse_integer("9223372036854775807").value(), INT64_MAX);
    for (const char* text : {"", "1 ", " 1", "1a", "9223372036854775808", "+1"}) {
        EXPECT_FALSE(parse_integer(text)) << text;
    }
}

TEST(Duration, IsGosSyntax) {
    const std::pair<const char*, nanoseconds> good[] = {
        {"1s", seconds(1)},
        {"1h2m3.5s", hours(1) + minutes(2) + milliseconds(3500)},
        {"1.5h", minutes(90)},
        {".5s", milliseconds(500)},
        {"2.s", seconds(2)},
        {"1ms", milliseconds(1)},
        {"0.001s", milliseconds(1)},
        {"1000us", milliseconds(1)},
        {"1000µs", milliseconds(1)},
        {"1000μs", milliseconds(1)},
        {"1000000ns", milliseconds(1)},
        {"0h1s", seconds(1)},
        {"+1s", seconds(1)},
        {"1s1s", seconds(2)},
        {"500us500us", milliseconds(1)},
        {"876000h", hours(876000)},
    };
    for (const auto& [text, value] : good) {
        const auto parsed = parse_duration(text, false);
        ASSERT_TRUE(parsed) << text << ": " << parsed.error();
        EXPECT_EQ(*parsed, value) << text;
    }
}

TEST(Duration, RefusesWhatIstioRefuses) {
    for (const char* text : {"",
                             "1",
                             "s",
                             "1x",
                             "1d",
                             "1 s",
                             " 1s",
                             "1s ",
                             "-1s",
                             "1.5.5s",
                             "0.5ms",
                             "1500us",
                             "1ns",
                             "1h5",
                             "1e3s",
                             ".s",
                             "1S",
                             "876001h",
                             "0.0000000000000000001s",
                             "9999999999999999999s"}) {
        EXPECT_FALSE(parse_duration(text, true)) << text;
    }
}

TEST(Duration, ZeroOnlyWhereItIsAllowed) {
    for (const char* text : {"0s", "0", "0h0m", "0.0ms"}) {
        EXPECT_FALSE(parse_duration(text, false)) << text;
        ASSERT_TRUE(parse_duration(text, true)) << text;
        EXPECT_EQ(*parse_duration(text, true), nanoseconds(0));
    }
}

}  // namespace
}  // namespace sluice::config
