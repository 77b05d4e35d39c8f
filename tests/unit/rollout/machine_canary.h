// Canaries, rules and what was seen of them, for tests of the machine and the controller.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "config/parse.h"
#include "rollout/machine.h"
#include "rollout/state_json.h"

namespace sluice::rollout {

using namespace std::chrono_literals;

inline void PrintTo(const State& state, std::ostream* out) {
    *out << to_json(state);
}

inline config::ObjectPtr parsed_object(const std::string& text) {
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(text, "test.yaml", {}, objects, diagnostics);
    for (const Diagnostic& one : diagnostics.items) {
        ADD_FAILURE() << one.text();
    }
    EXPECT_EQ(objects.size(), 1u) << text;
    return objects.empty() ? nullptr : objects.front();
}

// What the tests' canaries have in common; `more`: further lines of spec, indented by two.
inline std::string canary_text(const std::string& more = "", const std::string& stages =
                                                                 "[{weight: 5, hold: 10s}, {weight: 25, hold: 20s}, "
                                                                 "{weight: 100}]") {
    return R"(apiVersion: sluice.dev/v1
kind: Canary
metadata: {name: ranking, namespace: ml-serving}
spec:
  host: content-ranking-svc
  champion: v45
  challenger: v47
  stages: )" +
           stages + R"(
  interval: 2s
  minimumRequests: 100
  dataTimeout: 6s
  prometheus: http://127.0.0.1:9090
  gates: [{name: quality, query: {promql: "q{{version}}", max: 1}}]
)" + more;
}
inline const std::string kMirror = "  mirror: {percentage: 10, hold: 8s}\n";
inline const std::string kInternal = "  internal: [{headers: {x-user-segment: {exact: internal}}}]\n";

// One look: the challenger's value of the query (over 1 fails; empty: no data), and its requests.
inline Seen seen(std::optional<double> value, std::uint64_t requests = 1000) {
    Seen out;
    out.champion_errors = Errors{requests, 0};
    out.challenger_errors = Errors{requests, 0};
    out.asked.push_back({0.5, value, std::nullopt, value ? "" : "the server gave no answer"});
    return out;
}
// Values that pass, fail and are missing.
inline const Seen kGood = seen(0.5);
inline const Seen kBad = seen(2.0);
inline const Seen kNothing = seen(std::nullopt);

inline std::string file_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    EXPECT_FALSE(out.str().empty()) << path;
    return std::move(out).str();
}

}  // namespace sluice::rollout
