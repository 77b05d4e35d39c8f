#include "verify/written.h"

#include <algorithm>

#include "http/parser.h"
#include "http/writer.h"
#include "proxy/routing.h"

namespace sluice::verify {

namespace {

constexpr std::uint16_t kHttpPort = 80;

std::string host_field(const Question& question, std::uint16_t port) {
    const auto address = IpAddress::parse(question.host);
    const std::string host = address && !address->is_v4() ? "[" + question.host + "]" : question.host;
    return port == kHttpPort ? host : host + ":" + std::to_string(port);
}

Result<std::string> request_text(const Question& question, std::uint16_t port) {
    const auto plain = [](std::string_view text) {
        return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c != 0x7f; });
    };
    if (!http::field_name_ok(question.method)) {
        return fail("'" + question.method + "' is no method");
    }
    if (!plain(question.path)) {
        return fail("'" + question.path + "' is no path: it is empty, or has blanks or control characters");
    }
    std::string text;
    http::write_request_line(text, question.method, question.path);
    if (std::ranges::none_of(question.headers, [](const auto& h) { return http::same_name(h.first, "host"); })) {
        http::write_field(text, "host", host_field(question, port));
    }
    for (const auto& [name, value] : question.headers) {
        if (!http::field_name_ok(name) || !http::field_value_ok(value)) {
            return fail("'" + name + ": " + value + "' is no header field");
        }
        http::write_field(text, name, value);
    }
    http::write_head_end(text);
    return text;
}

}  // namespace

Result<> write(const Question& question, std::uint16_t port, Written& out) {
    const Result<std::string> text = request_text(question, port);
    if (!text) {
        return std::unexpected(text.error());
    }
    http::RequestParser parser;
    std::string_view rest = *text;
    http::Step step;
    do {
        step = parser.next(out.head, rest);
        rest.remove_prefix(step.used);
    } while (step.event == http::Event::kMore && step.used != 0);
    if (step.event != http::Event::kHead) {
        return fail(std::string("no client could send this request: it is refused as ") +
                    http::refusal_name(parser.refusal()) + " with " +
                    std::to_string(http::refusal_status(parser.refusal())));
    }
    out.client.scope = question.client_namespace;
    out.client.labels = question.client_labels;
    out.client.workload = std::make_shared<const model::Workload>();
    out.client.address = IpAddress::parse("127.0.0.1").value_or(IpAddress{});
    out.readable = proxy::ask(out.head, out.client, port, out.path, out.asked);
    out.allowed = proxy::allow_upgrade(out.head, out.upgrade);
    return {};
}

}  // namespace sluice::verify
