// Rules in their own words, and what is asked of them.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "config/parse.h"
#include "verify/answer.h"

namespace sluice::verify::test {

// A service `ranker` with subsets v45, v46, v47, each with two servers; VirtualServices are the tests' own.
inline constexpr const char* kRanker = R"(
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ranker, namespace: ml}
spec:
  hosts: [ranker.ml.svc.cluster.local]
  addresses: [127.1.0.10]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
  - {address: 127.1.45.1, labels: {version: v45}}
  - {address: 127.1.45.2, labels: {version: v45}}
  - {address: 127.1.46.1, labels: {version: v46}}
  - {address: 127.1.46.2, labels: {version: v46}}
  - {address: 127.1.47.1, labels: {version: v47}}
  - {address: 127.1.47.2, labels: {version: v47}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ranker, namespace: ml}
spec:
  host: ranker
  subsets:
  - {name: v45, labels: {version: v45}}
  - {name: v46, labels: {version: v46}}
  - {name: v47, labels: {version: v47}}
---
)";

// A VirtualService of `ranker` with these http rules (each line indented by two or more).
inline std::string virtual_service(const std::string& http, const std::string& annotations = "{}") {
    return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ranker, namespace: ml, "
           "annotations: " +
           annotations + "}\nspec:\n  hosts: [ranker]\n  http:\n" + http + "\n---\n";
}

inline model::Mesh mesh_of(const std::string& text,
                           model::Options options = {.references_warn = false,
                                                     .lanes = {model::Lane::kDirect, model::Lane::kProxy},
                                                     .client_namespaces = {"ml", "ads"}}) {
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(text, "rules.yaml", {}, objects, diagnostics);
    EXPECT_FALSE(diagnostics.has_errors()) << diagnostics.items.front().text();
    std::vector<model::Change> changes;
    for (const config::ObjectPtr& object : objects) {
        changes.push_back({object->key, object});
    }
    model::Mesh mesh(std::move(options));
    auto delta = mesh.apply(changes);
    EXPECT_TRUE(delta.has_value()) << delta.error().items.front().text();
    return mesh;
}

inline Question from(std::string ns, std::string host, Fields headers = {}, std::string path = "/") {
    Question question;
    question.host = std::move(host);
    question.path = std::move(path);
    question.headers = std::move(headers);
    question.client_namespace = std::move(ns);
    return question;
}

// A mesh and its oracle.
struct World {
    explicit World(const std::string& text) : mesh(mesh_of(text)) {
        auto made = Oracle::make(mesh);
        EXPECT_TRUE(made.has_value()) << made.error().text();
        oracle = std::make_unique<Oracle>(std::move(*made));
    }
    Answer ask(const Question& question) const {
        Result<Answer> answer = oracle->ask(question);
        EXPECT_TRUE(answer.has_value()) << answer.error().text();
        return answer.value_or(Answer{});
    }
    std::string refusal(const Question& question) const {
        Result<Answer> answer = oracle->ask(question);
        return answer ? "answered" : answer.error().text();
    }
    // "v45 90 v47 10", in percent.
    std::string shares(const Question& question) const {
        std::ostringstream text;
        for (const auto& [name, share] : ask(question).subsets) {
            text << (text.tellp() > 0 ? " " : "") << name << ' ' << 100 * share;
        }
        return std::move(text).str();
    }

    model::Mesh mesh;
    std::unique_ptr<Oracle> oracle;
};

inline std::string field(const Fields& fields, const std::string& name) {
    for (const auto& [key, value] : fields) {
        if (key == name) {
            return value;
        }
    }
    return "-";
}

}  // namespace sluice::verify::test
