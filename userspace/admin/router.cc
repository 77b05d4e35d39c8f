#include "admin/router.h"

#include <charconv>
#include <optional>

#include "base/ip.h"

namespace sluice::admin {

namespace {

constexpr std::size_t kHistoryDefault = 50;
constexpr std::size_t kHistoryMax = 10'000;

std::string parameter(const Request& request, const char* name) {
    auto found = request.query.find(name);
    return found == request.query.end() ? std::string() : found->second;
}

std::optional<std::uint32_t> number(const std::string& text, std::uint32_t max) {
    std::uint32_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value > max) {
        return std::nullopt;
    }
    return value;
}

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
        auto parsed = number(port, 65535);
        if (!parsed) {
            return error_answer(400, "port: expected 1..65535, found '" + port + "'");
        }
        query.port = static_cast<std::uint16_t>(*parsed);
    }
    Result<Json> found = backend.explain(query);
    return found ? json_answer(*found) : error_answer(404, found.error().text());
}

Answer history(Backend& backend, const Request& request) {
    std::size_t limit = kHistoryDefault;
    if (std::string text = parameter(request, "limit"); !text.empty()) {
        auto parsed = number(text, kHistoryMax);
        if (!parsed) {
            return error_answer(400, "limit: expected 0.." + std::to_string(kHistoryMax) + ", found '" + text + "'");
        }
        limit = *parsed;
    }
    Result<Json> rows = backend.history(limit);
    return rows ? json_answer(*rows) : error_answer(503, rows.error().text());
}

Answer apply(Backend& backend, const Request& request) {
    ApplyRequest wanted{.documents = request.body,
                        .file = parameter(request, "file"),
                        .message = parameter(request, "message"),
                        .peer = request.peer};
    std::string dry = parameter(request, "dry_run");
    if (!dry.empty() && dry != "0" && dry != "1") {
        return error_answer(400, "dry_run: expected 0 or 1, found '" + dry + "'");
    }
    wanted.dry_run = dry == "1";
    if (wanted.file.empty()) {
        wanted.file = "apply";
    }
    return backend.apply(wanted);
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
    if (path == "/v1/history") {
        return history(backend, request);
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
        return request.path == "/v1/apply" ? error_answer(405, "/v1/apply takes POST") : get(backend, request);
    }
    if (request.door == Door::kTcp) {
        return error_answer(405, "this port is read-only: use the Unix socket in the run directory");
    }
    if (request.method == "POST" && request.path == "/v1/apply") {
        return apply(backend, request);
    }
    return error_answer(405, request.method + " is not allowed on " + request.path);
}

}  // namespace sluice::admin
