// Files of rule tests, of any octets: read, and run against rules.
// rooms: verify proxy io compile model config http base
//
// It never crashes; a file is either read or has an error with a place; what was read has what every test needs; and
// asking twice gives the same verdict.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "config/parse.h"
#include "verify/coverage.h"
#include "verify/rule_test.h"

namespace {

using namespace sluice;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

constexpr const char* kRules = R"(
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: r, namespace: ml}
spec:
  hosts: [r.ml.svc.cluster.local]
  addresses: [127.1.0.10]
  ports: [{number: 8080, name: http, protocol: HTTP}, {number: 9, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.1.0.1, labels: {version: a}}, {address: 127.1.0.2, labels: {version: b}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: ml}
spec: {host: r, subsets: [{name: a, labels: {version: a}}, {name: b, labels: {version: b}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r, namespace: ml}
spec:
  hosts: [r]
  http:
  - {match: [{uri: {prefix: /old}}], redirect: {uri: /new}}
  - match: [{headers: {x: {exact: "1"}}}, {sourceLabels: {app: web}}]
    route: [{destination: {host: r, subset: b}}]
    rewrite: {uri: /api}
  - name: split
    route: [{destination: {host: r, subset: a}, weight: 90}, {destination: {host: r, subset: b}, weight: 10}]
    timeout: 200ms
    retries: {attempts: 2, perTryTimeout: 80ms}
    headers: {request: {set: {x-team: ml}}}
    mirror: {host: r, subset: b}
---
apiVersion: sluice.dev/v1
kind: Experiment
metadata: {name: e, namespace: ml}
spec: {host: r, route: split, httpHeaderName: x-user}
)";

struct World {
    World() : mesh({.lanes = {model::Lane::kDirect, model::Lane::kProxy}, .client_namespaces = {"ml"}}) {
        std::vector<config::ObjectPtr> objects;
        Diagnostics diagnostics;
        config::parse(kRules, "rules.yaml", {}, objects, diagnostics);
        std::vector<model::Change> changes;
        for (const config::ObjectPtr& object : objects) {
            changes.push_back({object->key, object});
        }
        require(!diagnostics.has_errors() && mesh.apply(changes).has_value());
        auto made = verify::Oracle::make(mesh);
        require(made.has_value());
        oracle = std::make_unique<verify::Oracle>(std::move(*made));
    }
    model::Mesh mesh;
    std::unique_ptr<verify::Oracle> oracle;
};

void run(const World& world, const verify::RuleTests& tests) {
    verify::Coverage coverage(world.mesh);
    for (const verify::RuleTest& test : tests.tests) {
        require(!test.name.empty() && !test.request.host.empty() && test.line > 0);
        const verify::Verdict first = verify::run_rule_test(*world.oracle, test);
        const verify::Verdict again = verify::run_rule_test(*world.oracle, test);
        require(first.passed() == again.passed() && first.mismatches.size() == again.mismatches.size());
        require(first.answer.has_value() != !first.refusal.empty());
        if (first.answer) {
            double sum = 0;
            for (const auto& [name, share] : first.answer->subsets) {
                sum += share;
            }
            require(first.answer->status != 0 ? sum == 0 : sum > 0.999 && sum < 1.001);
            coverage.hit(*first.answer);
        }
    }
    require(coverage.covered() <= coverage.elements().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const World world;
    Diagnostics diagnostics;
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    const auto tests = verify::read_rule_tests(bytes, "x.test.yaml", diagnostics);
    require(tests.has_value() != diagnostics.has_errors());
    if (tests) {
        run(world, *tests);
    }
    return 0;
}
