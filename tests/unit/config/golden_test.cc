#include "tests/golden/golden.h"

#include <gtest/gtest.h>

#include "tests/unit/config/parsed.h"

namespace sluice::config::test {
namespace {

TEST(Golden, BadFilesAreRefusedWithPlaceAndReason) {
    const auto cases = golden::cases("bad");
    EXPECT_GE(cases.size(), 110u);
    for (const golden::Case& one : cases) {
        SCOPED_TRACE(one.name);
        EXPECT_TRUE(one.has_expected);
        const Parsed parsed = parse_text(one.yaml, one.file);
        EXPECT_EQ(parsed.output(), one.expected);
        EXPECT_TRUE(parsed.diagnostics.has_errors());
        for (const Diagnostic& diagnostic : parsed.diagnostics.items) {
            EXPECT_GT(diagnostic.line, 0);
            EXPECT_GT(diagnostic.column, 0);
        }
    }
}

TEST(Golden, GoodFilesAreRead) {
    const auto cases = golden::cases("good");
    EXPECT_GE(cases.size(), 6u);
    for (const golden::Case& one : cases) {
        SCOPED_TRACE(one.name);
        EXPECT_TRUE(one.has_expected);
        const Parsed parsed = parse_text(one.yaml, one.file);
        EXPECT_EQ(parsed.output(), one.expected);
        EXPECT_FALSE(parsed.diagnostics.has_errors());
    }
}

}  // namespace
}  // namespace sluice::config::test
