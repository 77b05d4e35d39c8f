// `sluice test`: rules against what they should do with requests.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "ctl/offline.h"
#include "ctl/test_report.h"
#include "source/tree.h"

namespace sluice::ctl {

namespace {

namespace fs = std::filesystem;

struct Asked {
    std::vector<std::string> files;
    std::string junit;
    double min_coverage = 0;
};

// Files as given, directories' *.test.yaml in order.
Answer<std::vector<std::string>> test_files(const std::vector<std::string>& given) {
    std::vector<std::string> files;
    for (const std::string& path : given) {
        std::error_code error;
        if (!fs::is_directory(path, error)) {
            files.push_back(path);
            continue;
        }
        std::vector<std::string> found;
        for (auto it = fs::recursive_directory_iterator(path, error); !error && it != fs::end(it);
             it.increment(error)) {
            if (source::is_rule_test_name(it->path().filename().string())) {
                found.push_back(it->path().lexically_normal().string());
            }
        }
        if (error) {
            return std::unexpected(Failure{kUsage, path + ": cannot be listed: " + error.message()});
        }
        if (found.empty()) {
            return std::unexpected(Failure{kUsage, path + " has no file *.test.yaml"});
        }
        std::ranges::sort(found);
        files.insert(files.end(), found.begin(), found.end());
    }
    return files;
}

Answer<std::string> read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream bytes;
    if (in) {
        in.peek();  // a directory opens and only fails to read
    }
    if (!in.is_open() || in.bad() || (in.fail() && !in.eof())) {
        return std::unexpected(Failure{kUsage, "cannot read " + path + ": " + std::strerror(errno)});
    }
    in.clear();
    bytes << in.rdbuf();
    return std::move(bytes).str();
}

// The directory that a file of tests is about.
Answer<std::string> rules_of(const Session& session, const verify::RuleTests& tests) {
    if (session.offline()) {
        return session.config;
    }
    if (tests.rules.empty()) {
        return std::unexpected(
            Failure{kUsage, tests.file + " names no rules; write `rules: DIR`, relative to the file, or use --config"});
    }
    const fs::path path = (fs::path(tests.file).parent_path() / tests.rules).lexically_normal();
    return path.empty() ? "." : path.string();
}

// Reads all files and says everything that is wrong with them.
Answer<TestRun> read_tests(Session& session, const std::vector<std::string>& paths) {
    TestRun run;
    Diagnostics diagnostics;
    for (const std::string& path : paths) {
        auto bytes = read_file(path);
        if (!bytes) {
            return std::unexpected(bytes.error());
        }
        if (auto tests = verify::read_rule_tests(*bytes, path, diagnostics)) {
            run.files.push_back(std::move(*tests));
        }
    }
    session.err << lines(diagnostics);
    if (diagnostics.has_errors()) {
        return std::unexpected(Failure{kUsage, "the tests have errors; nothing was tested"});
    }
    return run;
}

TestedFile run_file(const verify::Oracle& oracle, const verify::RuleTests& tests, verify::Coverage& coverage) {
    using Clock = std::chrono::steady_clock;
    TestedFile tested{.tests = &tests};
    for (const verify::RuleTest& test : tests.tests) {
        const Clock::time_point begun = Clock::now();
        verify::Verdict verdict = verify::run_rule_test(oracle, test);
        if (verdict.answer) {
            coverage.hit(*verdict.answer);
        }
        const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
        tested.cases.push_back({std::move(verdict), seconds});
    }
    return tested;
}

// All files about one directory.
Answer<void> run_directory(Session& session, const std::string& directory,
                           const std::vector<const verify::RuleTests*>& files, TestRun& run) {
    std::set<std::string> namespaces;
    for (const verify::RuleTests* file : files) {
        for (const verify::RuleTest& test : file->tests) {
            namespaces.insert(test.request.client_namespace);
        }
    }
    auto read = read_directory(directory, session.references_warn, {namespaces.begin(), namespaces.end()});
    if (!read) {
        return std::unexpected(read.error());
    }
    if (read->diagnostics.has_errors()) {
        std::erase_if(read->diagnostics.items, [](const Diagnostic& d) { return d.severity != Severity::kError; });
        session.err << lines(read->diagnostics);
        return std::unexpected(Failure{kNo, directory + " has errors; nothing was tested"});
    }
    const Result<verify::Oracle> oracle = verify::Oracle::make(read->mesh);
    if (!oracle) {
        return std::unexpected(Failure{kNo, oracle.error().text()});
    }
    verify::Coverage& coverage = run.coverage.emplace_back(read->mesh);
    for (const verify::RuleTests* file : files) {
        run.tested.push_back(run_file(*oracle, *file, coverage));
    }
    return {};
}

Answer<TestRun> run_tests(Session& session, const std::vector<std::string>& given) {
    auto paths = test_files(given);
    if (!paths) {
        return std::unexpected(paths.error());
    }
    auto run = read_tests(session, *paths);
    if (!run) {
        return run;
    }
    std::vector<std::pair<std::string, std::vector<const verify::RuleTests*>>> directories;
    for (const verify::RuleTests& tests : run->files) {
        auto directory = rules_of(session, tests);
        if (!directory) {
            return std::unexpected(directory.error());
        }
        auto it = std::ranges::find(directories, *directory, [](const auto& each) { return each.first; });
        if (it == directories.end()) {
            it = directories.insert(it, {*directory, {}});
        }
        it->second.push_back(&tests);
    }
    for (const auto& [directory, files] : directories) {
        if (auto done = run_directory(session, directory, files, *run); !done) {
            return std::unexpected(done.error());
        }
    }
    return run;
}

Answer<void> write_junit_file(const std::string& path, const TestRun& run) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    write_junit(out, run);
    out.close();
    if (!out) {
        return std::unexpected(Failure{kUsage, "cannot write " + path + ": " + std::strerror(errno)});
    }
    return {};
}

void test(Session& session, const Asked& asked) {
    const auto run = run_tests(session, asked.files);
    if (!run) {
        session.refuse(run.error());
        return;
    }
    if (!asked.junit.empty()) {
        if (auto written = write_junit_file(asked.junit, *run); !written) {
            session.refuse(written.error());
            return;
        }
    }
    if (session.format == Format::kTable) {
        print_tests(session.out, *run);
    } else {
        session.print(tests_json(*run));
    }
    session.code = run->failed() == 0 ? kDone : kNo;
    if (run->percent() < asked.min_coverage) {
        session.refuse({kNo, fmt::format("the tests cover {:.1f}% of the rules; --min-coverage is {:g}%",
                                         run->percent(), asked.min_coverage)});
    }
}

}  // namespace

void add_test(CLI::App& app, Session& session) {
    CLI::App* verb =
        app.add_subcommand("test", "Compare rules with what they should do; needs neither root nor an agent");
    auto asked = std::make_shared<Asked>();
    verb->add_option("FILE", asked->files, "Files of tests, or directories with *.test.yaml")->required();
    verb->add_option("--min-coverage", asked->min_coverage, "Fail if less than this percentage of rules is tested")
        ->check(CLI::Range(0.0, 100.0));
    verb->add_option("--junit", asked->junit, "Also write the results into this file, as JUnit's XML");
    verb->footer(
        "The rules are those of `rules:` in each file, or of --config. The format is docs/rule-tests.md.\n"
        "Exit codes: 0 all pass, 1 a test fails or too few rules are tested, 2 the tests cannot be run.\n\n"
        "Examples:\n  sluice test examples/\n  sluice --config rules/ test canary.test.yaml --min-coverage 100 "
        "--junit report.xml");
    verb->callback([&session, asked] { test(session, *asked); });
}

}  // namespace sluice::ctl
