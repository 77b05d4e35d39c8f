// What the workers decide by: all services of the proxy lane as one immutable value, compiled from the mesh. Pure: no
// descriptor, no clock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/http_rule.h"
#include "http/head.h"
#include "model/mesh.h"
#include "proxy/cluster.h"

namespace sluice::proxy {

// Who asks: the workload of a connection, fixed when it was accepted.
struct Client {
    std::string scope;  // its namespace
    config::Labels labels;
    model::WorkloadPtr workload;  // never null; "unknown" where nothing is known
    std::uint32_t number = 0;     // of the workload
    IpAddress address;            // where it connects from
};

// A request as routing sees it. Views into the head, or into `path`.
struct Asked {
    const http::RequestHead* head = nullptr;
    const Client* client = nullptr;
    std::uint16_t port = 0;  // dialled
    std::string_view path;   // normalised (BASE: dot segments removed, unreserved octets decoded), without query
    std::string_view query;  // undecoded
    bool has_query = false;
    std::string_view scheme;     // of an absolute target, else x-forwarded-proto, else "http"
    std::string_view authority;  // as sent
};

struct Destination {
    ClusterPtr cluster;                                 // null: NC
    const config::HeaderOperations* headers = nullptr;  // null: none
};

// Conditions as config; times in nanoseconds.
struct RetryPolicy {
    std::uint32_t attempts = 2;  // beyond the first
    config::RetryConditions on;
    std::uint64_t per_try_ns = 0;  // 0: none; already dropped when it is not below the timeout
    std::uint64_t backoff_ns = 25'000'000;
    bool avoid_previous = true;
};

// A sticky split (an Experiment): the arm that a request's key falls into. See experiment.h.
struct Split;

// One element of `match` of a rule, as Envoy's routes: what matched is known by it.
struct Rule {
    std::string name;                          // Envoy's route name
    const config::HttpRule* config = nullptr;  // null: plain destinations
    std::vector<Destination> destinations;
    std::vector<sl_destination> columns;  // the alias table of their weights (bpf/lib draws)
    std::uint64_t timeout_ns = 0;         // 0: none
    RetryPolicy retry;
    std::vector<std::pair<ClusterPtr, config::Millionths>> mirrors;  // null: counted, not sent
    bool spill = false;                                              // on-subset-down
    struct Compiled;                                                 // match, rewrites, headers: table_rule.h
    std::shared_ptr<const Compiled> compiled;
    std::shared_ptr<const Split> split;  // null: none
};

// One service port as one scope sees it.
struct VirtualHost {
    model::ServicePortPtr port;
    std::uint32_t service = SL_NONE;  // record number
    std::vector<Rule> rules;

    // The first rule that matches; null: NR. Allocates nothing.
    const Rule* match(const Asked& asked) const;
};

class Table {
  public:
    // What of the publisher is needed; numbers are those of its tables.
    struct Numbers {
        std::function<std::uint32_t(const Identity& cluster)> cluster;
        std::function<std::uint32_t(const model::ServicePortKey& service)> service;
    };
    // Of each service the first rule that cannot be compiled (a regex that RE2 refuses or beyond its budget, an
    // operator that is not supported), as "FILE:LINE:COLUMN: FIELD: message". For admission: build() fails for nothing
    // else.
    static std::vector<std::string> check(std::span<const model::ServicePortPtr> services);
    // Compiles all services that have HTTP rules (Route::http). Hosts that did not change are taken from `previous`
    // (may be null), clusters too, also those that only `previous` used in other hosts.
    static Result<std::shared_ptr<const Table>> build(
        const Table* previous, const std::map<model::ServicePortKey, model::ServicePortPtr>& services,
        const Numbers& numbers);

    // The service that a request on a connection means: `authority` among the hosts that the scope sees on that port
    // (case, port, trailing dot and Istio's short names do not matter), else the one that was dialled; null: neither.
    const VirtualHost* find(std::string_view scope, std::string_view host, std::uint16_t port) const;  // exact host
    const VirtualHost* find(const Client& client, const VirtualHost* dialled, std::uint16_t port,
                            std::string_view authority) const;
    std::span<const std::shared_ptr<const VirtualHost>> hosts() const;

    struct Impl;
    explicit Table(std::unique_ptr<Impl> impl);
    ~Table();

  private:
    std::unique_ptr<Impl> impl_;
};
using TablePtr = std::shared_ptr<const Table>;

}  // namespace sluice::proxy
