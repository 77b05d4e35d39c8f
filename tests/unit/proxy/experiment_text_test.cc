// From the words of rules to decisions: the rules of the text that Sluice was built for, and an Experiment on them.
#include <algorithm>

#include "bpf/lib/random.h"
#include "config/parse.h"
#include "proxy/experiment.h"
#include "tests/unit/proxy/routes.h"

namespace sluice::proxy::test {
namespace {

constexpr const char* kService = R"(
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: content-ranking-svc, namespace: ml-serving}
spec:
  hosts: [content-ranking-svc.ml-serving.svc.cluster.local]
  addresses: [127.101.0.10]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
  - {address: 127.101.45.1, labels: {model-version: "v45"}}
  - {address: 127.101.47.1, labels: {model-version: "v47"}}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: content-ranking-dr, namespace: ml-serving}
spec:
  host: content-ranking-svc
  subsets:
  - {name: v45, labels: {model-version: "v45"}}
  - {name: v47, labels: {model-version: "v47"}}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: content-ranking-vs, namespace: ml-serving}
spec:
  hosts: [content-ranking-svc]
  http:
  - match:
    - headers: {x-user-segment: {exact: premium}}
    route:
    - destination: {host: content-ranking-svc, subset: v47}
      weight: 100
  - name: canary
    route:
    - destination: {host: content-ranking-svc, subset: v45}
      weight: 90
    - destination: {host: content-ranking-svc, subset: v47}
      weight: 10
    timeout: 200ms
    retries: {attempts: 2, perTryTimeout: 80ms, retryOn: "5xx,gateway-error,connect-failure,retriable-4xx"}
)";
constexpr const char* kExperiment = R"(
---
apiVersion: sluice.dev/v1
kind: Experiment
metadata: {name: ranking-v47, namespace: ml-serving}
spec:
  host: content-ranking-svc
  route: canary
  httpHeaderName: X-User-Id
)";

// The table of these documents.
struct Words {
    explicit Words(const std::string& text) : mesh(options()) {
        std::vector<config::ObjectPtr> objects;
        Diagnostics problems;
        config::parse(text, "rules.yaml", {}, objects, problems);
        EXPECT_TRUE(problems.items.empty()) << problems.items.front().text();
        std::vector<model::Change> changes;
        for (const config::ObjectPtr& object : objects) {
            changes.push_back({object->key, object});
        }
        const auto delta = mesh.apply(changes);
        EXPECT_TRUE(delta.has_value()) << delta.error().items.front().text();
        table = Table::build(nullptr, mesh.services(), numbers()).value();
    }
    static model::Options options() {
        model::Options options;
        options.lanes.push_back(model::Lane::kProxy);
        return options;
    }
    // The subset that a request from the service's namespace gets.
    std::string subset(const Fields& fields, std::uint64_t random) const {
        const Request request("GET", "/rank", fields, client_in("ml-serving"));
        const VirtualHost* host = table->find(request.client, nullptr, 8080, "content-ranking-svc");
        const Rule* rule = host->match(request.asked);
        const auto chosen = choose(*rule, request.asked, random);
        return rule->destinations[chosen.value()].cluster->model().subset;
    }

    model::Mesh mesh;
    TablePtr table;
};

TEST(Words, PremiumUsersGetV47AndTheOthersNineInTen) {
    const Words words(kService);
    sl_random random{47};
    std::size_t v47 = 0;
    for (int i = 0; i < 10'000; ++i) {
        EXPECT_EQ(words.subset({{"X-User-Segment", "premium"}}, sl_random_next(&random)), "v47");
        v47 += words.subset({{"X-User-Segment", "basic"}}, sl_random_next(&random)) == "v47";
    }
    EXPECT_NEAR(v47, 1000, 100);
    const VirtualHost* host = words.table->find("ml-serving", "content-ranking-svc", 8080);
    const Rule& canary = host->rules.back();
    EXPECT_EQ(canary.name, "canary");
    EXPECT_EQ(canary.timeout_ns, 200'000'000u);
    EXPECT_EQ(canary.retry.attempts, 2u);
    EXPECT_EQ(canary.retry.per_try_ns, 80'000'000u);
    EXPECT_TRUE(canary.retry.on.has(config::RetryOn::k5xx));
}

TEST(Words, AnExperimentKeepsUsersWithTheirVersion) {
    const Words words(std::string(kService) + kExperiment);
    config::Experiment same;
    same.name = "ranking-v47";
    const std::vector<std::uint32_t> weights{90, 10};
    const Split split = make_split(same, weights);
    sl_random random{47};
    std::size_t v47 = 0;
    for (int i = 0; i < 10'000; ++i) {
        const std::string user = "user-" + std::to_string(i);
        const std::string subset = words.subset({{"x-user-id", user}}, sl_random_next(&random));
        ASSERT_EQ(subset, split_bucket(split, user) < 90 ? "v45" : "v47") << user;
        v47 += subset == "v47";
    }
    EXPECT_NEAR(v47, 1000, 100);
    // The rule above the split one still picks first.
    EXPECT_EQ(words.subset({{"x-user-id", "user-1"}, {"x-user-segment", "premium"}}, 0), "v47");
}

}  // namespace
}  // namespace sluice::proxy::test
