#include <algorithm>
#include <set>

#include "config/build.h"
#include "config/report.h"
#include "config/split.h"
#include "http/writer.h"
#include "verify/rule_test_expect.h"

namespace sluice::verify {

namespace {

using config::Field;
using config::read_fields;
using config::read_list;
using config::Value;

constexpr std::size_t kMostTests = 10'000;
constexpr std::size_t kMostBytes = 16u << 20;

std::string text_of(const Value& value) {
    return std::string(value.string().value_or(""));
}

// ---- request

void read_labels(const Value& map, Question& out) {
    if (map.expect_map()) {
        map.each_field([&](const Value& value) { out.client_labels[std::string(value.key())] = text_of(value); });
    }
}

constexpr Field<Question> kClient[] = {
    {"namespace",
     [](const Value& value, Question& out) { out.client_namespace = std::string(value.nonempty().value_or("")); }},
    {"labels", read_labels},
};

// A field of the test's own stands in for all of that name among the defaults.
void read_request_headers(const Value& value, Question& out) {
    Fields own;
    read_headers(value, own);
    std::erase_if(out.headers, [&](const auto& field) {
        return std::ranges::any_of(own, [&](const auto& mine) { return http::same_name(mine.first, field.first); });
    });
    out.headers.insert(out.headers.end(), own.begin(), own.end());
}

constexpr Field<Question> kRequest[] = {
    {"host", [](const Value& value, Question& out) { out.host = std::string(value.nonempty().value_or("")); }},
    {"port", [](const Value& value, Question& out) { out.port = value.port().value_or(0); }},
    {"method", [](const Value& value, Question& out) { out.method = std::string(value.nonempty().value_or("")); }},
    {"path", [](const Value& value, Question& out) { out.path = std::string(value.nonempty().value_or("")); }},
    {"headers", read_request_headers},
    {"client", [](const Value& value, Question& out) { read_fields(value, kClient, out); }},
};

// ---- the file

struct Reading {
    RuleTests out;
    Question defaults;
    std::set<std::string> names;
};

constexpr Field<RuleTest> kTest[] = {
    {"name", [](const Value& value, RuleTest& out) { out.name = std::string(value.nonempty().value_or("")); }},
    {"request", [](const Value& value, RuleTest& out) { read_fields(value, kRequest, out.request); }},
    {"expect", [](const Value& value, RuleTest& out) { read_expected(value, out.expect); }},
};

void read_test(const Value& value, Reading& reading) {
    RuleTest test;
    test.line = value.place().line;
    test.request = reading.defaults;
    if (!read_fields(value, kTest, test)) {
        return;
    }
    if (!value.has("name")) {
        value.missing("name", "what the test says, in words");
    } else if (!test.name.empty() && !reading.names.insert(test.name).second) {
        value.error("found a second test with the name " + config::quoted(test.name) + "; names are unique in a file");
    }
    if (test.request.host.empty()) {
        value.error("the request has no host; it is needed here or in defaults");
    }
    if (!value.has("expect")) {
        value.missing("expect", "what the request gets");
    }
    reading.out.tests.push_back(std::move(test));
}

constexpr Field<Reading> kFile[] = {
    {"rules", [](const Value& value, Reading& out) { out.out.rules = std::string(value.nonempty().value_or("")); }},
    {"defaults"},  // read before all others
    {"tests", [](const Value& list,
                 Reading& out) { read_list(list, kMostTests, [&](const Value& value) { read_test(value, out); }); }},
};

void read_file(const config::Tree& tree, config::Report& report, Reading& reading) {
    config::Scope scope{.tree = tree, .report = report, .vendor = "Istio", .ns = {}};
    const Value root(scope, tree.root(), nullptr, nullptr, -1);
    if (root.is_map()) {
        root.each_field([&](const Value& value) {
            if (value.key() == "defaults" && !value.is_null()) {
                read_fields(value, kRequest, reading.defaults);
            }
        });
    }
    if (read_fields(root, kFile, reading) && reading.out.tests.empty() && report.errors() == 0) {
        root.missing("tests", "a list of at least one test");
    }
}

// The one document of a file; nullopt: there is none, or more, which is reported.
std::optional<config::Section> only_document(std::string_view bytes, config::Report& report) {
    config::Sections sections(bytes);
    std::optional<config::Section> found;
    while (const auto section = sections.next()) {
        if (const auto problem =
                config::check_encoding(bytes.substr(section->begin, section->end - section->begin), section->line)) {
            report.error(problem->place, "", problem->message);
            return std::nullopt;
        }
        const config::Section content = config::trim(bytes, *section);
        if (section->text_column != 0 || (found && content.begin != content.end)) {
            report.error({section->line, 1}, "", "found a second document; a file of rule tests is one");
            return std::nullopt;
        }
        if (content.begin != content.end) {
            found = content;
        }
    }
    if (!found) {
        report.error({1, 1}, "", "found no tests; a file of rule tests has at least one");
    }
    return found;
}

}  // namespace

std::optional<RuleTests> read_rule_tests(std::string_view bytes, const std::string& file, Diagnostics& diagnostics) {
    config::Report report(file);
    config::ParseLimits limits;
    limits.file_bytes = kMostBytes;
    Reading reading;
    reading.out.file = file;
    if (bytes.size() > limits.file_bytes) {
        report.error({}, "",
                     "found a file of " + std::to_string(bytes.size()) + " bytes; the limit is " +
                         std::to_string(limits.file_bytes));
    } else if (const auto document = only_document(bytes, report)) {
        config::Tree tree;
        const config::Chunk chunk{bytes.substr(document->begin, document->end - document->begin), document->begin,
                                  document->line};
        if (config::build(chunk, limits, report, tree, [](const config::Tree&, const config::Item&) {}) &&
            !tree.empty()) {
            read_file(tree, report, reading);
        }
    }
    report.sort_from(0);
    const bool good = report.errors() == 0;
    std::move(report).flush(limits.diagnostics, diagnostics);
    return good ? std::optional(std::move(reading.out)) : std::nullopt;
}

}  // namespace sluice::verify
