// What the mesh would do with one request, without an agent: by the very code of the proxy lane. For rule tests, diff
// and explain. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/http_rule.h"
#include "model/mesh.h"

namespace sluice::verify {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Question {
    std::string host;        // as a client dials it: a service's name or virtual address
    std::uint16_t port = 0;  // 0: the only HTTP port, else the only port
    std::string method = "GET", path = "/";
    // Beyond Host, which is what was dialled (with the port unless it is 80) if it is not among these.
    Fields headers{};
    std::string client_namespace = "default";
    config::Labels client_labels{};
};

// A destination that may get the request.
struct Upstream {
    std::string name;    // the subset, or the host where there is none; "host/subset" where rules mix hosts
    double share = 0;    // 0..1
    bool exists = true;  // false: a dangling reference (--references warn); its share is refused (NC)
    // As the endpoint would get it; values that depend on the moment (request id) are left out.
    std::string target;
    Fields headers{};
    // What the rule makes of an answer 200 without fields, as the client gets it.
    Fields response_headers{};
};

struct Mirror {
    std::string name;  // as Upstream::name
    double share = 1;  // 0..1
};

struct Answer {
    model::ServicePortPtr service;  // whose rules decide: the Host's on the proxy lane, else the one that was dialled
    model::Lane lane = model::Lane::kDirect;
    std::vector<std::string> lane_reasons{};
    const model::HttpRoute* rule = nullptr;  // null: no rule matched (NR), or not an HTTP port
    std::optional<std::uint32_t> element{};  // the element of the rule's `match` that held; empty: it has none
    std::string route{};                     // Envoy's route name; empty: none
    // Shares of the destinations, 0..1; of a keyed experiment with the key in the request just one with 1. Static: no
    // health, so no ejection and no on-subset-down. On the direct lane of connections. Names are unique.
    std::vector<std::pair<std::string, double>> subsets{};
    std::string experiment{}, arm{};  // of a keyed experiment; empty: none, or the request has no key
    std::optional<std::uint32_t> bucket{};
    int status = 0;          // of a local answer (redirect, directResponse, no route: 404, abort); 0: it is forwarded
    std::string location{};  // of a redirect
    // What is in force, with Istio's defaults. On the direct lane nothing of it acts.
    std::chrono::nanoseconds timeout{0};  // 0: none
    std::uint32_t retries = 0;            // beyond the first try
    std::chrono::nanoseconds per_try_timeout{0};
    config::RetryConditions retry_on{};
    std::vector<Mirror> mirrors{};
    // In the rule's order, those with a share.
    std::vector<Upstream> upstreams{};
    // Of the one with the largest share, the first of several.
    std::string target{};
    Fields headers{};
};

// Answers questions on one mesh as it is now; later changes of the mesh are not seen. Clients of namespaces that the
// mesh does not know (Options::client_namespaces, WorkloadEntries) see what all see. Any thread may ask.
class Oracle {
  public:
    // Errors: a rule that the proxy lane cannot compile.
    static Result<Oracle> make(const model::Mesh& mesh) { return make(mesh.services()); }
    static Result<Oracle> make(const std::map<model::ServicePortKey, model::ServicePortPtr>& services);
    ~Oracle();
    Oracle(Oracle&&) noexcept;
    Oracle& operator=(Oracle&&) noexcept;
    // Errors: no such service, several ports, a request that no client could send. Pointers in the answer are good as
    // long as its `service`.
    Result<Answer> ask(const Question& question) const;

  private:
    struct Impl;
    explicit Oracle(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::verify
