// An HTTP rule of a VirtualService, as parsed. Semantics: Istio's (DESIGN.md names the sources).
#pragma once

#include <bitset>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/objects.h"

namespace sluice::config {

// Parts of a million: as exact as Envoy's fractions. 1,000,000 is always.
using Millionths = std::uint32_t;
inline constexpr Millionths kAlways = 1'000'000;

struct StringMatch {
    enum class Kind : std::uint8_t { kExact, kPrefix, kRegex, kPresent };  // kPresent: headers and queries only
    Kind kind = Kind::kPresent;
    std::string text;
    Place place;  // of the text
};
// The forms that Istio takes for "every path": what stands behind such a match is never reached.
bool every_path(const StringMatch& uri);
struct NamedMatch {
    std::string name;  // of a header in lower case, or ":authority" and the like; of a query parameter as written
    StringMatch match;
};

// One element of `match`: all that is given must hold.
struct HttpMatch {
    std::string name;
    std::optional<StringMatch> uri, scheme, method, authority;
    bool ignore_uri_case = false;
    std::vector<NamedMatch> headers, without_headers, query;
    // Of the client and its port, fixed for a connection.
    std::uint16_t port = 0;  // 0: any
    Labels source_labels;
    std::string source_namespace;  // empty: any
    bool gateways_given = false;   // then sourceLabels and sourceNamespace do not count, as in Istio
    bool gateways_mesh = false;    // they name `mesh`
    Place place;
};

// Names in lower case, "host" for ":authority". Values have no control characters; a '%' begins or ends the name of a
// format operator, or is one of two that mean one.
struct HeaderOps {
    std::vector<std::pair<std::string, std::string>> set, add;  // in document order
    std::vector<std::string> remove;
    bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};
struct HeaderOperations {
    HeaderOps request, response;
};

struct Redirect {
    std::optional<std::string> uri, prefix_rewrite, authority, scheme;
    std::uint16_t port = 0;
    enum class DerivePort : std::uint8_t { kNone, kProtocolDefault, kRequestPort } derive_port = DerivePort::kNone;
    std::uint16_t code = 301;
};
struct DirectResponse {
    std::uint16_t status = 0;
    std::string body;  // decoded
};
struct Rewrite {
    std::optional<std::string> uri, authority;
    std::optional<std::pair<std::string, std::string>> regex;  // match, replacement (\1 to \9)
    Place regex_place;                                         // of the match's text
};

// retryOn, as a set of conditions and the status codes named in it.
enum class RetryOn : std::uint8_t {
    k5xx,
    kGatewayError,
    kReset,
    kResetBeforeRequest,
    kConnectFailure,
    kRetriable4xx,
    kRefusedStream,
    kRetriableStatusCodes,
    kRetriableHeaders,
    kEnvoyRatelimited,
    kHttp3PostConnectFailure,
    kCancelled,
    kDeadlineExceeded,
    kResourceExhausted,
    kInternal,
    kUnavailable,
    kCount,
};
const char* retry_on_name(RetryOn condition);  // as in retryOn
struct RetryConditions {
    std::bitset<static_cast<std::size_t>(RetryOn::kCount)> on;
    std::vector<std::uint16_t> codes;
    bool has(RetryOn condition) const { return on[static_cast<std::size_t>(condition)]; }
};
struct Retries {
    std::uint32_t attempts = 0;  // beyond the first; 0: none
    std::optional<std::chrono::nanoseconds> per_try_timeout;
    std::optional<RetryConditions> on;  // absent: Istio's default conditions
    std::optional<bool> ignore_previous_hosts;
    std::chrono::nanoseconds backoff = std::chrono::milliseconds(25);
};

struct Fault {
    struct Delay {
        std::chrono::nanoseconds duration{0};
        Millionths share = 0;  // Istio: nothing without a percentage
    };
    struct Abort {
        std::uint16_t status = 0;        // HTTP status, or
        std::optional<int> grpc_status;  // 0..16
        Millionths share = 0;
    };
    std::optional<Delay> delay;
    std::optional<Abort> abort;
};
struct Mirror {
    RouteDestination destination;
    Millionths share = kAlways;
};

// What of a rule only a request lane can do. Where `route` is all there is, this is absent (WeightedRule::http).
struct HttpRule {
    std::vector<HttpMatch> matches;  // empty: every request
    std::optional<Redirect> redirect;
    std::optional<DirectResponse> direct_response;
    std::optional<Rewrite> rewrite;
    std::optional<std::chrono::nanoseconds> timeout;
    std::optional<Retries> retries;  // absent: Istio's default policy
    std::optional<Fault> fault;
    std::vector<Mirror> mirrors;
    bool mirror_alone = false;  // its one element was written as `mirror`
    HeaderOperations headers;
    // By index of the rule's destinations; shorter or empty: none.
    std::vector<HeaderOperations> destination_headers;
};

}  // namespace sluice::config
