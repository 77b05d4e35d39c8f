#include "verify/words.h"

#include <fmt/format.h>

namespace sluice::verify {

using config::StringMatch;

namespace {

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

std::string delay_text(const config::Fault::Delay& delay) {
    return fmt::format("delays {} by {}", share_text(delay.share), duration_text(delay.duration));
}

std::string abort_text(const config::Fault::Abort& abort) {
    return abort.grpc_status ? fmt::format("aborts {} with gRPC status {}", share_text(abort.share), *abort.grpc_status)
                             : fmt::format("aborts {} with {}", share_text(abort.share), abort.status);
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

void add_rewrite(const config::Rewrite& rewrite, std::vector<Deed>& out) {
    if (rewrite.uri) {
        out.push_back({"path", fmt::format("rewrites the path to \"{}\"", *rewrite.uri)});
    }
    if (rewrite.regex) {
        out.push_back({"path", fmt::format("rewrites \"{}\" in the path to \"{}\"", rewrite.regex->first,
                                           rewrite.regex->second)});
    }
    if (rewrite.authority) {
        out.push_back({"host", "rewrites the host to " + *rewrite.authority});
    }
}

std::string mirrors_text(const model::HttpRoute& rule) {
    std::string out;
    const auto& mirrors = rule.rule->http->mirrors;
    for (std::size_t i = 0; i < mirrors.size() && i < rule.mirrors.size(); ++i) {
        out += fmt::format("{}{} to {}{}", out.empty() ? "mirrors " : ", ", share_text(mirrors[i].share),
                           rule.mirrors[i].text, rule.mirrors[i].cluster ? "" : ", which is not there");
    }
    return out;
}

// What clients and servers see of it: of all destinations together.
void add_headers(const model::HttpRoute& rule, std::vector<Deed>& out) {
    std::string request = operations_text(rule.rule->http->headers.request);
    std::string response = operations_text(rule.rule->http->headers.response);
    const auto& of_destinations = rule.rule->http->destination_headers;
    for (std::size_t i = 0; i < of_destinations.size() && i < rule.destinations.size(); ++i) {
        for (const auto& [all, own] : {std::pair(&request, operations_text(of_destinations[i].request)),
                                       std::pair(&response, operations_text(of_destinations[i].response))}) {
            if (!own.empty()) {
                *all += fmt::format("{}{} for {}", all->empty() ? "" : ", ", own, rule.destinations[i].text);
            }
        }
    }
    if (!request.empty()) {
        out.push_back({"request headers", "changes request headers: " + request, true});
    }
    if (!response.empty()) {
        out.push_back({"response headers", "changes response headers: " + response, true});
    }
}

}  // namespace

std::string duration_text(std::chrono::nanoseconds time) {
    const double seconds = std::chrono::duration<double>(time).count();
    return seconds < 1 ? fmt::format("{:g}ms", seconds * 1000) : fmt::format("{:g}s", seconds);
}

// Two decimals are as fine as a decision can be seen.
std::string share_text(double share) {
    std::string out = fmt::format("{:.2f}", share * 100);
    out.erase(out.find_last_not_of('0') + 1);
    out.erase(out.find_last_not_of('.') + 1);
    return out + "%";
}

std::string share_text(config::Millionths share) {
    return fmt::format("{:g}%", static_cast<double>(share) / 10'000);
}

std::string operations_text(const config::HeaderOps& operations) {
    std::string out;
    const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
    for (const auto& [name, value] : operations.set) {
        add(fmt::format("set {} = {}", name, value));
    }
    for (const auto& [name, value] : operations.add) {
        add(fmt::format("add {} = {}", name, value));
    }
    for (const std::string& name : operations.remove) {
        add("remove " + name);
    }
    return out;
}

std::vector<Deed> deeds(const model::HttpRoute& rule) {
    std::vector<Deed> out;
    if (rule.rule == nullptr || rule.rule->http == nullptr) {
        return out;
    }
    const config::HttpRule& http = *rule.rule->http;
    if (http.redirect) {
        out.push_back({"redirect", redirect_text(*http.redirect)});
    }
    if (http.direct_response) {
        out.push_back({"answer", fmt::format("answers {}, {} octets", http.direct_response->status,
                                             http.direct_response->body.size())});
    }
    if (http.rewrite) {
        add_rewrite(*http.rewrite, out);
    }
    if (http.timeout) {
        out.push_back({"time-out", "time-out " + duration_text(*http.timeout)});
    }
    if (http.retries) {
        out.push_back({"retries of its own", retries_text(*http.retries)});
    }
    if (http.fault && http.fault->delay) {
        out.push_back({"delays", delay_text(*http.fault->delay)});
    }
    if (http.fault && http.fault->abort) {
        out.push_back({"aborts", abort_text(*http.fault->abort)});
    }
    if (std::string mirrors = mirrors_text(rule); !mirrors.empty()) {
        out.push_back({"mirrors", std::move(mirrors)});
    }
    add_headers(rule, out);
    return out;
}

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

}  // namespace sluice::verify
