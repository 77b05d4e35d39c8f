// tests/golden/http1/{requests,answers}/NAME.OUTCOME: octets of one direction of a connection, and what becomes of
// them.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/golden/golden.h"
#include "tests/unit/http/reading.h"

namespace sluice::http {
namespace {

struct Case {
    std::string name;
    std::string outcome;
    std::string octets;
    bool request;
};

std::vector<Case> cases() {
    std::vector<Case> found;
    for (const bool request : {true, false}) {
        const auto folder = golden::directory() / "http1" / (request ? "requests" : "answers");
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            const std::filesystem::path& path = entry.path();
            found.push_back({path.string(), path.extension().string().substr(1), golden::read_all(path), request});
        }
    }
    return found;
}

TEST(Malformed, OutcomeIsAsNamed) {
    for (const Case& one : cases()) {
        const Reading reading = read(one.request, one.octets);
        EXPECT_EQ(reading.outcome, one.outcome) << one.name << "\n" << describe(reading);
    }
}

TEST(Malformed, ThereAreManyOfEach) {
    std::size_t refused[2] = {};
    for (const Case& one : cases()) {
        refused[one.request ? 0 : 1] += one.outcome != "ok" && one.outcome != "more" ? 1 : 0;
    }
    EXPECT_GE(refused[0], 200u);
    EXPECT_GE(refused[1], 50u);
}

// What is taken is read as llhttp reads it, whatever else llhttp would also take.
TEST(Malformed, WhatIsTakenIsReadAsLlhttpReadsIt) {
    for (const Case& one : cases()) {
        if (one.outcome != "ok") {
            continue;
        }
        Reading ours = read(one.request, one.octets);
        ours.decisions.clear();
        const Reading theirs = PlainLlhttp::read(one.request, one.octets);
        EXPECT_EQ(describe(ours), describe(theirs)) << one.name;
    }
}

// Two pieces, at every place.
TEST(Malformed, SplitsChangeNothing) {
    for (const Case& one : cases()) {
        const Reading whole = read(one.request, one.octets);
        EXPECT_EQ(describe(read(one.request, one.octets, [] { return 1; })), describe(whole)) << one.name;
        const std::size_t step = one.octets.size() > 600 ? 37 : 1;
        for (std::size_t cut = 1; cut < one.octets.size(); cut += step) {
            bool first = true;
            const Reading split =
                read(one.request, one.octets, [&] { return std::exchange(first, false) ? cut : one.octets.size(); });
            ASSERT_EQ(describe(split), describe(whole)) << one.name << " cut at " << cut;
        }
    }
}

}  // namespace
}  // namespace sluice::http
