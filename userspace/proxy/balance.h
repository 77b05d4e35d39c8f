// Which endpoint gets a try, and what a try's end says of it: the decision core on the tables that both lanes share.
#pragma once

#include <cstdint>
#include <optional>

#include "bpf/lib/random.h"
#include "proxy/upstream.h"

namespace sluice::proxy {

// One worker's. Never blocks; writes only the shared words of the tables.
class Balancer {
  public:
    // Both outlive it. `events` may be empty.
    Balancer(const sl_tables& tables, const Upstreams::Events& events);

    struct Pick {
        std::uint32_t endpoint = 0;
        std::optional<Failure> failure;  // kNoHealthyUpstream, kNoCluster: then nothing is held
    };
    // By the cluster's policy in the generation in force, among endpoints that are not ejected. Endpoints to avoid are
    // drawn again, up to five times (Istio's host_selection_retry_max_attempts); consistentHash then looks under keys
    // derived from the request's, so that a user's second choice is always the same too. Holds the endpoint's `active`
    // words: release() gives them back.
    Pick pick(std::uint32_t cluster, const TryRequest& request, std::uint64_t now_ns);
    void release(std::uint32_t cluster, std::uint32_t endpoint);

    // A try found a connection; a final status came; the endpoint or the way to it failed (enum sl_failure).
    void connected(std::uint32_t endpoint);
    void answered(std::uint32_t cluster, std::uint32_t endpoint, int status, std::uint64_t now_ns);
    void failed(std::uint32_t cluster, std::uint32_t endpoint, std::uint32_t failure, std::uint64_t now_ns);

    // Its record, which is good until the end of the loop's turn; null: no such row.
    const sl_endpoint* endpoint(std::uint32_t number) const;
    // Whether new requests may go there: a listed member of this cluster that is not ejected.
    bool takes_new(std::uint32_t cluster, std::uint32_t endpoint, std::uint64_t now_ns) const;
    const sl_tables& tables() const { return tables_; }

  private:
    void tell(const sl_event& event) const;

    const sl_tables& tables_;
    const Upstreams::Events& events_;
    sl_random seeds_;
};

}  // namespace sluice::proxy
