#include "verify/pages.h"

namespace sluice::verify {

namespace {

constexpr Page kPages[] = {
    {"SL201", "a subset without endpoints", R"(
No endpoint that takes connections has the labels of this subset. Its share of the requests is refused with 503 (UH:
no healthy upstream), whatever the other versions could do. Where no rule sends there yet, the version that is kept
for a rollback is not there when it is needed.

wrong
    subsets: [{name: v45, labels: {version: v45}}]
    # and the servers say
    labels: {app: ranker, model-version: v45}

right: the labels that the servers have
    subsets: [{name: v45, labels: {model-version: v45}}]

`sluice get endpoints` shows labels. `sluice.dev/on-subset-down: spill` gives the share of such a subset to the others.
)"},
    {"SL202", "an ejection that can never happen", R"(
outlierDetection takes an endpoint out after so many errors in a row, unless more than `maxEjectionPercent` of the
endpoints would be out. The default is 10 percent: with fewer than ten endpoints not even one may go. Nothing is
ejected either where every count is switched off, or where another count is always reached first: an answer 502, 503
or 504 is a gateway error and a 5xx, so five 5xx (the default) come before ten gateway errors.

wrong, with two endpoints
    outlierDetection: {consecutive5xxErrors: 5}

right
    outlierDetection: {consecutive5xxErrors: 5, maxEjectionPercent: 50}

wrong
    outlierDetection: {consecutiveGatewayErrors: 10}

right: only gateway errors count
    outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 10}
)"},
    {"SL203", "HTTP/2 to endpoints", R"(
The rule is taken as it is, so that rules written for Istio need no change, but endpoints are spoken to in HTTP/1.1
over pooled connections. Limits of connections (maxConnections, http1MaxPendingRequests) are what bounds the load.

no change is needed
    connectionPool: {http: {h2UpgradePolicy: UPGRADE}}
)"},
};

}  // namespace

std::span<const Page> policy_pages() {
    return kPages;
}

}  // namespace sluice::verify
