// What is known of a request when it is over: what metrics, access log and samples are made of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/head.h"
#include "proxy/routing.h"

namespace sluice::proxy {

// Envoy's response flags, as many as apply.
enum class Flag : std::uint32_t {
    kNoHealthyUpstream = 1u << 0,                // UH
    kUpstreamConnectionFailure = 1u << 1,        // UF
    kUpstreamOverflow = 1u << 2,                 // UO
    kUpstreamConnectionTermination = 1u << 3,    // UC
    kUpstreamProtocolError = 1u << 4,            // UPE
    kUpstreamRequestTimeout = 1u << 5,           // UT
    kUpstreamRetryLimitExceeded = 1u << 6,       // URX
    kNoRoute = 1u << 7,                          // NR
    kNoCluster = 1u << 8,                        // NC
    kDownstreamConnectionTermination = 1u << 9,  // DC
    kDelayInjected = 1u << 10,                   // DI
    kFaultInjected = 1u << 11,                   // FI
    kDownstreamProtocolError = 1u << 12,         // DPE
    kStreamIdleTimeout = 1u << 13,               // SI
    kDurationTimeout = 1u << 14,                 // DT
    kOverload = 1u << 15,                        // OM
    kLocalReset = 1u << 16,                      // LR
};
// "UF,URX", or "-": appended to `out`.
void write_flags(std::uint32_t flags, std::string& out);

// One try, as its endpoint's side sees it (reporter="destination").
struct TryRecord {
    const Client* client = nullptr;
    const Cluster* cluster = nullptr;
    std::uint32_t endpoint = SL_NONE;
    int status = 0;  // 0: no answer
    std::uint32_t flags = 0;
    std::uint64_t started_ns = 0, first_byte_ns = 0, ended_ns = 0;
    std::uint64_t request_bytes = 0, response_bytes = 0;
    bool mirror = false;
};

// Views are good during the call only. Times: CLOCK_MONOTONIC; started: the request's first octet.
struct Record {
    const Client* client = nullptr;
    const VirtualHost* host = nullptr;  // null: none was found
    const Rule* rule = nullptr;         // null: NR, or it did not come so far
    const Cluster* cluster = nullptr;   // that was chosen last
    std::uint32_t endpoint = SL_NONE;
    const http::RequestHead* request = nullptr;
    const http::ResponseHead* response = nullptr;  // the upstream's; null: a local answer, or none
    std::string_view original_path;                // when rewritten
    int status = 0;                                // 0: nothing was sent
    std::uint32_t flags = 0;                       // Flag
    std::string_view details;                      // Envoy's response code details
    std::uint64_t started_ns = 0, request_end_ns = 0, first_byte_ns = 0, ended_ns = 0;  // 0: did not happen
    std::uint64_t service_time_ms = UINT64_MAX;  // x-envoy-upstream-service-time, of `response`; UINT64_MAX: not told
    std::uint64_t request_bytes = 0, response_bytes = 0;  // with heads, as on the client's connection
    std::uint64_t received_body = 0, sent_body = 0;       // without
    std::uint32_t attempts = 0;
    // Of a rule that an Experiment splits, once a destination was chosen. `arm` answered: another one than assigned
    // where on-subset-down: spill let it stand in.
    const Split* split = nullptr;
    const Assigned* assigned = nullptr;  // null: no key, drawn by weight
    std::uint32_t arm = Split::kNoArm;   // only with `assigned`
    std::string_view upstream_address, upstream_local_address, downstream_local_address, downstream_remote_address;
    std::string_view request_id, authority;
    std::string_view upstream_failure;  // transport failure reason
    bool grpc = false;
    int grpc_status = -1;
};

// One a worker; called from its loop.
class Recorder {
  public:
    virtual ~Recorder() = default;
    virtual void finished(const Record& record) = 0;
    virtual void tried(const TryRecord& record) = 0;
    // Mirrors that were not sent, and why; names are metric labels.
    virtual void mirror_skipped(const VirtualHost& host, const Cluster* cluster, const char* why) = 0;
    // A connection or request that was refused before it had a route: refusal_name(), "connections", "header_timeout",
    // …
    virtual void refused(const VirtualHost* host, const char* why) = 0;
};

}  // namespace sluice::proxy
