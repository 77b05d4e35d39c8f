// Rule files that parse and yet do not fit together: what is said, and where. Files in model/warn are accepted.
#include "tests/golden/golden.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "model/mesh.h"

namespace sluice::model::test {
namespace {

struct Outcome {
    bool accepted = false;
    std::string output;
};

Outcome load(const golden::Case& one) {
    Diagnostics diagnostics;
    std::vector<config::ObjectPtr> objects;
    config::parse(one.yaml, one.file, {}, objects, diagnostics);
    EXPECT_FALSE(diagnostics.has_errors()) << diagnostics.items.front().text();
    std::vector<Change> changes;
    for (const config::ObjectPtr& object : objects) {
        changes.push_back({object->key, object});
    }
    Mesh mesh({});
    const auto result = mesh.apply(changes);
    Outcome out{result.has_value(), ""};
    for (const Diagnostic& d : result ? result->warnings.items : result.error().items) {
        out.output += d.text() + "\n";
    }
    return out;
}

TEST(Golden, rules_that_do_not_fit_together_are_refused_with_place_and_reason) {
    const auto cases = golden::cases("model/bad");
    EXPECT_GE(cases.size(), 12u);
    for (const golden::Case& one : cases) {
        SCOPED_TRACE(one.name);
        const Outcome outcome = load(one);
        EXPECT_FALSE(outcome.accepted);
        EXPECT_EQ(outcome.output, one.expected);
    }
}

TEST(Golden, rules_that_may_surprise_are_accepted_with_a_warning) {
    const auto cases = golden::cases("model/warn");
    EXPECT_GE(cases.size(), 5u);
    for (const golden::Case& one : cases) {
        SCOPED_TRACE(one.name);
        const Outcome outcome = load(one);
        EXPECT_TRUE(outcome.accepted);
        EXPECT_NE(outcome.output, "");
        EXPECT_EQ(outcome.output, one.expected);
    }
}

}  // namespace
}  // namespace sluice::model::test
