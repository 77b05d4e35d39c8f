// Rule tests: what requests should get, written in YAML, and whether they do. The format is docs/rule-tests.md. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/diagnostic.h"
#include "config/http_rule.h"
#include "verify/answer.h"

namespace sluice::verify {

// Header fields after the rules have worked on them: with exactly this value, with this among others, not there.
struct ExpectedFields {
    Fields set{}, add{};
    std::vector<std::string> remove{};
    bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};

struct ExpectedRetries {
    std::optional<std::uint32_t> attempts{};
    std::optional<std::chrono::nanoseconds> per_try_timeout{};
    std::optional<config::RetryConditions> on{};
};

struct ExpectedExperiment {
    std::optional<std::string> name{}, arm{};
    std::optional<std::uint32_t> bucket{};
};

// What a test asks for; what is not given is not compared.
struct Expected {
    std::optional<std::string> service{}, route{}, target{}, location{};
    std::optional<std::string> error{};  // a part of why there is no answer
    std::optional<model::Lane> lane{};
    std::optional<std::vector<std::pair<std::string, double>>>
        subsets{};  // shares 0..1, all destinations that have one
    std::optional<int> status{};
    std::optional<std::chrono::nanoseconds> timeout{};  // 0: none
    std::optional<ExpectedRetries> retries{};
    std::optional<std::vector<Mirror>> mirrors{};  // all of them
    std::optional<config::Fault> fault{};          // neither delay nor abort: none is injected
    ExpectedFields request{}, response{};
    std::optional<ExpectedExperiment> experiment{};  // without a name: the request is in none
};

struct RuleTest {
    std::string name;
    int line = 0;
    Question request;
    Expected expect;
};

// One file.
struct RuleTests {
    std::string file;
    std::string rules;  // as written, relative to the file's directory; empty: not given
    std::vector<RuleTest> tests;
};

// Reads one file of tests. Strict: what is unknown or wrong is reported with its place, and then there is no value.
std::optional<RuleTests> read_rule_tests(std::string_view bytes, const std::string& file, Diagnostics& diagnostics);

struct Mismatch {
    std::string field;  // of `expect`
    std::string expected, found;
};

struct Verdict {
    const RuleTest* test = nullptr;
    std::optional<Answer> answer{};  // empty: `refusal` says why
    std::string refusal{};
    std::vector<Mismatch> mismatches{};
    std::string decided{};  // "FILE:LINE" of the rule that decided; empty: none did
    bool passed() const { return mismatches.empty(); }
};

Verdict run_rule_test(const Oracle& oracle, const RuleTest& test);

// Whether a name as people write it means a destination: its subset, or its host or a leading part of it up to a dot.
bool names_destination(std::string_view written, std::string_view name);

}  // namespace sluice::verify
