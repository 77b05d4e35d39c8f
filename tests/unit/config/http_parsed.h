// An HTTP rule's text, parsed.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "config/http_rule.h"
#include "tests/unit/config/parsed.h"

namespace sluice::config::test {

// A VirtualService with the one rule, which begins at line 7, column 5.
inline std::string text_of(const std::string& rule) {
    return document("VirtualService", "spec:\n  hosts: [a]\n  http:\n  - " + rule + "\n");
}

// The rule of a text that may have warnings.
inline WeightedRule whole(const std::string& rule) {
    const Parsed parsed = parse_text(text_of(rule));
    if (parsed.objects.size() != 1) {
        ADD_FAILURE() << rule << "\n" << parsed.lines();
        return {};
    }
    return std::get<VirtualService>(parsed.objects[0]->spec).http.at(0);
}

// The same, of a rule that needs a request lane.
inline HttpRule http_rule(const std::string& rule) {
    const WeightedRule made = whole(rule);
    EXPECT_NE(made.needs_request_lane, "") << rule;
    EXPECT_TRUE(made.http) << rule;
    return made.http ? *made.http : HttpRule{};
}

inline HttpRule beside_route(const std::string& field) {
    return http_rule("{route: [{destination: {host: a}}], " + field + "}");
}

}  // namespace sluice::config::test
