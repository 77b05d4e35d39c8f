#include "proxy/replies.h"

#include <cstring>

#include "http/writer.h"

namespace sluice::proxy {

std::uint32_t failure_flag(Failure failure) {
    switch (failure) {
        case Failure::kConnectFailure:
        case Failure::kConnectTimeout:
            return bit(Flag::kUpstreamConnectionFailure);
        case Failure::kTermination:
            return bit(Flag::kUpstreamConnectionTermination);
        case Failure::kProtocolError:
            return bit(Flag::kUpstreamProtocolError);
        case Failure::kOverflow:
            return bit(Flag::kUpstreamOverflow);
        case Failure::kNoHealthyUpstream:
            return bit(Flag::kNoHealthyUpstream);
        case Failure::kNoCluster:
            return bit(Flag::kNoCluster);
    }
    return 0;
}

std::string_view failure_reason(Failure failure) {
    switch (failure) {
        case Failure::kConnectFailure:
            return "remote connection failure";
        case Failure::kConnectTimeout:
            return "connection timeout";
        case Failure::kTermination:
            return "connection termination";
        case Failure::kProtocolError:
            return "protocol error";
        case Failure::kOverflow:
            return "overflow";
        case Failure::kNoHealthyUpstream:
        case Failure::kNoCluster:
            return "local reset";
    }
    return "";
}

void write_transport_failure(Failure failure, int error, std::string& out) {
    if (failure == Failure::kConnectFailure && error != 0) {
        out.append("delayed connect error: ").append(std::strerror(error));
    }
}

// Details have no blanks: Envoy writes "_".
static void append_details(std::string_view text, std::string& details) {
    for (const char c : text) {
        details += c == ' ' ? '_' : c;
    }
}

Reply failure_reply(Failure failure, bool retried, std::string_view transport, std::string& body,
                    std::string& details) {
    if (failure == Failure::kNoHealthyUpstream) {
        return {503, bit(Flag::kNoHealthyUpstream), "no healthy upstream", "no_healthy_upstream"};
    }
    if (failure == Failure::kNoCluster) {
        return kNoClusterReply;
    }
    const std::string_view reason = failure_reason(failure);
    body.assign("upstream connect error or disconnect/reset before headers. ");
    body.append(retried ? "retried and the latest reset reason: " : "reset reason: ").append(reason);
    details.assign("upstream_reset_before_response_started{");
    append_details(reason, details);
    if (!transport.empty()) {
        body.append(", transport failure reason: ").append(transport);
        details += '|';
        append_details(transport, details);
    }
    details += '}';
    const int status = failure == Failure::kProtocolError ? 502 : 503;
    return {status, failure_flag(failure), body, details, failure == Failure::kOverflow};
}

void write_cut_details(Failure failure, std::string& details) {
    details.assign("upstream_reset_after_response_started{");
    append_details(failure_reason(failure), details);
    details += '}';
}

int http_status_of_grpc(int grpc_status) {
    switch (grpc_status) {
        case 7:  // PERMISSION_DENIED
            return 403;
        case 12:  // UNIMPLEMENTED
            return 404;
        case 13:  // INTERNAL
            return 400;
        case 14:  // UNAVAILABLE
            return 503;
        case 16:  // UNAUTHENTICATED
            return 401;
        default:
            return 500;
    }
}

void write_refusal(int status, std::string_view body, std::string& out) {
    if (body.empty()) {
        body = http::reason_phrase(status);
    }
    http::write_status_line(out, status);
    http::write_field(out, "content-length", body.size());
    http::write_field(out, "content-type", "text/plain");
    http::write_field(out, "connection", "close");
    http::write_head_end(out);
    out.append(body);
}

}  // namespace sluice::proxy
