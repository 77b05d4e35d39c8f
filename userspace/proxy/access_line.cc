#include "proxy/access_line.h"

#include <charconv>

#include "model/mesh.h"
#include "proxy/log_text.h"

namespace sluice::proxy {

namespace {

// An operator's value in text.
void append_text(std::string& out, std::string_view value) {
    if (value.empty()) {
        out += '-';
        return;
    }
    for (const char c : value) {
        const auto octet = static_cast<unsigned char>(c);
        if (octet < 0x20 || octet == 0x7f || c == '"' || c == '\\') {
            out.append({'\\', 'x', kHexDigits[octet >> 4], kHexDigits[octet & 15]});
        } else {
            out += c;
        }
    }
}

// "name":"value", or null.
void append_json(std::string& out, std::string_view name, std::string_view value) {
    out.append("\"").append(name).append("\":");
    if (value.empty()) {
        out += "null,";
        return;
    }
    out += '"';
    append_json_text(out, value);
    out += "\",";
}

void append_json(std::string& out, std::string_view name, std::uint64_t value) {
    out.append("\"").append(name).append("\":");
    append_number(out, value);
    out += ',';
}

// As Envoy writes values with blanks into fields that end with one.
std::string_view without_blanks(std::string_view value, std::string& out) {
    out.assign(value);
    for (char& c : out) {
        c = c == ' ' || c == '\t' ? '_' : c;
    }
    return out;
}

// The path with its query, as sent: both are views of one target.
std::string_view path_of(const http::RequestHead& head) {
    return head.has_query ? std::string_view(head.path.data(), head.path.size() + 1 + head.query.size()) : head.path;
}

}  // namespace

struct AccessLine::Values {
    std::string_view start_time, method, path, protocol, flags, details, transport_failure, forwarded_for, user_agent,
        request_id, authority, upstream_host, upstream_cluster, upstream_local, downstream_local, downstream_remote,
        route;
    std::uint64_t code = 0, received = 0, sent = 0, duration = 0;
    char service_time[24];
    std::size_t service_time_size = 0;

    std::string_view upstream_time() const { return {service_time, service_time_size}; }
};

AccessLine::Values AccessLine::values(const Record& record, std::int64_t started_unix_ns) {
    Values out;
    out.start_time = time_.text(started_unix_ns);
    const http::RequestHead& head = *record.request;
    out.method = head.method;
    out.path = path_of(head);
    out.protocol = head.minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
    out.code = static_cast<std::uint64_t>(record.status);
    flags_.clear();
    write_flags(record.flags, flags_);
    out.flags = flags_;
    out.details = without_blanks(record.details, details_);
    out.transport_failure = without_blanks(record.upstream_failure, failure_);
    out.received = record.received_body;
    out.sent = record.sent_body;
    out.duration = (record.ended_ns - record.started_ns) / 1'000'000;
    if (record.response != nullptr && record.service_time_ms != UINT64_MAX) {
        char* const begin = out.service_time;
        out.service_time_size = static_cast<std::size_t>(
            std::to_chars(begin, begin + sizeof out.service_time, record.service_time_ms).ptr - begin);
    }
    out.forwarded_for = head.value("x-forwarded-for", for_).value_or("");
    out.user_agent = head.value("user-agent", agent_).value_or("");
    out.request_id = record.request_id;
    out.authority = record.authority;
    out.upstream_host = record.upstream_address;
    if (record.cluster != nullptr) {
        out.upstream_cluster = record.cluster->model().name;
    }
    out.upstream_local = record.upstream_local_address;
    out.downstream_local = record.downstream_local_address;
    out.downstream_remote = record.downstream_remote_address;
    if (record.rule != nullptr) {
        out.route = record.rule->name;
    }
    return out;
}

// [%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%
// %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED%
// %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%"
// "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS%
// %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%
void AccessLine::write_text(const Values& v, std::string& out) {
    const auto text = [&out](std::string_view before, std::string_view value) {
        out += before;
        append_text(out, value);
    };
    const auto number = [&out](std::uint64_t value) {
        out += ' ';
        append_number(out, value);
    };
    text("[", v.start_time);
    text("] \"", v.method);
    text(" ", v.path);
    text(" ", v.protocol);
    out += '"';
    number(v.code);
    text(" ", v.flags);
    text(" ", v.details);
    text(" - \"", v.transport_failure);
    out += '"';
    number(v.received);
    number(v.sent);
    number(v.duration);
    text(" ", v.upstream_time());
    text(" \"", v.forwarded_for);
    text("\" \"", v.user_agent);
    text("\" \"", v.request_id);
    text("\" \"", v.authority);
    text("\" \"", v.upstream_host);
    text("\" ", v.upstream_cluster);
    text(" ", v.upstream_local);
    text(" ", v.downstream_local);
    text(" ", v.downstream_remote);
    text(" - ", v.route);
    out += '\n';
}

void AccessLine::write_json(const Values& v, std::string& out) {
    out += '{';
    append_json(out, "start_time", v.start_time);
    append_json(out, "route_name", v.route);
    append_json(out, "method", v.method);
    append_json(out, "path", v.path);
    append_json(out, "protocol", v.protocol);
    append_json(out, "response_code", v.code);
    append_json(out, "response_flags", v.flags);
    append_json(out, "response_code_details", v.details);
    append_json(out, "connection_termination_details", std::string_view());
    append_json(out, "bytes_received", v.received);
    append_json(out, "bytes_sent", v.sent);
    append_json(out, "duration", v.duration);
    append_json(out, "upstream_service_time", v.upstream_time());
    append_json(out, "x_forwarded_for", v.forwarded_for);
    append_json(out, "user_agent", v.user_agent);
    append_json(out, "request_id", v.request_id);
    append_json(out, "authority", v.authority);
    append_json(out, "upstream_host", v.upstream_host);
    append_json(out, "upstream_cluster", v.upstream_cluster);
    append_json(out, "upstream_local_address", v.upstream_local);
    append_json(out, "downstream_local_address", v.downstream_local);
    append_json(out, "downstream_remote_address", v.downstream_remote);
    append_json(out, "requested_server_name", std::string_view());
    append_json(out, "upstream_transport_failure_reason", v.transport_failure);
    out.back() = '}';
    out += '\n';
}

void AccessLine::write(const Record& record, std::int64_t started_unix_ns, std::string& out) {
    const Values values = this->values(record, started_unix_ns);
    if (format_ == LogFormat::kText) {
        write_text(values, out);
    } else {
        write_json(values, out);
    }
}

}  // namespace sluice::proxy
