#include <algorithm>

#include "http/writer.h"
#include "proxy/header_ops.h"
#include "proxy/routing.h"
#include "proxy/table_rule.h"

namespace sluice::proxy {

namespace {

constexpr std::string_view kServer = "sluice";

const Rule::Compiled::Target* target_of(const Context& context) {
    if (context.rule == nullptr || context.rule->compiled == nullptr) {
        return nullptr;
    }
    const auto& targets = context.rule->compiled->targets;
    return context.destination < targets.size() ? &targets[context.destination] : nullptr;
}

void add_framing(http::Framing framing, std::uint64_t length, Lines& lines) {
    if (framing == http::Framing::kLength) {
        lines.add("content-length", lines.arena.keep(length));
    } else if (framing == http::Framing::kChunked) {
        lines.add("transfer-encoding", "chunked");
    }
}

// "host-shadow", before a port.
std::string_view shadowed(std::string_view host, Lines& lines) {
    const std::size_t bracket = host.rfind(']');
    const std::size_t colon = std::min(host.find(':', bracket == std::string_view::npos ? 0 : bracket), host.size());
    lines.text.assign(host.substr(0, colon)).append("-shadow").append(host.substr(colon));
    return lines.arena.keep(lines.text);
}

// The path and query after rewriting. `original`: before it; empty when nothing is rewritten.
std::string_view target_path(const Asked& asked, const PathRewrite* rewrite, Lines& lines, std::string_view& original) {
    const auto with_query = [&] {
        if (asked.has_query) {
            lines.text.append("?").append(asked.query);
        }
        return lines.arena.keep(lines.text);
    };
    if (rewrite == nullptr) {
        if (!asked.has_query) {
            return asked.path;
        }
        lines.text.assign(asked.path);
        return with_query();
    }
    lines.text.assign(asked.path);
    original = with_query();
    lines.text.clear();
    rewrite->append(asked.path, lines.text);
    return with_query();
}

}  // namespace

void write_request(const Context& context, const http::RequestHead& head, http::Framing framing, std::uint64_t length,
                   std::string& out) {
    const Asked& asked = *context.asked;
    const Rule::Compiled::Target* target = target_of(context);
    const bool connect = head.method == "CONNECT";
    Lines& lines = Lines::scratch();
    const PathRewrite* rewrite =
        target != nullptr && context.rule->compiled->path && !connect ? &context.rule->compiled->path : nullptr;
    std::string_view original_path;
    const std::string_view path = connect ? head.target : target_path(asked, rewrite, lines, original_path);
    const bool new_host = target != nullptr && target->authority.has_value();
    std::string_view host = new_host ? std::string_view(*target->authority) : asked.authority;
    if (host.empty() && context.host != nullptr) {
        host = context.host->port->host;
    }
    lines.add("host", context.shadow_suffix ? shadowed(host, lines) : host);
    FieldKinds dropped = kind_bit(FieldKind::kHost) | kind_bit(FieldKind::kControl);
    if (context.mirror) {
        dropped |= kind_bit(FieldKind::kExpect);
    }
    FieldKinds seen = 0;
    pass_fields(head, dropped, lines, seen);
    if ((seen & kind_bit(FieldKind::kForwardedProto)) == 0) {
        lines.add("x-forwarded-proto", asked.scheme);
    }
    if ((seen & kind_bit(FieldKind::kRequestId)) == 0 && !context.request_id.empty()) {
        lines.add("x-request-id", context.request_id);
    }
    lines.add("x-envoy-attempt-count", lines.arena.keep(context.attempt));
    if (context.remaining_ms != 0) {
        lines.add("x-envoy-expected-rq-timeout-ms", lines.arena.keep(context.remaining_ms));
    }
    if (target != nullptr && !target->request.empty()) {
        target->request.apply(lines, {&asked, context.rule, context.destination, 0, &lines, false});
    }
    if (new_host) {
        lines.set("x-envoy-original-host", asked.authority);
    }
    if (rewrite != nullptr) {
        lines.set("x-envoy-original-path", original_path);
    }
    if (context.mirror) {
        lines.add("x-envoy-internal", "true");
    }
    if (!context.upgrade.empty()) {
        lines.add("connection", "upgrade");
        lines.add("upgrade", context.upgrade);
    }
    add_framing(framing, length, lines);
    http::write_request_line(out, head.method, path);
    lines.write(out);
}

void write_response(const Context& context, const http::ResponseHead& head, http::Framing framing, std::uint64_t length,
                    std::string_view set_cookie, bool close, std::string& out) {
    const Rule::Compiled::Target* target = target_of(context);
    Lines& lines = Lines::scratch();
    const bool final = head.status >= 200;
    FieldKinds seen = 0;
    pass_fields(head, final ? kind_bit(FieldKind::kServiceTime) : 0, lines, seen);
    if (final) {
        if ((seen & kind_bit(FieldKind::kDate)) == 0 && !context.date.empty()) {
            lines.add("date", context.date);
        }
        if ((seen & kind_bit(FieldKind::kServer)) == 0) {
            lines.add("server", kServer);
        }
        if (context.service_time_ms != UINT64_MAX) {
            lines.add("x-envoy-upstream-service-time", lines.arena.keep(context.service_time_ms));
        }
        if (target != nullptr && !target->response.empty()) {
            target->response.apply(lines,
                                   {context.asked, context.rule, context.destination, head.status, &lines, true});
        }
        if (!set_cookie.empty()) {
            lines.add("set-cookie", set_cookie);
        }
        add_framing(framing, length, lines);
        if (close) {
            lines.add("connection", "close");
        }
    } else if (head.status == 101) {
        lines.add("connection", "upgrade");
        lines.add("upgrade", context.upgrade);
    }
    http::write_status_line(out, head.status, head.reason);
    lines.write(out);
}

}  // namespace sluice::proxy
