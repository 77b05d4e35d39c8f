// Open connections and finished requests as rows. Pure; key order is the column order of tables.
#pragma once

#include <cstdint>
#include <string>

#include "admin/backend.h"
#include "model/mesh.h"
#include "proxy/sampler.h"
#include "sluice/abi/http.h"

namespace sluice::admin {

// What the numbers of a record mean now; null: its rule went away, or was not seen since the agent started.
struct Known {
    model::ServicePortPtr service{};  // of a connection: what was dialled
    model::ClusterPtr cluster{};
    model::WorkloadPtr client{};
};

// `older`: the weights that placed it are no longer those in force. `now_ns`: CLOCK_MONOTONIC.
Json connection_row(const sl_connection& connection, const Known& known, bool older, std::uint64_t now_ns);

// `endpoint` as ADDRESS:PORT; `ended_unix_ns` is the request's end by the wall clock. Of a proxied request `flag` has
// all of Envoy's flags, `reason` is Envoy's response code details when there are any; route and attempts are null for
// others.
Json sample_row(const proxy::Sample& sample, const Known& known, const std::string& endpoint,
                std::int64_t ended_unix_ns);

const char* method_name(std::uint8_t method);
// "yes", "tcp" for a port that is not HTTP, else the reason's label.
const char* watched_text(std::uint32_t watched);
// What may be done to the connection: "open", "busy" (a request is under way), "wanted" (ends after it) or "closed".
const char* gate_text(std::uint32_t gate);
// 2026-11-21T04:05:06.789Z.
std::string unix_time_text(std::int64_t unix_ns);

}  // namespace sluice::admin
