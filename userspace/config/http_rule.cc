// The fields of an HTTP rule. This release's lanes carry weights only; everything else is still checked strictly, and
// remembered as what needs a request lane.
#include <array>

#include "config/http.h"
#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

struct Rule {
    WeightedRule& out;
    const Node* actions[3] = {};  // route, redirect, directResponse
};

// A field that is checked and then remembered as the reason for a request lane.
template <void (*Check)(const Value&)>
void request_field(const Value& value, Rule& rule) {
    Check(value);
    needs_request_lane(value,
                       "this rule is decided for each request, which needs a request lane; the lanes of this "
                       "release decide at connect time and carry weighted routes only",
                       rule.out);
}

void check_timeout(const Value& value) {
    value.duration();
}

// ---- mirrors
void check_percentage(const Value& value) {
    static constexpr Field<Nothing> kPercentage[] = {{"value", [](const Value& number, Nothing&) {
                                                          const auto percent = number.number(0, 100);
                                                          if (percent && *percent > 0 && *percent < 0.0001) {
                                                              number.wrong(
                                                                  "0, or a percentage from 0.0001 to 100, is "
                                                                  "needed");
                                                          }
                                                      }}};
    Nothing none;
    read_fields(value, kPercentage, none);
}

void check_mirror(const Value& value) {
    RouteDestination destination;
    read_destination(value, destination);
}

void check_mirrors(const Value& list) {
    static constexpr Field<Nothing> kMirror[] = {
        {"destination", [](const Value& value, Nothing&) { check_mirror(value); }},
        {"percentage", [](const Value& value, Nothing&) { check_percentage(value); }},
    };
    read_list(list, [](const Value& value) {
        Nothing none;
        if (read_fields(value, kMirror, none) && !value.has("destination")) {
            value.missing("destination", "a mapping with host, and subset and port where needed");
        }
    });
}

void check_percent(const Value& value) {
    value.integer(0, 100);
}

// ---- redirect, directResponse, rewrite
void check_redirect(const Value& value) {
    static constexpr Field<Nothing> kRedirect[] = {
        {"uri", [](const Value& v, Nothing&) { v.string(); }},
        {"prefixRewrite", [](const Value& v, Nothing&) { v.string(); }},
        {"authority", [](const Value& v, Nothing&) { v.string(); }},
        {"port", [](const Value& v, Nothing&) { v.port(); }},
        {"derivePort",
         [](const Value& v, Nothing&) {
             static constexpr std::array<std::string_view, 2> kNames{"FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"};
             v.one_of(kNames);
         }},
        {"scheme",
         [](const Value& v, Nothing&) {
             static constexpr std::array<std::string_view, 2> kNames{"http", "https"};
             v.one_of(kNames);
         }},
        {"redirectCode",
         [](const Value& v, Nothing&) {
             const auto code = v.integer(300, 399);
             if (code && *code != 301 && *code != 302 && *code != 303 && *code != 307 && *code != 308) {
                 v.wrong("allowed: 301, 302, 303, 307, 308");
             }
         }},
    };
    Nothing none;
    if (!read_fields(value, kRedirect, none)) {
        return;
    }
    if (value.has("uri") && value.has("prefixRewrite")) {
        value.error_at_key("found both uri and prefixRewrite; one of them is allowed");
    }
    if (!value.has("uri") && !value.has("prefixRewrite") && !value.has("authority") && !value.has("port") &&
        !value.has("derivePort") && !value.has("scheme")) {
        value.error_at_key(
            "found nothing to redirect to; at least one of uri, prefixRewrite, authority, port and "
            "scheme is needed");
    }
}

void check_direct_response(const Value& value) {
    static constexpr Field<Nothing> kBody[] = {
        {"string", [](const Value& v, Nothing&) { v.string(); }},
        {"bytes", [](const Value& v, Nothing&) { v.string(); }},
    };
    static constexpr Field<Nothing> kResponse[] = {
        {"status", [](const Value& v, Nothing&) { v.integer(200, 599); }},
        {"body",
         [](const Value& v, Nothing& none) {
             if (read_fields(v, kBody, none) && v.has("string") == v.has("bytes")) {
                 v.error_at_key("one of string and bytes is needed");
             }
         }},
    };
    Nothing none;
    if (read_fields(value, kResponse, none) && !value.has("status")) {
        value.missing("status", "an HTTP status from 200 to 599");
    }
}

void check_rewrite(const Value& value) {
    static constexpr Field<Nothing> kRegex[] = {
        {"match", [](const Value& v, Nothing&) { check_regex(v); }},
        {"rewrite", [](const Value& v, Nothing&) { v.nonempty(); }},
    };
    static constexpr Field<Nothing> kRewrite[] = {
        {"uri", [](const Value& v, Nothing&) { v.string(); }},
        {"authority", [](const Value& v, Nothing&) { v.string(); }},
        {"uriRegexRewrite",
         [](const Value& v, Nothing& none) {
             if (read_fields(v, kRegex, none) && !v.has("match")) {
                 v.missing("match", "a regular expression");
             }
             if (v.is_map() && !v.has("rewrite")) {
                 v.missing("rewrite", "the text to put there");
             }
         }},
    };
    Nothing none;
    if (!read_fields(value, kRewrite, none)) {
        return;
    }
    if (value.has("uri") && value.has("uriRegexRewrite")) {
        value.error_at_key("found both uri and uriRegexRewrite; one of them is allowed");
    }
    if (!value.has("uri") && !value.has("uriRegexRewrite") && !value.has("authority")) {
        value.error_at_key("found nothing to rewrite; at least one of uri, uriRegexRewrite and authority is needed");
    }
}

// ---- fault
void check_fault(const Value& value) {
    static constexpr Field<Nothing> kDelay[] = {
        {"fixedDelay", [](const Value& v, Nothing&) { v.duration(); }},
        {"percentage", [](const Value& v, Nothing&) { check_percentage(v); }},
        {"percent", [](const Value& v, Nothing&) { check_percent(v); }},
        {"exponentialDelay", nullptr, "Istio refuses it too; use fixedDelay"},
    };
    static constexpr Field<Nothing> kAbort[] = {
        {"httpStatus", [](const Value& v, Nothing&) { v.integer(200, 599); }},
        {"grpcStatus", [](const Value& v, Nothing&) { check_grpc_status(v); }},
        {"percentage", [](const Value& v, Nothing&) { check_percentage(v); }},
        {"percent", [](const Value& v, Nothing&) { check_percent(v); }},
        {"http2Error", nullptr, "Istio refuses it too; use httpStatus or grpcStatus"},
    };
    static constexpr Field<Nothing> kFault[] = {
        {"delay",
         [](const Value& v, Nothing& none) {
             if (read_fields(v, kDelay, none) && !v.has("fixedDelay") && !v.has("exponentialDelay")) {
                 v.missing("fixedDelay", "a duration of at least 1ms");
             }
         }},
        {"abort",
         [](const Value& v, Nothing& none) {
             if (read_fields(v, kAbort, none) && !v.has("http2Error") && v.has("httpStatus") == v.has("grpcStatus")) {
                 v.error_at_key("one of httpStatus and grpcStatus is needed");
             }
         }},
    };
    Nothing none;
    if (read_fields(value, kFault, none) && !value.has("delay") && !value.has("abort")) {
        value.error_at_key("at least one of delay and abort is needed");
    }
}

// ---- retries
void check_retries(const Value& value) {
    struct Retries {
        std::optional<std::int64_t> attempts;
    };
    static constexpr Field<Retries> kRetries[] = {
        {"attempts", [](const Value& v, Retries& out) { out.attempts = v.integer(0, 0x7fffffff); }},
        {"perTryTimeout", [](const Value& v, Retries&) { v.duration(); }},
        {"retryOn", [](const Value& v, Retries&) { check_retry_on(v); }},
        {"retryRemoteLocalities", [](const Value& v, Retries&) { v.boolean(); }},
        {"retryIgnorePreviousHosts", [](const Value& v, Retries&) { v.boolean(); }},
        {"backoff", [](const Value& v, Retries&) { v.duration(); }},
    };
    Retries retries;
    if (!read_fields(value, kRetries, retries)) {
        return;
    }
    const bool off = retries.attempts ? *retries.attempts == 0 : !value.has("attempts");
    if (off && (value.has("perTryTimeout") || value.has("retryOn") || value.has("retryRemoteLocalities"))) {
        value.error_at_key(
            "found attempts 0, which switches retries off, beside perTryTimeout, retryOn or "
            "retryRemoteLocalities; attempts of at least 1 are needed with them");
    }
}

// ---- corsPolicy
void check_texts(const Value& list) {
    read_list(list, [](const Value& value) { value.string(); });
}

void check_cors(const Value& value) {
    static constexpr Field<Nothing> kCors[] = {
        {"allowOrigins",
         [](const Value& list, Nothing&) { read_list(list, [](const Value& v) { check_string_match(v, false); }); }},
        {"allowOrigin", [](const Value& v, Nothing&) { check_texts(v); }},
        {"allowMethods", [](const Value& v, Nothing&) { check_texts(v); }},
        {"allowHeaders", [](const Value& v, Nothing&) { check_texts(v); }},
        {"exposeHeaders", [](const Value& v, Nothing&) { check_texts(v); }},
        {"maxAge",
         [](const Value& v, Nothing&) {
             const auto age = v.duration();
             if (age && *age % std::chrono::seconds(1) != std::chrono::nanoseconds(0)) {
                 v.wrong("whole seconds are needed");
             }
         }},
        {"allowCredentials", [](const Value& v, Nothing&) { v.boolean(); }},
        {"unmatchedPreflights",
         [](const Value& v, Nothing&) {
             static constexpr std::array<std::string_view, 3> kNames{"UNSPECIFIED", "FORWARD", "IGNORE"};
             v.one_of(kNames);
         }},
    };
    Nothing none;
    read_fields(value, kCors, none);
}

template <int Index>
void action(const Value& value, Rule& rule) {
    rule.actions[Index] = &value.node();
    if constexpr (Index == 0) {
        read_destinations(value, true, rule.out);
    } else {
        request_field<Index == 1 ? check_redirect : check_direct_response>(value, rule);
    }
}

constexpr Field<Rule> kRule[] = {
    {"name",
     [](const Value& value, Rule& rule) {
         if (const auto name = value.string()) {
             rule.out.name = *name;
         }
     }},
    {"match", request_field<check_http_match>},
    {"route", action<0>},
    {"redirect", action<1>},
    {"directResponse", action<2>},
    {"rewrite", request_field<check_rewrite>},
    {"timeout", request_field<check_timeout>},
    {"retries", request_field<check_retries>},
    {"fault", request_field<check_fault>},
    {"mirror", request_field<check_mirror>},
    {"mirrors", request_field<check_mirrors>},
    {"mirrorPercentage", request_field<check_percentage>},
    {"mirrorPercent", request_field<check_percent>},
    {"corsPolicy", request_field<check_cors>},
    {"headers", request_field<check_header_operations>},
    {"delegate", nullptr, "write the rules into this VirtualService"},
};

}  // namespace

void read_http_rule(const Value& value, WeightedRule& out) {
    Rule rule{out};
    if (!read_fields(value, kRule, rule)) {
        return;
    }
    int actions = 0;
    for (const Node* node : rule.actions) {
        actions += node != nullptr ? 1 : 0;
    }
    if (actions == 0 && !value.has("delegate")) {
        value.missing("route", "one of route, redirect and directResponse is needed");
    } else if (actions > 1) {
        value.error("found several of route, redirect and directResponse; one of them is allowed");
    }
    if ((rule.actions[1] != nullptr || rule.actions[2] != nullptr) && (value.has("fault") || value.has("rewrite"))) {
        value.error("found fault or rewrite beside redirect or directResponse; they go with route only");
    }
    if (value.has("mirror") && value.has("mirrors")) {
        value.error("found both mirror and mirrors; one of them is allowed");
    }
}

}  // namespace sluice::config
