// What `sluice test` has to say, in words, as JSON and as JUnit's XML. Pure.
#pragma once

#include <deque>
#include <ostream>
#include <string>
#include <vector>

#include "ctl/render.h"
#include "verify/coverage.h"
#include "verify/rule_test.h"

namespace sluice::ctl {

struct TestedCase {
    verify::Verdict verdict;
    double seconds = 0;
};
struct TestedFile {
    const verify::RuleTests* tests = nullptr;
    std::vector<TestedCase> cases{};
};
struct TestRun {
    std::deque<verify::RuleTests> files{};  // what the others point to
    std::vector<TestedFile> tested{};
    std::vector<verify::Coverage> coverage{};  // one a rules directory

    std::size_t passed() const;
    std::size_t failed() const;
    // Of all directories together.
    std::size_t elements() const;
    std::size_t covered() const;
    double percent() const;
};

void print_tests(std::ostream& out, const TestRun& run);
// {passed, failed, coverage: {covered, elements, percent, missed: […]}, tests: [{file, line, name, passed, route,
// decided, answer: as admin/answers.h or null, failures: [{field, expected, found}]}]}
Json tests_json(const TestRun& run);
// One <testsuite> a file, one <testcase> a test. Characters that XML has not are replaced.
void write_junit(std::ostream& out, const TestRun& run);

}  // namespace sluice::ctl
