#include "admin/explain_rules.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

#include "admin/shares.h"

namespace sluice::admin {

using config::StringMatch;

namespace {

std::string duration_text(std::chrono::nanoseconds time) {
    const double seconds = std::chrono::duration<double>(time).count();
    return seconds < 1 ? fmt::format("{:g}ms", seconds * 1000) : fmt::format("{:g}s", seconds);
}

std::string percent_text(config::Millionths share) {
    return fmt::format("{:g}%", static_cast<double>(share) / 10'000);
}

std::string value_text(const StringMatch& match) {
    switch (match.kind) {
        case StringMatch::Kind::kExact:
            return fmt::format("= \"{}\"", match.text);
        case StringMatch::Kind::kPrefix:
            return fmt::format("starts with \"{}\"", match.text);
        case StringMatch::Kind::kRegex:
            return fmt::format("~ \"{}\"", match.text);
        case StringMatch::Kind::kPresent:
            break;
    }
    return "is there";
}

std::string retries_text(const config::Retries& retries) {
    if (retries.attempts == 0) {
        return "no retries";
    }
    std::string on;
    if (retries.on) {
        for (std::size_t i = 0; i < retries.on->on.size(); ++i) {
            on += retries.on->on[i] ? fmt::format("{}{}", on.empty() ? "" : ",",
                                                  config::retry_on_name(static_cast<config::RetryOn>(i)))
                                    : "";
        }
        for (const std::uint16_t code : retries.on->codes) {
            on += fmt::format("{}{}", on.empty() ? "" : ",", code);
        }
    }
    std::string text = fmt::format("{} {} on {}", retries.attempts, retries.attempts == 1 ? "retry" : "retries",
                                   on.empty() ? "Istio's default conditions" : on);
    return retries.per_try_timeout ? text + ", each try " + duration_text(*retries.per_try_timeout) : text;
}

void add_fault(const config::Fault& fault, Json& out) {
    if (fault.delay) {
        out.push_back(
            fmt::format("delays {} by {}", percent_text(fault.delay->share), duration_text(fault.delay->duration)));
    }
    if (fault.abort) {
        out.push_back(fault.abort->grpc_status
                          ? fmt::format("aborts {} with gRPC status {}", percent_text(fault.abort->share),
                                        *fault.abort->grpc_status)
                          : fmt::format("aborts {} with {}", percent_text(fault.abort->share), fault.abort->status));
    }
}

std::string redirect_text(const config::Redirect& redirect) {
    std::string to =
        fmt::format("{}{}", redirect.scheme ? *redirect.scheme + "://" : "", redirect.authority.value_or(""));
    if (redirect.port != 0) {
        to += fmt::format(":{}", redirect.port);
    }
    if (redirect.uri || redirect.prefix_rewrite) {
        to += (to.empty() ? "" : " ") + (redirect.uri ? *redirect.uri : "prefix " + *redirect.prefix_rewrite);
    }
    return fmt::format("redirects with {} to {}", redirect.code, to.empty() ? "its own port" : to);
}

void add_rewrite(const config::Rewrite& rewrite, Json& out) {
    if (rewrite.uri) {
        out.push_back(fmt::format("rewrites the path to \"{}\"", *rewrite.uri));
    }
    if (rewrite.regex) {
        out.push_back(
            fmt::format("rewrites \"{}\" in the path to \"{}\"", rewrite.regex->first, rewrite.regex->second));
    }
    if (rewrite.authority) {
        out.push_back("rewrites the host to " + *rewrite.authority);
    }
}

Json does_json(const model::HttpRoute& rule) {
    Json out = Json::array();
    if (rule.rule == nullptr || rule.rule->http == nullptr) {
        return out;
    }
    const config::HttpRule& http = *rule.rule->http;
    if (http.redirect) {
        out.push_back(redirect_text(*http.redirect));
    }
    if (http.direct_response) {
        out.push_back(
            fmt::format("answers {}, {} octets", http.direct_response->status, http.direct_response->body.size()));
    }
    if (http.rewrite) {
        add_rewrite(*http.rewrite, out);
    }
    if (http.timeout) {
        out.push_back("time-out " + duration_text(*http.timeout));
    }
    if (http.retries) {
        out.push_back(retries_text(*http.retries));
    }
    if (http.fault) {
        add_fault(*http.fault, out);
    }
    for (std::size_t i = 0; i < http.mirrors.size() && i < rule.mirrors.size(); ++i) {
        out.push_back(fmt::format("mirrors {} to {}{}", percent_text(http.mirrors[i].share), rule.mirrors[i].text,
                                  rule.mirrors[i].cluster ? "" : ", which is not there"));
    }
    const bool headers = !http.headers.request.empty() || !http.headers.response.empty();
    if (headers || !http.destination_headers.empty()) {
        out.push_back("changes header fields");
    }
    return out;
}

Json destinations_json(const model::HttpRoute& rule) {
    std::uint64_t sum = 0;
    for (const model::Destination& destination : rule.destinations) {
        sum += destination.weight;
    }
    Json out = Json::array();
    for (const model::Destination& destination : rule.destinations) {
        Json row{{"destination", destination.text}};
        row["subset"] = destination.cluster ? Json(destination.cluster->subset) : Json(nullptr);
        row["weight"] = destination.weight;
        row["share"] = share(destination.weight, sum);
        if (!destination.cluster) {
            row["refused_as"] = "NC";
        }
        out.push_back(std::move(row));
    }
    return out;
}

Json at_json(const model::HttpRoute& rule, const ViewContext& context) {
    if (rule.rule == nullptr || rule.source == nullptr) {
        return nullptr;
    }
    // The document may have moved in its file since it was read.
    const int moved = context.where ? context.where(*rule.source).line - rule.source->place.line : 0;
    const std::string file = context.where ? context.where(*rule.source).file : rule.source->file;
    return fmt::format("{}:{}", file, rule.rule->place.line + moved);
}

}  // namespace

std::string match_text(const config::HttpMatch& match) {
    std::string out;
    const auto add = [&](const std::string& text) { out += (out.empty() ? "" : " and ") + text; };
    if (match.uri) {
        add(fmt::format("path{} {}", match.ignore_uri_case ? " (any case)" : "", value_text(*match.uri)));
    }
    for (const auto& [name, value] : {std::pair("method", &match.method), std::pair("scheme", &match.scheme),
                                      std::pair("authority", &match.authority)}) {
        if (*value) {
            add(fmt::format("{} {}", name, value_text(**value)));
        }
    }
    for (const config::NamedMatch& header : match.headers) {
        add(fmt::format("header {} {}", header.name, value_text(header.match)));
    }
    for (const config::NamedMatch& header : match.without_headers) {
        add(fmt::format("not header {} {}", header.name, value_text(header.match)));
    }
    for (const config::NamedMatch& query : match.query) {
        add(fmt::format("query {} {}", query.name, value_text(query.match)));
    }
    if (!match.gateways_given) {
        for (const auto& [name, value] : match.source_labels) {
            add(fmt::format("client label {} = \"{}\"", name, value));
        }
    }
    return out.empty() ? "every request" : out;
}

std::vector<std::string> when_texts(const model::HttpRoute& rule) {
    std::vector<std::string> out;
    for (const std::uint32_t i : rule.matches) {
        out.push_back(match_text(rule.rule->http->matches[i]));
    }
    return out.empty() ? std::vector<std::string>{"every request"} : out;
}

Json rules_json(const model::ServicePort& service, const ViewContext& context) {
    Json out = Json::array();
    for (const model::HttpRoute& rule : service.route->http) {
        Json row{{"name", rule.name}, {"when", when_texts(rule)}};
        row["only_for"] = rule.rule == nullptr && !rule.catch_all ? Json("clients whose labels no rule before asks for")
                                                                  : Json(nullptr);
        row["destinations"] = destinations_json(rule);
        row["does"] = does_json(rule);
        row["experiment"] = where_json(rule.experiment_source, context);
        row["at"] = at_json(rule, context);
        out.push_back(std::move(row));
    }
    return out;
}

}  // namespace sluice::admin
