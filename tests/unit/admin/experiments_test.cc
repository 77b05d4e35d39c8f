// Experiments as `sluice get experiments` lists them.
#include "admin/experiments.h"

#include <gtest/gtest.h>

#include "config/parse.h"

namespace sluice::admin {
namespace {

constexpr const char* kService = R"(apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: rank, namespace: ml}
spec:
  hosts: [rank.ml.svc.cluster.local]
  addresses: [127.10.0.1]
  ports: [{number: 8080, name: http, protocol: HTTP}, {number: 8081, name: http-b, protocol: HTTP}]
  resolution: STATIC
  endpoints:
    - {address: 127.0.1.1, labels: {version: v1}}
    - {address: 127.0.1.2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rank, namespace: ml}
spec:
  host: rank
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rank, namespace: ml}
spec:
  hosts: [rank]
  http:
    - name: beta
      match: [{headers: {x-beta: {exact: "1"}}}]
      route:
        - {destination: {host: rank, subset: v1}, weight: 50}
        - {destination: {host: rank, subset: v2}, weight: 50}
    - name: main
      route:
        - {destination: {host: rank, subset: v1}, weight: 90}
        - {destination: {host: rank, subset: v2}, weight: 10}
)";
constexpr const char* kArms = R"(
---
apiVersion: sluice.dev/v1
kind: Experiment
metadata: {name: trial, namespace: ml}
spec:
  host: rank
  route: main
  httpHeaderName: x-user
  buckets: 1000
  arms:
    - {name: control, subset: v1, weight: 3}
    - {name: treatment, subset: v2, weight: 1}
)";
constexpr const char* kPlain = R"(
---
apiVersion: sluice.dev/v1
kind: Experiment
metadata: {name: trial, namespace: ml}
spec: {host: rank, httpHeaderName: x-user}
)";

class ExperimentRows : public testing::Test {
  protected:
    explicit ExperimentRows() : mesh(options()) {}
    static model::Options options() {
        model::Options options;
        options.lanes.push_back(model::Lane::kProxy);
        return options;
    }
    Json rows(const std::string& text, const CountsOf& counts = {}, const std::string& host = "") {
        std::vector<config::ObjectPtr> objects;
        Diagnostics problems;
        config::parse(text, "rules.yaml", {}, objects, problems);
        std::vector<model::Change> changes;
        for (const config::ObjectPtr& object : objects) {
            changes.push_back({object->key, object});
        }
        const auto delta = mesh.apply(changes);
        EXPECT_TRUE(delta.has_value()) << delta.error().items.front().text();
        return experiment_rows(mesh.services(), host, counts);
    }
    model::Mesh mesh;
};

TEST_F(ExperimentRows, HaveSharesAndBucketsOfEachArm) {
    const Json expected = Json::parse(R"([
      {"experiment": "trial", "namespace": "ml", "service": "rank.ml.svc.cluster.local", "arm": "control",
       "subset": "v1", "buckets": "0-749", "set_share": 0.75, "rules": "main"},
      {"experiment": "trial", "namespace": "ml", "service": "rank.ml.svc.cluster.local", "arm": "treatment",
       "subset": "v2", "buckets": "750-999", "set_share": 0.25, "rules": "main"}])");
    EXPECT_EQ(rows(std::string(kService) + kArms), expected);
    EXPECT_EQ(experiment_rows(mesh.services(), "rank", {}), expected);
    EXPECT_EQ(experiment_rows(mesh.services(), "other", {}), Json::array());
}

TEST_F(ExperimentRows, OfSeveralRulesHaveNoShareWhereTheyDiffer) {
    const Json made = rows(std::string(kService) + kPlain);
    ASSERT_EQ(made.size(), 2u);
    EXPECT_EQ(made[0]["arm"], "v1");
    EXPECT_EQ(made[0]["rules"], "beta,main");
    EXPECT_TRUE(made[0]["set_share"].is_null());
    EXPECT_TRUE(made[0]["buckets"].is_null());
}

TEST_F(ExperimentRows, SetWhatWasCountedBesideTheSplit) {
    const auto counts = [](const config::ObjectKey& key) {
        EXPECT_EQ(key.text(), "Experiment ml/trial");
        ExperimentCounts out;
        out.generation = 7;
        for (const auto& [arm, requests, failed] : std::vector<std::tuple<std::string, std::uint64_t, std::uint64_t>>{
                 {"control", 300, 0}, {telemetry::kNoKeyArm, 40, 4}, {"renamed", 5, 0}}) {
            telemetry::ExperimentRow row;
            row.arm = arm;
            row.requests = requests;
            row.failed = failed;
            row.duration[telemetry::experiment_bucket(4'500'000)] = requests;
            out.arms.push_back(row);
        }
        return std::optional(out);
    };
    const Json made = rows(std::string(kService) + kArms, counts);
    ASSERT_EQ(made.size(), 3u) << "the renamed arm is no more";
    EXPECT_EQ(made[0]["requests"], 300);
    EXPECT_EQ(made[0]["observed_share"], 1.0) << "of those with a key";
    EXPECT_EQ(made[0]["p50_ms"], 4.5);
    EXPECT_EQ(made[0]["since_generation"], 7);
    EXPECT_EQ(made[1]["requests"], 0);
    EXPECT_TRUE(made[1]["p99_ms"].is_null());
    EXPECT_EQ(made[2]["arm"], telemetry::kNoKeyArm);
    EXPECT_EQ(made[2]["error_share"], 0.1);
    EXPECT_TRUE(made[2]["observed_share"].is_null());
    std::vector<std::string> first, last;
    for (const auto& [name, value] : made[0].items()) {
        first.push_back(name);
    }
    for (const auto& [name, value] : made[2].items()) {
        last.push_back(name);
    }
    EXPECT_EQ(first, last) << "the same columns in the same order";
}

}  // namespace
}  // namespace sluice::admin
