// What one scrape looks at: numbers out of the kernel's tables, and the names that stand behind them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compile/publisher.h"
#include "model/mesh.h"
#include "sluice/abi/conn.h"
#include "sluice/abi/http.h"
#include "sluice/abi/tables.h"
#include "telemetry/canary.h"
#include "telemetry/experiment.h"

namespace sluice::telemetry {

// Names by record number and by identity number. A null entry or a number beyond the end is unknown: its objects went
// away, or an earlier agent published it and its rule was not seen since.
struct Names {
    std::vector<model::ClusterPtr> clusters;
    std::vector<model::WorkloadPtr> workloads;

    const model::Cluster* cluster(std::uint32_t number) const {
        return number < clusters.size() ? clusters[number].get() : nullptr;
    }
    const model::Workload* workload(std::uint32_t number) const {
        return number < workloads.size() ? workloads[number].get() : nullptr;
    }
};

// One kernel program; both figures are 0 while kernel.bpf_stats_enabled is off.
struct ProgramRuns {
    std::string name;
    std::uint64_t run_count = 0;
    std::uint64_t run_time_ns = 0;
};

// What the agent knows about itself.
struct AgentFacts {
    std::string version;
    std::uint64_t generation = 0;
    std::uint64_t services = 0;
    std::uint64_t endpoints = 0;
    std::uint64_t config_load_errors = 0;  // failed loads since start
    bool last_load_success = false;
    std::uint64_t applies_done = 0;
    std::uint64_t applies_refused = 0;
    std::uint64_t heartbeat_age_ns = 0;
    std::uint64_t clients_unresolved = 0;  // client cgroups that do not exist now
    std::uint64_t log_suppressed = 0;      // event lines that the rate limit kept out of the log
    std::uint64_t resident_bytes = 0;
};

using RequestRow = std::pair<sl_request_key, sl_request_counts>;

// Sums the rows of the kernel's request counters over their shards.
class RequestSums {
  public:
    // Rows that count nothing are passed over: the overflow row exists before it is needed.
    void add(sl_request_key key, const sl_request_counts& counts);
    // In the order in which they were met, with shard 0. Leaves nothing.
    std::vector<RequestRow> take();

  private:
    struct KeyHash {
        std::size_t operator()(const sl_request_key& key) const;
    };
    struct KeyEqual {
        bool operator()(const sl_request_key& a, const sl_request_key& b) const;
    };
    std::vector<RequestRow> rows_;
    std::unordered_map<sl_request_key, std::size_t, KeyHash, KeyEqual> index_;
};

// What became of connections that sluice.dev/drain was to end; counts since start.
struct Drains {
    std::uint64_t idle = 0;  // ended between two requests
    std::uint64_t now = 0;   // ended at once
    std::uint64_t waiting = 0;
    std::uint64_t unwatched = 0;
    std::vector<std::pair<std::string, std::uint64_t>> failures;  // by reason
};

// A service as labels name it; empty: unknown.
struct ServiceNames {
    std::string host, name, ns, port, subset;
    std::string scope;  // whose rules were followed; no label
    bool operator==(const ServiceNames&) const = default;
};

// What requests of the proxy lane that are counted together have in common.
struct ProxiedLabels {
    enum class Side : std::uint8_t {
        kSource,       // as the client saw it: one a request
        kDestination,  // as a proxy at the endpoint would have seen it: one a try
        kMirror,       // a copy, which no client sees
    } side = Side::kSource;
    bool other = false;         // what found no row of its own; the rest is unknown
    model::WorkloadPtr from;    // null: unknown
    model::WorkloadPtr to;      // null: no endpoint was chosen
    Identity cluster;           // zero: none was chosen
    ServiceNames service;       // of the cluster, else of the host that was asked for
    std::uint16_t status = 0;   // 0: nothing was answered
    std::string flags = "-";    // Envoy's response flags, "-": none
    bool grpc = false;          // by the request's content-type
    std::string grpc_status{};  // empty: not gRPC, or nothing was answered
};

// Rows may repeat: each worker has its own.
struct ProxiedRow : ProxiedLabels {
    sl_request_counts counts{};
};

// What else the proxy lane counted, by service and reason.
struct ProxiedCount {
    enum class What : std::uint8_t {
        kRefused,          // connections and requests that were turned away before they had a route
        kMirrorSkipped,    // copies that were not sent
        kLogDropped,       // lines of the access log that were not written
        kSampleLost,       // finished requests that somebody waited for and that found no room
        kExposureDropped,  // lines of the exposure log that were not written
    } what = What::kRefused;
    ServiceNames service;  // empty: not known
    std::string reason;
    std::uint64_t count = 0;
};

// Everything of one scrape. `tables` points at live memory whose shared words are read atomically; the rest is a copy.
struct Reading {
    Names names;
    sl_tables tables{};
    std::vector<std::pair<sl_flow_key, sl_flow>> flows;
    std::vector<RequestRow> requests;  // one a key
    std::vector<ProxiedRow> proxied;
    std::vector<ProxiedCount> proxied_counts;
    std::vector<ExperimentRow> experiments;
    std::array<std::uint64_t, SL_REASON_COUNT> counters{};
    std::vector<compile::Occupancy> occupancy;
    std::vector<ProgramRuns> programs;
    AgentFacts agent;
    Drains drains;
    std::vector<CanaryFacts> canaries;
    std::vector<RouteWeight> route_weights;
};

// Metric label and Envoy response flag of a reason; "unknown" and "-" for a number that this version does not know.
const char* reason_label(std::uint32_t reason);
const char* reason_flag(std::uint32_t reason);
// The reasons for which a connect is refused before it reaches the network.
bool is_refusal(std::uint32_t reason);
// The reasons for which an endpoint could not be reached.
bool is_connect_failure(std::uint32_t reason);

}  // namespace sluice::telemetry
