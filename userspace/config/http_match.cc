#include <algorithm>
#include <array>

#include "config/http.h"
#include "config/kinds.h"
#include "config/names.h"
#include "config/scalar.h"

namespace sluice::config {

namespace {

// Which part of a request a map of matches is about: what its keys may be.
enum class Keys { kHeader, kQuery };

template <Keys Of>
void check_matches(const Value& map, Nothing&) {
    if (!map.expect_map()) {
        return;
    }
    map.each_field([](const Value& value) {
        const std::string_view key = value.key();
        if (key.starts_with("@request.auth.")) {
            value.error_at_key("matching JWT claims is not supported yet");
            return;
        }
        const std::string problem = Of == Keys::kHeader ? check_header_name(key, true)
                                    : key.empty()       ? "a query parameter has a name"
                                                        : "";
        if (!problem.empty()) {
            value.error_at_key(problem);
        }
        // null and {}: present, whatever its value.
        if (!value.is_null() && !(value.is_map() && value.is_empty())) {
            check_string_match(value, false);
        }
    });
}

constexpr Field<Nothing> kMatch[] = {
    {"name", [](const Value& value, Nothing&) { value.string(); }},
    {"uri", [](const Value& value, Nothing&) { check_string_match(value, true); }},
    {"scheme", [](const Value& value, Nothing&) { check_string_match(value, false); }},
    {"method", [](const Value& value, Nothing&) { check_string_match(value, false); }},
    {"authority", [](const Value& value, Nothing&) { check_string_match(value, false); }},
    {"headers", check_matches<Keys::kHeader>},
    {"withoutHeaders", check_matches<Keys::kHeader>},
    {"queryParams", check_matches<Keys::kQuery>},
    {"port", [](const Value& value, Nothing&) { value.port(); }},
    {"sourceLabels",
     [](const Value& value, Nothing&) {
         Labels labels;
         read_labels(value, labels);
     }},
    {"gateways", [](const Value& value, Nothing&) { read_match_gateways(value); }},
    {"sourceNamespace", [](const Value& value, Nothing&) { read_match_namespace(value); }},
    {"ignoreUriCase", [](const Value& value, Nothing&) { value.boolean(); }},
    {"statPrefix", [](const Value& value, Nothing&) { value.string(); }},
};

struct Match {
    int ways = 0;
    bool empty_prefix = false;
};

constexpr Field<Match> kStringMatch[] = {
    {"exact",
     [](const Value& value, Match& match) {
         ++match.ways;
         value.string();
     }},
    {"prefix",
     [](const Value& value, Match& match) {
         ++match.ways;
         if (match.empty_prefix) {
             value.string();
         } else {
             value.nonempty();
         }
     }},
    {"regex",
     [](const Value& value, Match& match) {
         ++match.ways;
         check_regex(value);
     }},
};

void check_header_map(const Value& map) {
    if (map.expect_map()) {
        map.each_field([](const Value& value) {
            const std::string problem = check_header_name(value.key(), true);
            if (!problem.empty()) {
                value.error_at_key(problem);
            }
            value.string();
        });
    }
}

constexpr Field<Nothing> kOperations[] = {
    {"set", [](const Value& value, Nothing&) { check_header_map(value); }},
    {"add", [](const Value& value, Nothing&) { check_header_map(value); }},
    {"remove",
     [](const Value& list, Nothing&) {
         read_list(list, [](const Value& value) {
             const auto name = value.string();
             const std::string problem = name ? check_header_name(*name, false) : "";
             if (!problem.empty()) {
                 value.wrong(problem);
             } else if (name == "host") {
                 value.wrong("the Host header cannot be removed");
             }
         });
     }},
};

constexpr Field<Nothing> kHeaders[] = {
    {"request", [](const Value& value, Nothing& none) { read_fields(value, kOperations, none); }},
    {"response", [](const Value& value, Nothing& none) { read_fields(value, kOperations, none); }},
};

}  // namespace

void check_http_match(const Value& list) {
    read_list(list, [](const Value& value) {
        Nothing none;
        if (read_fields(value, kMatch, none) && value.is_empty()) {
            value.wrong("a match says at least one thing; leave match out to match everything");
        }
    });
}

void check_string_match(const Value& value, bool empty_prefix) {
    Match match{0, empty_prefix};
    const std::size_t problems = value.scope().report.errors();
    if (read_fields(value, kStringMatch, match) && match.ways != 1 && value.scope().report.errors() == problems) {
        value.wrong("one of exact, prefix and regex is needed");
    }
}

void check_regex(const Value& value) {
    constexpr std::size_t kLongest = 1024;  // Istio's
    const auto regex = value.nonempty();
    if (regex && regex->size() > kLongest) {
        value.wrong("a regular expression has at most " + std::to_string(kLongest) + " characters");
    }
}

void check_header_operations(const Value& value) {
    Nothing none;
    read_fields(value, kHeaders, none);
}

void check_retry_on(const Value& value) {
    static constexpr std::array<std::string_view, 15> kConditions{"5xx",
                                                                  "gateway-error",
                                                                  "reset",
                                                                  "reset-before-request",
                                                                  "connect-failure",
                                                                  "retriable-4xx",
                                                                  "refused-stream",
                                                                  "retriable-status-codes",
                                                                  "retriable-headers",
                                                                  "envoy-ratelimited",
                                                                  "cancelled",
                                                                  "deadline-exceeded",
                                                                  "resource-exhausted",
                                                                  "internal",
                                                                  "unavailable"};
    const auto list = value.string();
    for (std::size_t begin = 0; list && begin <= list->size();) {
        const std::size_t comma = std::min(list->find(',', begin), list->size());
        const std::string_view condition = list->substr(begin, comma - begin);
        begin = comma + 1;
        const auto code = parse_integer(condition);
        const bool known = std::ranges::find(kConditions, condition) != kConditions.end() ||
                           condition == "http3-post-connect-failure" || (code && *code >= 100 && *code <= 599);
        if (!known && !list->empty()) {
            const auto meant = closest(condition, kConditions);
            value.wrong("the condition " + quoted(condition) + " is unknown" +
                        (meant ? "; did you mean " + quoted(*meant) + "?" : "") +
                        "; allowed: a comma-separated list, without blanks, of HTTP status codes and 5xx, "
                        "gateway-error, reset, reset-before-request, connect-failure, retriable-4xx, refused-stream, "
                        "retriable-status-codes, retriable-headers, envoy-ratelimited, cancelled, deadline-exceeded, "
                        "resource-exhausted, internal, unavailable, http3-post-connect-failure");
        }
    }
}

void check_grpc_status(const Value& value) {
    static constexpr std::array<std::string_view, 17> kNames{
        "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED"};
    value.one_of(kNames);
}

}  // namespace sluice::config
