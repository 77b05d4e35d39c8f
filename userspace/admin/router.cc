#include "admin/router.h"

#include "admin/answers.h"
#include "admin/parameters.h"
#include "base/ip.h"

namespace sluice::admin {

namespace {

Answer plain(int status, std::string text) {
    return {status, std::move(text) + "\n", "text/plain; charset=utf-8"};
}

Answer list(Backend& backend, const Request& request, List what) {
    return {200, backend.list(what, {.host = parameter(request, "host")})};
}

Answer explain(Backend& backend, const Request& request) {
    ExplainQuery query{.host = parameter(request, "host"), .client = parameter(request, "client")};
    if (query.host.empty()) {
        return error_answer(400, "explain needs host=NAME");
    }
    if (std::string port = parameter(request, "port"); !port.empty()) {
        auto parsed = number<std::uint32_t>(port, 65535);
        if (!parsed) {
            return error_answer(400, "port: expected 1..65535, found '" + port + "'");
        }
        query.port = static_cast<std::uint16_t>(*parsed);
    }
    Result<Json> found = backend.explain(query);
    return found ? json_answer(*found) : error_answer(404, found.error().text());
}

Answer answer(Backend& backend, const Request& request) {
    const Result<verify::Question> question = read_question(parameter(request, "question"));
    if (!question) {
        return error_answer(400, question.error().text());
    }
    const Result<Json> found = backend.answer(*question);
    return found ? json_answer(*found) : error_answer(404, found.error().text());
}

Answer text_answer(const Result<std::string>& text) {
    return text ? Answer{200, *text} : error_answer(404, text.error().text());
}

Answer connections(Backend& backend, const Request& request) {
    auto limit = limited(request, "limit", kConnectionsDefault, kConnectionsMax);
    return limit ? text_answer(backend.connections({.host = parameter(request, "host"), .limit = *limit}))
                 : limit.error();
}

Answer tail(Backend& backend, const Request& request) {
    TailQuery query{.host = parameter(request, "host")};
    auto limit = limited(request, "limit", kSamplesMax, kSamplesMax);
    if (!limit) {
        return limit.error();
    }
    query.limit = *limit;
    if (std::string after = parameter(request, "after"); !after.empty()) {
        query.after = number(after, std::numeric_limits<std::uint64_t>::max());
        if (!query.after) {
            return error_answer(400, "after: expected a number, found '" + after + "'");
        }
    }
    Result<Json> found = backend.tail(query);
    return found ? json_answer(*found) : error_answer(404, found.error().text());
}

Answer top(Backend& backend, const Request& request) {
    auto limit = limited(request, "limit", kTopDefault, kTopMax);
    return limit ? text_answer(backend.top({.host = parameter(request, "host"), .limit = *limit})) : limit.error();
}

Answer apply(Backend& backend, const Request& request) {
    ApplyRequest wanted{.documents = request.body,
                        .file = parameter(request, "file"),
                        .message = parameter(request, "message"),
                        .peer = request.peer};
    auto dry = flag(request, "dry_run");
    if (!dry) {
        return dry.error();
    }
    wanted.dry_run = *dry;
    if (wanted.file.empty()) {
        wanted.file = "apply";
    }
    return backend.apply(wanted);
}

Answer command_canary(Backend& backend, const Request& request) {
    CanaryRequest wanted{.name = parameter(request, "name"),
                         .command = parameter(request, "command"),
                         .message = parameter(request, "message"),
                         .peer = request.peer};
    if (wanted.name.empty() || wanted.command.empty()) {
        return error_answer(400, "a canary is told what to do by name=NAME&command=COMMAND");
    }
    return backend.command_canary(wanted);
}

Answer get(Backend& backend, const Request& request) {
    const std::string& path = request.path;
    if (path == "/v1/status") {
        return json_answer(backend.status());
    }
    if (path == "/v1/services") {
        return list(backend, request, List::kServices);
    }
    if (path == "/v1/routes") {
        return list(backend, request, List::kRoutes);
    }
    if (path == "/v1/subsets") {
        return list(backend, request, List::kSubsets);
    }
    if (path == "/v1/endpoints") {
        return list(backend, request, List::kEndpoints);
    }
    if (path == "/v1/experiments") {
        const Result<Json> rows = backend.experiments({.host = parameter(request, "host")});
        return rows ? json_answer(*rows) : error_answer(404, rows.error().text());
    }
    if (path == "/v1/maps") {
        return json_answer(backend.maps());
    }
    if (constexpr std::string_view prefix = "/v1/maps/"; path.starts_with(prefix)) {
        Result<Json> dump = backend.map(path.substr(prefix.size()));
        return dump ? json_answer(*dump) : error_answer(404, dump.error().text());
    }
    if (path == "/v1/explain") {
        return explain(backend, request);
    }
    if (path == "/v1/answer") {
        return answer(backend, request);
    }
    if (path == "/v1/history") {
        return route_history(backend, request);
    }
    if (path == "/v1/diff") {
        return route_compare(backend, request);
    }
    if (path == "/v1/connections") {
        return connections(backend, request);
    }
    if (path == "/v1/tail") {
        return tail(backend, request);
    }
    if (path == "/v1/top") {
        return top(backend, request);
    }
    if (path == "/v1/canaries") {
        return backend.canaries(parameter(request, "name"));
    }
    if (path == "/metrics") {
        return {200, backend.metrics(), "text/plain; version=0.0.4; charset=utf-8"};
    }
    if (path == "/healthz") {
        std::string why = backend.unhealthy();
        return why.empty() ? plain(200, "ok") : plain(503, why);
    }
    if (path == "/readyz") {
        std::string why = backend.unready();
        return why.empty() ? plain(200, "ok") : plain(503, why);
    }
    return error_answer(404, "no such path: " + path);
}

}  // namespace

Answer error_answer(int status, const std::string& text) {
    Answer answer = json_answer(Json{{"error", text}});
    answer.status = status;
    return answer;
}

// Bytes that are no UTF-8 (file names, say) are replaced, never thrown about.
Answer json_answer(const Json& value) {
    return {200, value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"};
}

bool host_allowed(std::string_view header, std::string_view own_host) {
    std::string_view host = header;
    if (host.starts_with('[')) {
        std::size_t end = host.find(']');
        if (end == std::string_view::npos) {
            return false;
        }
        std::string_view rest = host.substr(end + 1);
        return (rest.empty() || rest.starts_with(':')) && IpAddress::parse(host.substr(1, end - 1)).has_value();
    }
    host = host.substr(0, host.find(':'));
    return host == "localhost" || (!own_host.empty() && host == own_host) || IpAddress::parse(host).has_value();
}

Answer route(Backend& backend, const Request& request, const std::string& own_host) {
    if (request.door == Door::kTcp && !host_allowed(request.host, own_host)) {
        return error_answer(403, "the Host header '" + request.host + "' does not name this server");
    }
    if (request.method == "GET") {
        const bool changes =
            request.path == "/v1/apply" || request.path == "/v1/rollback" || request.path == "/v1/weight";
        return changes ? error_answer(405, request.path + " takes POST") : get(backend, request);
    }
    if (request.door == Door::kTcp) {
        return error_answer(405, "this port is read-only: use the Unix socket in the run directory");
    }
    if (request.method == "POST" && request.path == "/v1/apply") {
        return apply(backend, request);
    }
    if (request.method == "POST" && request.path == "/v1/rollback") {
        return route_rollback(backend, request);
    }
    if (request.method == "POST" && request.path == "/v1/weight") {
        return route_weight(backend, request);
    }
    if (request.method == "POST" && request.path == "/v1/canaries") {
        return command_canary(backend, request);
    }
    return error_answer(405, request.method + " is not allowed on " + request.path);
}

}  // namespace sluice::admin
