// Routing of any request under any rule: parsed by the codec, matched, rewritten, written, and read again by the codec.
// rooms: proxy io compile model config http base
//
// It never crashes; the normal path stays as it is when it is normalised again and has no dot segments; the same
// request gets the same rule twice; exact, prefix and regex matches agree with a plain comparison and with RE2; and
// what is written is one head that reads as it was meant, with the rule's header operations in it.
#include <fuzzer/FuzzedDataProvider.h>
#include <re2/re2.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "http/parser.h"
#include "proxy/path.h"
#include "proxy/routing.h"
#include "proxy/table.h"

namespace {

using namespace sluice;
using config::StringMatch;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

// What configuration lets through: visible octets, no blanks.
std::string visible(FuzzedDataProvider& data, std::size_t max) {
    std::string text = data.ConsumeRandomLengthString(max);
    for (char& c : text) {
        c = static_cast<char>('!' + static_cast<unsigned char>(c) % ('~' - '!' + 1));
    }
    return text;
}

StringMatch string_match(FuzzedDataProvider& data) {
    const auto kind = static_cast<StringMatch::Kind>(data.ConsumeIntegralInRange(0, 3));
    return {kind, visible(data, 24), {}};
}

config::HttpMatch element(FuzzedDataProvider& data) {
    config::HttpMatch match;
    if (data.ConsumeBool()) {
        match.uri = string_match(data);
        match.uri->kind = match.uri->kind == StringMatch::Kind::kPresent ? StringMatch::Kind::kPrefix : match.uri->kind;
    }
    match.ignore_uri_case = data.ConsumeBool();
    for (auto* list : {&match.headers, &match.without_headers, &match.query}) {
        if (data.ConsumeBool()) {
            list->push_back({data.ConsumeBool() ? "x-a" : visible(data, 8) + "a", string_match(data)});
        }
    }
    return match;
}

std::shared_ptr<config::HttpRule> rule_of(FuzzedDataProvider& data) {
    auto rule = std::make_shared<config::HttpRule>();
    rule->matches.push_back(element(data));
    switch (data.ConsumeIntegralInRange(0, 3)) {
        case 1:
            rule->rewrite.emplace().uri = "/" + visible(data, 16);
            break;
        case 2:
            rule->rewrite.emplace().regex.emplace(visible(data, 16), visible(data, 8));
            break;
        case 3:
            rule->redirect.emplace().prefix_rewrite = "/" + visible(data, 8);
            break;
        default:
            break;
    }
    if (data.ConsumeBool()) {
        rule->headers.request.set.emplace_back("x-set", visible(data, 24));
        rule->headers.request.remove.emplace_back("x-a");
        rule->headers.response.add.emplace_back("x-add", visible(data, 24));
    }
    return rule;
}

// One service with one rule.
model::ServicePortPtr service_of(const std::shared_ptr<config::HttpRule>& rule, config::WeightedRule& weighted) {
    auto cluster = std::make_shared<model::Cluster>();
    cluster->id = Identity::of("c");
    weighted.http = rule;
    auto route = std::make_shared<model::Route>();
    model::HttpRoute http;
    http.rule = &weighted;
    http.matches = {0};
    if (!rule->redirect) {
        http.destinations.push_back({cluster, 100, ""});
    }
    route->http.push_back(http);
    auto port = std::make_shared<model::ServicePort>();
    port->host = "ranker.ml.svc.cluster.local";
    port->port = 80;
    port->route = route;
    return port;
}

bool plain_match(const StringMatch& match, bool ignore_case, std::string value) {
    std::string text = match.text;
    if (ignore_case && match.kind != StringMatch::Kind::kRegex) {
        for (std::string* each : {&text, &value}) {
            for (char& c : *each) {
                c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
            }
        }
    }
    switch (match.kind) {
        case StringMatch::Kind::kExact:
            return value == text;
        case StringMatch::Kind::kPrefix:
            return value.compare(0, text.size(), text) == 0;
        case StringMatch::Kind::kRegex: {
            re2::RE2::Options options;
            options.set_log_errors(false);
            const re2::RE2 regex(text, options);
            return regex.ok() && re2::RE2::FullMatch(value, regex);
        }
        case StringMatch::Kind::kPresent:
            return true;
    }
    return false;
}

void check_path(std::string_view path) {
    std::string buffer;
    std::string_view again;
    require(proxy::normalise_path(path, buffer, again) && again == path);
    require(path == "*" || path.starts_with('/'));
    for (const char* dots : {"/./", "/../"}) {
        require((std::string(path) + "/").find(dots) == std::string::npos);
    }
}

// What was written is one head and nothing else. A rewrite may make a target that is none: then it must be refused.
void check_written(const proxy::Context& context, const std::string& text) {
    http::RequestParser parser;
    http::RequestHead head;
    const http::Step step = parser.next(head, text);
    const bool rewrites = context.rule->config->rewrite.has_value();
    require(step.event == http::Event::kHead ? step.used == text.size() : rewrites);
    if (step.event != http::Event::kHead) {
        return;
    }
    require(head.method == context.asked->head->method);
    if (!rewrites && head.method != "CONNECT") {
        require(head.path == context.asked->path && head.query == context.asked->query);
    }
    for (const http::Field& field : head.fields) {
        require(!http::same_name(field.name, "connection") && !http::same_name(field.name, "x-envoy-retry-on"));
    }
}

void route(const proxy::Table& table, const http::RequestHead& head, const proxy::Client& client,
           const config::HttpRule& rule) {
    proxy::Asked asked;
    std::string path;
    if (!proxy::ask(head, client, 80, path, asked)) {
        return;
    }
    if (head.method != "CONNECT") {
        check_path(asked.path);
    }
    const proxy::VirtualHost* dialled = table.hosts().front().get();
    const proxy::VirtualHost* host = table.find(client, dialled, 80, asked.authority);
    require(host == dialled);
    const proxy::Rule* found = host->match(asked);
    require(found == host->match(asked));
    const config::HttpMatch& element = rule.matches.front();
    if (element.uri && found != nullptr) {
        require(plain_match(*element.uri, element.ignore_uri_case, std::string(asked.path)));
    }
    if (element.uri && found == nullptr && element.headers.empty() && element.without_headers.empty() &&
        element.query.empty()) {
        require(!plain_match(*element.uri, element.ignore_uri_case, std::string(asked.path)));
    }
    if (found == nullptr) {
        return;
    }
    proxy::Context context;
    context.asked = &asked;
    context.host = host;
    context.rule = found;
    std::string out;
    int status = 0;
    if (proxy::write_local_action(context, false, out, status)) {
        require(out.ends_with("\r\n\r\n") && out.find("\r\n\r\n") == out.size() - 4);
        return;
    }
    require(proxy::choose(*found, asked, 1).value() == 0);
    proxy::write_request(context, head, http::Framing::kNone, 0, out);
    check_written(context, out);
    out.clear();
    proxy::write_local_reply(context, 503, "no healthy upstream", false, false, out);
    require(out.find("\r\n\r\n") != std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    FuzzedDataProvider data(bytes, size);
    const std::shared_ptr<config::HttpRule> rule = rule_of(data);
    config::WeightedRule weighted;
    const model::ServicePortPtr port = service_of(rule, weighted);
    const proxy::Table::Numbers numbers{[](const Identity&) { return 1u; },
                                        [](const model::ServicePortKey&) { return 1u; }};
    const auto table = proxy::Table::build(nullptr, {{{"", port->host, port->port}, port}}, numbers);
    require(table.has_value() == proxy::Table::check(std::span(&port, 1)).empty());
    if (!table) {
        return 0;
    }
    std::string text = data.ConsumeRemainingBytesAsString();
    http::RequestParser parser;
    http::RequestHead head;
    if (parser.next(head, text).event != http::Event::kHead) {
        // Not a whole request: its octets as the target of one.
        text = "GET /" + text + " HTTP/1.1\r\nHost: ranker\r\nx-a: 1\r\n\r\n";
        parser = http::RequestParser();
        head.clear();
        if (parser.next(head, text).event != http::Event::kHead) {
            return 0;
        }
    }
    proxy::Client client;
    client.scope = "ml";
    client.workload = std::make_shared<const model::Workload>();
    route(**table, head, client, *rule);
    return 0;
}
