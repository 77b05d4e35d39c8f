#include "ctl/test_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "admin/answers.h"
#include "verify/words.h"

namespace sluice::ctl {

namespace {

using verify::Coverage;
using verify::Mismatch;
using verify::Verdict;

std::string missed_text(const Coverage::Element& element) {
    return element.match ? verify::match_text(element.rule->http->matches[*element.match]) : "every request";
}

std::string element_place(const Coverage::Element& element) {
    return fmt::format("{}:{}", element.object->file, element.place().line);
}

template <typename Visit>
void for_each_missed(const TestRun& run, const Visit& visit) {
    for (const Coverage& coverage : run.coverage) {
        for (const Coverage::Element& element : coverage.elements()) {
            if (element.hits == 0) {
                visit(element);
            }
        }
    }
}

std::string route_of(const Verdict& verdict) {
    return verdict.answer ? verdict.answer->route : "";
}

// Where to look: the rule, and the test.
std::string where_text(const std::string& file, const Verdict& verdict) {
    const std::string test = fmt::format("the test is {}:{}", file, verdict.test->line);
    if (verdict.decided.empty()) {
        return verdict.answer && verdict.answer->status == 404 ? "no rule matched; " + test : test;
    }
    const std::string route = route_of(verdict);
    return fmt::format("decided by {}{}; {}", verdict.decided, route.empty() ? "" : " (route " + route + ")", test);
}

void print_failure(std::ostream& out, const std::string& file, const Verdict& verdict) {
    for (const Mismatch& mismatch : verdict.mismatches) {
        out << printable(fmt::format("        {:<10}expected {}", mismatch.field, mismatch.expected)) << '\n'
            << printable(fmt::format("        {:<10}found    {}", "", mismatch.found)) << '\n';
    }
    out << printable("        " + where_text(file, verdict)) << '\n';
}

// What XML 1.0 cannot say is '?'.
std::string xml(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto octet = static_cast<unsigned char>(c);
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\n':
                out += "&#10;";
                break;
            case '\t':
                out += "&#9;";
                break;
            default:
                out += octet < 0x20 || octet == 0x7f ? '?' : c;
        }
    }
    return out;
}

std::size_t failures_in(const TestedFile& file) {
    return static_cast<std::size_t>(
        std::ranges::count_if(file.cases, [](const TestedCase& each) { return !each.verdict.passed(); }));
}

double seconds_in(const TestedFile& file) {
    double sum = 0;
    for (const TestedCase& each : file.cases) {
        sum += each.seconds;
    }
    return sum;
}

void write_case(std::ostream& out, const std::string& file, const TestedCase& tested) {
    const Verdict& verdict = tested.verdict;
    out << fmt::format("    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{}\" time=\"{:.6f}\"",
                       xml(verdict.test->name), xml(file), xml(file), verdict.test->line, tested.seconds);
    if (verdict.passed()) {
        out << "/>\n";
        return;
    }
    std::string first, all;
    for (const Mismatch& mismatch : verdict.mismatches) {
        const std::string text = fmt::format("{}{}expected {}, found {}", mismatch.field,
                                             mismatch.field.empty() ? "" : ": ", mismatch.expected, mismatch.found);
        first = first.empty() ? text : first;
        all += text + "\n";
    }
    out << fmt::format(">\n      <failure message=\"{}\" type=\"mismatch\">{}</failure>\n    </testcase>\n", xml(first),
                       xml(all + where_text(file, verdict)));
}

}  // namespace

std::size_t TestRun::failed() const {
    std::size_t count = 0;
    for (const TestedFile& file : tested) {
        count += failures_in(file);
    }
    return count;
}

std::size_t TestRun::passed() const {
    std::size_t count = 0;
    for (const TestedFile& file : tested) {
        count += file.cases.size();
    }
    return count - failed();
}

std::size_t TestRun::elements() const {
    std::size_t count = 0;
    for (const Coverage& each : coverage) {
        count += each.elements().size();
    }
    return count;
}

std::size_t TestRun::covered() const {
    std::size_t count = 0;
    for (const Coverage& each : coverage) {
        count += each.covered();
    }
    return count;
}

double TestRun::percent() const {
    return elements() == 0 ? 100 : 100.0 * static_cast<double>(covered()) / static_cast<double>(elements());
}

void print_tests(std::ostream& out, const TestRun& run) {
    for (const TestedFile& file : run.tested) {
        out << printable(file.tests->file) << '\n';
        for (const TestedCase& each : file.cases) {
            out << (each.verdict.passed() ? "  ok    " : "  FAIL  ") << printable(each.verdict.test->name) << '\n';
            if (!each.verdict.passed()) {
                print_failure(out, file.tests->file, each.verdict);
            }
        }
    }
    out << fmt::format("\ncoverage: {} of {} rules and match elements ({:.1f}%)\n", run.covered(), run.elements(),
                       run.percent());
    for_each_missed(run, [&](const Coverage::Element& element) {
        out << printable(fmt::format("  not hit: {}: {} of {}: {}", element_place(element), element.field(),
                                     element.object->key.text(), missed_text(element)))
            << '\n';
    });
    out << fmt::format("{} tests: {} passed, {} failed\n", run.passed() + run.failed(), run.passed(), run.failed());
}

Json tests_json(const TestRun& run) {
    Json missed = Json::array(), tests = Json::array();
    for_each_missed(run, [&](const Coverage::Element& element) {
        missed.push_back({{"at", element_place(element)},
                          {"object", element.object->key.text()},
                          {"field", element.field()},
                          {"match", missed_text(element)}});
    });
    for (const TestedFile& file : run.tested) {
        for (const TestedCase& each : file.cases) {
            Json failures = Json::array();
            for (const Mismatch& mismatch : each.verdict.mismatches) {
                failures.push_back(
                    {{"field", mismatch.field}, {"expected", mismatch.expected}, {"found", mismatch.found}});
            }
            tests.push_back({{"file", file.tests->file},
                             {"line", each.verdict.test->line},
                             {"name", each.verdict.test->name},
                             {"passed", each.verdict.passed()},
                             {"route", route_of(each.verdict)},
                             {"decided", each.verdict.decided},
                             {"answer", each.verdict.answer ? admin::answer_json(*each.verdict.answer, {}) : Json()},
                             {"failures", std::move(failures)}});
        }
    }
    return {{"passed", run.passed()},
            {"failed", run.failed()},
            {"coverage",
             {{"covered", run.covered()},
              {"elements", run.elements()},
              {"percent", run.percent()},
              {"missed", std::move(missed)}}},
            {"tests", std::move(tests)}};
}

void write_junit(std::ostream& out, const TestRun& run) {
    double seconds = 0;
    for (const TestedFile& file : run.tested) {
        seconds += seconds_in(file);
    }
    out << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        << fmt::format("<testsuites name=\"sluice test\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{:.6f}\">\n",
                       run.passed() + run.failed(), run.failed(), seconds);
    for (const TestedFile& file : run.tested) {
        out << fmt::format(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{:.6f}\">\n",
            xml(file.tests->file), file.cases.size(), failures_in(file), seconds_in(file));
        for (const TestedCase& each : file.cases) {
            write_case(out, file.tests->file, each);
        }
        out << "  </testsuite>\n";
    }
    out << "</testsuites>\n";
}

}  // namespace sluice::ctl
