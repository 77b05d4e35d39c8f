#include "verify/pages.h"

namespace sluice::verify {

namespace {

constexpr Page kPages[] = {
    {"SL301", "a canary that sees too little", R"(
A stage passes when its hold is over, every gate is content, and at least `minimumRequests` were seen. A gate that
counts requests is content unless they show, with the canary's confidence, that the challenger is worse than allowed.
Few requests show little: with 500, a challenger with 2% errors where 1% is allowed is found one time in five.

The chance is that of the gate's own test on the look that ends a stage, against a challenger with twice the errors
(or twice the requests above the latency) that the gate allows. More requests than the minimum find more. What a
running canary can find, `sluice canary status` prints.

wrong
    minimumRequests: 500
    gates: [{name: errors, errorRate: {max: 1}}]

right: more requests, or a bound that few requests can show
    minimumRequests: 3000
    gates: [{name: errors, errorRate: {max: 1}}]
)"},
    {"SL302", "a stage shorter than the time between looks", R"(
Gates are looked at every `interval`. A stage whose hold is shorter is looked at once, at its end: a challenger that
fails every request does so for the whole stage, where a look each few seconds would have rolled back at once.

wrong
    interval: 1m
    stages: [{weight: 5, hold: 30s}, {weight: 100}]

right
    interval: 5s
    stages: [{weight: 5, hold: 30s}, {weight: 100}]
)"},
    {"SL303", "no second chance for missing data", R"(
When a stage's hold is over and a gate has no data, the canary waits, up to `dataTimeout`, and then rolls back. If that
is shorter than `interval`, there is no second look in it: one failed scrape ends the canary.

wrong
    interval: 1m
    dataTimeout: 30s

right
    interval: 10s
    dataTimeout: 5m
)"},
    {"SL304", "a query that looks back behind its stage", R"(
rate(...[5m]) sees the last five minutes. In a stage that holds for one minute, four of them are from before: from
other weights, or from before the challenger had any requests. A challenger that got worse with its load is judged by
how it was without.

wrong
    stages: [{weight: 5, hold: 1m}, {weight: 100}]
    gates: [{name: tail, query: {promql: 'histogram_quantile(0.99, rate(latency_bucket[5m]))', max: 0.2}}]

right: a range within the shortest hold
    stages: [{weight: 5, hold: 10m}, {weight: 100}]
    gates: [{name: tail, query: {promql: 'histogram_quantile(0.99, rate(latency_bucket[5m]))', max: 0.2}}]
)"},
    {"SL305", "weights too small for a stage", R"(
A stage of 5 gives the challenger 5% of what champion and challenger have together in the rule, in whole numbers. If
they have 10 together, the least is 1 of 10: the first stage is 10%, twice what was meant.

wrong
    route:
    - {destination: {host: ranker, subset: v45}, weight: 9}
    - {destination: {host: ranker, subset: v47}, weight: 1}

right
    route:
    - {destination: {host: ranker, subset: v45}, weight: 90}
    - {destination: {host: ranker, subset: v47}, weight: 10}
)"},
    {"SL306", "versions that stand apart in an experiment", R"(
An Experiment lays the destinations out along the buckets in the order of the rule. When weights move from champion to
challenger and a third version stands between them, its range moves too: its users are torn between versions, though
its weight stays.

wrong: v45 and v47 trade shares over v46
    route:
    - {destination: {host: ranker, subset: v45}, weight: 80}
    - {destination: {host: ranker, subset: v46}, weight: 10}
    - {destination: {host: ranker, subset: v47}, weight: 10}

right: those that trade stand side by side
    route:
    - {destination: {host: ranker, subset: v46}, weight: 10}
    - {destination: {host: ranker, subset: v45}, weight: 80}
    - {destination: {host: ranker, subset: v47}, weight: 10}
)"},
    {"SL307", "an arm that falls between buckets", R"(
Users fall into `buckets` of equal size, and arms have whole buckets. With 10 buckets an arm of 5% has none or one. The
arm's share of the users is then not its weight.

wrong
    spec: {host: ranker, httpHeaderName: x-user-id, buckets: 10}      # weights 95 and 5

right
    spec: {host: ranker, httpHeaderName: x-user-id, buckets: 1000}

Another number of buckets assigns users anew: choose it before the experiment begins.
)"},
};

}  // namespace

std::span<const Page> split_pages() {
    return kPages;
}

}  // namespace sluice::verify
