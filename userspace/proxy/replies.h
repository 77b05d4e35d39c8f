// What a client is told when no answer of an endpoint can be passed on: Envoy's local replies, as values. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/record.h"
#include "proxy/upstream.h"

namespace sluice::proxy {

// Views are of constant text, or of the strings that the caller gave.
struct Reply {
    int status = 0;
    std::uint32_t flags = 0;  // Flag
    std::string_view body;
    std::string_view details;  // Envoy's response code details
    bool overloaded = false;   // x-envoy-overloaded
};

inline constexpr std::uint32_t bit(Flag flag) {
    return static_cast<std::uint32_t>(flag);
}

inline constexpr Reply kNoRouteReply{404, bit(Flag::kNoRoute), "", "route_not_found"};
inline constexpr Reply kNoClusterReply{503, bit(Flag::kNoCluster), "", "cluster_not_found"};
inline constexpr Reply kBadPathReply{400, bit(Flag::kDownstreamProtocolError), "", "path_normalization_failed"};
inline constexpr Reply kUpgradeReply{403, 0, "", "upgrade_failed"};
inline constexpr Reply kTimeoutReply{504, bit(Flag::kUpstreamRequestTimeout), "upstream request timeout",
                                     "response_timeout"};
inline constexpr Reply kTryTimeoutReply{504, bit(Flag::kUpstreamRequestTimeout), "upstream request timeout",
                                        "upstream_per_try_timeout"};

// The flag of a failure alone, as a single try has it.
std::uint32_t failure_flag(Failure failure);
// What Envoy calls the reset: "connection termination", …
std::string_view failure_reason(Failure failure);
// Why a connection could not be made, for %UPSTREAM_TRANSPORT_FAILURE_REASON% and bodies: "delayed connect error:
// Connection refused" of an errno; empty: no transport failure.
void write_transport_failure(Failure failure, int error, std::string& out);

// The answer to a client whose last try failed before an answer began. `transport`: as above. `body` and `details` are
// overwritten, and the reply has views of them.
Reply failure_reply(Failure failure, bool retried, std::string_view transport, std::string& body, std::string& details);
// Details of an answer that was cut off because its endpoint failed.
void write_cut_details(Failure failure, std::string& details);

// The HTTP status that Envoy's mapping turns back into this grpc-status, for aborts of gRPC requests.
int http_status_of_grpc(int grpc_status);

// The whole answer to octets that are no request: status, its phrase as text, Connection: close.
void write_refusal(int status, std::string_view body, std::string& out);

}  // namespace sluice::proxy
