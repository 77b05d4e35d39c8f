#include "verify/pages.h"

namespace sluice::verify {

namespace {

constexpr Page kPages[] = {
    {"SL101", "a retry that can never begin", R"(
`timeout` is the time of the whole request, retries included. `perTryTimeout` ends one try. When every try before the
last one runs out of time, the last one would begin after attempts x perTryTimeout. If that is not before `timeout`,
it never begins: the request has ended with 504.

Retries after quick errors (a refused connection, a 503) still happen. It is slow servers that they do not help
against, and those are what perTryTimeout is for.

wrong
    timeout: 200ms
    retries: {attempts: 3, perTryTimeout: 80ms}      # three tries take 240ms

right: fewer retries, shorter tries, or more time
    timeout: 200ms
    retries: {attempts: 2, perTryTimeout: 80ms}      # the second retry begins after 160ms, and has 40ms
)"},
    {"SL102", "a time-out close to what requests take", R"(
`timeout` is less than 1.5 times the p99 of the requests that the agent has measured. One request in a hundred takes
about that long now. A little more load, a longer prompt, a garbage collection, and requests that would have been
answered end with 504. Where there are retries, the servers then do the same work again when they have the least time
for it.

The p99 is of all requests of the service port since the agent's counters began, once there are 500. It is only known
where an agent can be asked (--run).

wrong, with a p99 of 180ms
    timeout: 200ms

right: leave room, or make the tail shorter (least request, ejection of slow servers)
    timeout: 300ms
)"},
    {"SL103", "a rule that is never reached", R"(
Rules are tried in the order in which they stand; the first that matches decides. A rule without `match`, or one whose
match asks for nothing (a prefix "/"), takes all that comes. What stands behind it is never looked at.

wrong
    http:
    - route: [{destination: {host: ranker, subset: v45}}]
    - match: [{headers: {x-user-segment: {exact: premium}}}]
      route: [{destination: {host: ranker, subset: v47}}]

right: the special case first
    http:
    - match: [{headers: {x-user-segment: {exact: premium}}}]
      route: [{destination: {host: ranker, subset: v47}}]
    - route: [{destination: {host: ranker, subset: v45}}]
)"},
    {"SL104", "a match that an earlier one takes away", R"(
Everything that this element of `match` could match is already matched by an earlier one, in an earlier rule or in the
same: a shorter prefix of the path, or the same question with less asked. It never decides. In the same rule that only
means that the element is superfluous; behind another rule its destinations never get a request.

Only what can be compared surely is: exact values, prefixes, presence of a header, client labels, equal regular
expressions.

wrong
    - match: [{uri: {prefix: /v1/}}]
      route: [{destination: {host: ranker, subset: v45}}]
    - match: [{uri: {exact: /v1/models/premium}}]      # begins with /v1/
      route: [{destination: {host: ranker, subset: v47}}]

right: the narrower one first
    - match: [{uri: {exact: /v1/models/premium}}]
      route: [{destination: {host: ranker, subset: v47}}]
    - match: [{uri: {prefix: /v1/}}]
      route: [{destination: {host: ranker, subset: v45}}]
)"},
    {"SL105", "weights that do not add up to 100", R"(
Weights are parts of their sum, not percent. 90 and 20 are 81.8% and 18.2%. A single destination gets everything,
whatever its weight: nothing is left over for anybody, and nothing is refused. Most often a weight was changed and its
neighbour forgotten.

wrong
    route:
    - {destination: {host: ranker, subset: v45}, weight: 90}
    - {destination: {host: ranker, subset: v47}, weight: 20}

right
    route:
    - {destination: {host: ranker, subset: v45}, weight: 80}
    - {destination: {host: ranker, subset: v47}, weight: 20}

`sluice weight SERVICE v45=80 v47=20` changes both at once.
)"},
    {"SL106", "users split by a regular expression", R"(
A regular expression on one character of a user id splits users by how ids are made, not at random. Ids that are
numbers have no letters; ids that grow begin with the same digits for months; a tenant's ids may share a prefix. The
shares are then not those that the expression suggests, and the two groups differ in more than the version. Moving a
share means another expression, which moves users in both directions.

An Experiment hashes the id together with the experiment's name: any share, the same user always on the same side, and
a share that grows takes nobody out. It is the same arithmetic as
int(md5(f"{user}:{experiment}").hexdigest()[:8], 16) % buckets.

wrong
    - match: [{headers: {x-user-id: {regex: "^[0-9a-cA-C].*"}}}]
      route: [{destination: {host: ranker, subset: v45}}]
    - route: [{destination: {host: ranker, subset: v47}}]

right
    - name: by-user
      route:
      - {destination: {host: ranker, subset: v45}, weight: 80}
      - {destination: {host: ranker, subset: v47}, weight: 20}
    ---
    apiVersion: sluice.dev/v1
    kind: Experiment
    metadata: {name: ranking-v47, namespace: ml-serving}
    spec: {host: ranker, route: by-user, httpHeaderName: x-user-id}
)"},
    {"SL107", "a mirror of the version that serves", R"(
A mirror shows a version real requests without letting its answers count. Here the copies go to a subset that answers
requests of this rule anyway: it learns nothing new, and its servers do the work twice.

wrong
    - route: [{destination: {host: ranker, subset: v45}}]
      mirror: {host: ranker, subset: v45}

right
    - route: [{destination: {host: ranker, subset: v45}}]
      mirror: {host: ranker, subset: v47}
      mirrorPercentage: {value: 10}
)"},
    {"SL108", "a destination that its weight leaves out", R"(
Beside other destinations, one without `weight` weighs 0 and gets nothing, as in Istio. The other way round, a single
destination gets everything even with weight 0.

wrong
    route:
    - destination: {host: ranker, subset: v45}
    - {destination: {host: ranker, subset: v47}, weight: 10}      # gets everything

right
    route:
    - {destination: {host: ranker, subset: v45}, weight: 90}
    - {destination: {host: ranker, subset: v47}, weight: 10}
)"},
    {"SL109", "weights that count connections", R"(
`sluice.dev/split: connection` lets the kernel decide, once a connection and without a hop. Clients that keep few long
connections then make the split coarse: of 10 connections, a version with 10% sees none with a chance of 35%.

right for many short connections, or many clients. Else leave the annotation out: the proxy lane then decides each
request.
)"},
};

}  // namespace

std::span<const Page> rule_pages() {
    return kPages;
}

}  // namespace sluice::verify
