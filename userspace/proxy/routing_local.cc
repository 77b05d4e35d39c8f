#include <algorithm>
#include <charconv>
#include <cstdint>

#include "http/writer.h"
#include "proxy/header_ops.h"
#include "proxy/match.h"
#include "proxy/routing.h"
#include "proxy/table_rule.h"

namespace sluice::proxy {

namespace {

bool is_grpc(const Asked& asked) {
    constexpr std::string_view kType = "application/grpc";
    return std::ranges::any_of(asked.head->fields, [&](const http::Field& field) {
        return same_text(field.name, "content-type") && same_text(field.value.substr(0, kType.size()), kType) &&
               (field.value.size() == kType.size() || field.value[kType.size()] == '+' ||
                field.value[kType.size()] == ';');
    });
}

// gRPC's mapping of HTTP status codes.
int grpc_status(int status) {
    switch (status) {
        case 200:
            return 0;
        case 400:
            return 13;
        case 401:
            return 16;
        case 403:
            return 7;
        case 404:
            return 12;
        case 429:
        case 502:
        case 503:
        case 504:
            return 14;
        default:
            return 2;
    }
}

// grpc-message: what is not printable ASCII, and '%', is escaped.
std::string_view grpc_message(std::string_view body, Lines& lines) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    lines.text.clear();
    for (const char c : body) {
        const auto octet = static_cast<unsigned char>(c);
        if (octet >= 0x20 && octet < 0x7f && c != '%') {
            lines.text += c;
        } else {
            lines.text.append({'%', kDigits[octet >> 4], kDigits[octet & 15]});
        }
    }
    return lines.arena.keep(lines.text);
}

// The end of a local answer: the rule's header operations, framing, head and body.
void finish(const Context& context, int status, std::string_view body, bool close, Lines& lines, std::string& out) {
    if (!context.date.empty()) {
        lines.add("date", context.date);
    }
    lines.add("server", "sluice");
    if (context.asked != nullptr && context.rule != nullptr && context.rule->compiled != nullptr) {
        const auto& targets = context.rule->compiled->targets;
        const HeaderPlan* plan =
            context.destination < targets.size() ? &targets[context.destination].response : nullptr;
        if (plan != nullptr && !plan->empty()) {
            plan->apply(lines, {context.asked, context.rule, context.destination, status, &lines, true});
        }
    }
    if (status != 204 && status != 304) {
        lines.add("content-length", lines.arena.keep(body.size()));
    }
    if (close) {
        lines.add("connection", "close");
    }
    http::write_status_line(out, status);
    lines.write(out);
    if (status != 204 && status != 304 && (context.asked == nullptr || context.asked->head->method != "HEAD")) {
        out.append(body);
    }
}

bool has_body(const http::RequestHead& head) {
    return head.framing == http::Framing::kChunked || (head.framing == http::Framing::kLength && head.length != 0);
}

}  // namespace

bool write_local_action(const Context& context, bool close, std::string& out, int& status) {
    const config::HttpRule* rule = context.rule->config;
    if (rule == nullptr || (!rule->redirect && !rule->direct_response)) {
        return false;
    }
    Lines& lines = Lines::scratch();
    close = close || has_body(*context.asked->head);
    if (rule->redirect) {
        status = rule->redirect->code;
        lines.text.clear();
        append_location(*rule->redirect, *context.asked, context.rule->compiled->prefix, lines.text);
        lines.add("location", lines.arena.keep(lines.text));
        finish(context, status, {}, close, lines, out);
        return true;
    }
    status = rule->direct_response->status;
    if (!rule->direct_response->body.empty()) {
        lines.add("content-type", "text/plain");
    }
    finish(context, status, rule->direct_response->body, close, lines, out);
    return true;
}

void write_local_reply(const Context& context, int status, std::string_view body, bool overloaded, bool close,
                       std::string& out) {
    Lines& lines = Lines::scratch();
    if (overloaded) {
        lines.add("x-envoy-overloaded", "true");
    }
    if (context.asked != nullptr && is_grpc(*context.asked)) {
        lines.add("content-type", "application/grpc");
        lines.add("grpc-status", lines.arena.keep(static_cast<std::uint64_t>(grpc_status(status))));
        if (!body.empty()) {
            lines.add("grpc-message", grpc_message(body, lines));
        }
        finish(context, 200, {}, close, lines, out);
        return;
    }
    if (!body.empty()) {
        lines.add("content-type", "text/plain");
    }
    finish(context, status, body, close, lines, out);
}

}  // namespace sluice::proxy
