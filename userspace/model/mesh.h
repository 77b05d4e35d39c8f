// The snapshot: services, routes, clusters and endpoints as every rule together says, for every scope. Pure: no I/O,
// no clock, no kernel. Values are immutable and shared, so a new snapshot costs what changed.
//
// Where Istio leaves room, this is what holds:
//   hosts      A host without a dot in a rule of namespace NS means HOST.NS.svc.cluster.local. If no service has that
//   name,
//              it means a ServiceEntry whose host is exactly the short name: a convenience beyond Istio.
//   services   Several objects may declare one host and port in different namespaces: a scope sees its own namespace's,
//   else
//              a Kubernetes Service, else the oldest. Within one namespace that is an error. A service without a
//              virtual address can be a destination but is not in services().
//   rules      The VirtualService of a host is the first by: private to the client's namespace, exported to it by name,
//   for
//              all; then oldest, name, namespace. http rules act on HTTP ports, tcp rules on all others.
//   endpoints  Those not ready or terminating stay in the cluster with accepts_new = false.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "base/identity.h"
#include "base/ip.h"
#include "config/http_rule.h"
#include "config/objects.h"
#include "sluice/abi/tables.h"

namespace sluice::model {

enum class Lane { kDirect, kKernel, kProxy };
const char* lane_name(Lane lane);

// Names of a workload as Istio's metrics label it; "unknown" where nothing is known (canonical_revision: "latest").
struct Workload {
    std::string ns, name, app, version, canonical_service, canonical_revision, service_account;
    std::string principal;  // spiffe://cluster.local/ns/<ns>/sa/<sa> or "unknown"
    Identity id;            // of its canonical name; what tables and flow keys refer to
};
using WorkloadPtr = std::shared_ptr<const Workload>;

// A client: processes in a cgroup that act as a workload (WorkloadEntry with sluice.dev/cgroup).
struct Client {
    WorkloadPtr workload;
    config::Labels labels;  // of the WorkloadEntry: what sourceLabels are compared with
    std::string ns;         // its scope: what this namespace sees
    std::string cgroup;     // as written
    config::ObjectPtr source;
};

struct Endpoint {
    IpAddress address;
    std::uint16_t port = 0;
    bool accepts_new = true;  // false: terminating or not ready; it is in the cluster but not in its endpoint list
    WorkloadPtr workload;
    auto operator==(const Endpoint& o) const {
        return address == o.address && port == o.port && accepts_new == o.accepts_new && workload->id == o.workload->id;
    }
};

// Service port + subset, shaped by one DestinationRule (or none).
struct Cluster {
    std::string name;  // "outbound|8080|v45|content-ranking.ml-serving.svc.cluster.local", as in Envoy
    std::string host, subset;
    std::uint16_t port = 0;
    std::string service_name, service_namespace;  // metric labels destination_service_name / _namespace
    Identity id;                                  // of name + the DestinationRules that shape it
    sl_load_balancer load_balancer = SL_LB_LEAST_REQUEST;
    std::uint32_t hash_table_size = 0;  // ring: minimum size; Maglev: table size
    std::uint32_t max_connections = SL_UNLIMITED;
    std::uint32_t connect_timeout_ms = 10'000;  // Istio's mesh default; 0 never occurs
    std::optional<config::TcpKeepalive> keepalive;
    std::optional<config::OutlierDetection> outlier;
    bool limit_node = false;
    bool http = false;     // an HTTP port: its answers are watched
    bool answers = false;  // its clients are expected to speak HTTP/1: only an answer ends a run of failures
    // What becomes of open connections to an endpoint that is ejected; never kUnset. As the DestinationRules say, else
    // the service.
    config::Drain drain = config::Drain::kNone;
    std::vector<Endpoint> endpoints;  // sorted by (IPv4 first, address, port), unique
    // What request lanes act on besides.
    config::HttpPool pool;
    // Where consistentHash's key is in the request; null with a hashing load balancer: the client's address is the key.
    std::optional<config::HashKey> hash_key;
    std::optional<config::Warmup> warmup;
    std::vector<config::ObjectPtr> sources;
};
using ClusterPtr = std::shared_ptr<const Cluster>;

struct Destination {
    ClusterPtr cluster;  // null: NC (dangling reference, accepted with a warning)
    std::uint32_t weight = 0;
    std::string text;  // host/subset as written, for people
};

// One rule of a request lane, with its destinations resolved.
struct HttpRoute {
    config::ObjectPtr source;                    // the VirtualService that `rule` belongs to, or null
    const config::WeightedRule* rule = nullptr;  // null: the plain service, as after a rule without match
    std::vector<Destination> destinations;       // as the rule's; empty with redirect or directResponse
    std::vector<Destination> mirrors;            // as rule->http->mirrors; weights do not count
    // The rule's name, or "default" for the plain service: what Envoy calls the route when the element of `match` that
    // matched has no name of its own (route_name()).
    std::string name;
    // Indexes into rule->http->matches: elements that can match on this port, in this scope. The rest was decided here
    // (port, gateways, sourceNamespace); sourceLabels are left to whoever knows the client, unless gateways_given.
    std::vector<std::uint32_t> matches;
    // Every request of every client matches: it has no match, or its last element asks for nothing. The last rule then.
    bool catch_all = false;
    // The sticky split of `destinations`, and the object that it belongs to; null: they are drawn by weight.
    const config::Experiment* experiment = nullptr;
    config::ObjectPtr experiment_source;
};

// What a client that dials this port gets. On a request lane `destinations` are those of the first rule that matches
// everything, for a client that finds no proxy in its namespace; empty: there is none, and it is refused.
struct Route {
    std::vector<Destination> destinations;  // at least one, unless no_fallback is set
    bool spill = false;
    // What becomes of open connections that this route would place elsewhere; never kUnset. As the VirtualService says,
    // else the DestinationRules of its destinations, else the service.
    config::Drain drain = config::Drain::kNone;
    Lane lane = Lane::kDirect;
    std::vector<std::string> lane_reasons;  // the first rule that ruled out each cheaper lane, or why direct is enough
    config::Split split = config::Split::kUnset;
    config::ObjectPtr source;  // the VirtualService, or null: the plain service
    // HTTP ports, where the proxy lane is available: rules in order, those that no client of this scope can reach left
    // out. Also on the direct lane, for requests that come to the proxy all the same (--listen, or another service's
    // connection whose Host field names this one). A last rule without `rule` behind others is the plain service for
    // clients whose labels fit no element of any rule: as in Istio those have no VirtualService; to all others, what
    // matches nothing has no route.
    std::vector<HttpRoute> http;
    // Request lanes: why a client without a proxy must be refused rather than get `destinations`; empty: it need not.
    std::string no_fallback;
};
using RoutePtr = std::shared_ptr<const Route>;

// Every cluster that a route names, in destinations, rules and mirrors; each once, in that order.
std::vector<ClusterPtr> clusters_of(const Route& route);
// Envoy's name of a route when the element of `match` with that index matched (ignored without match):
// "<rule>.<element>", or the one name there is.
std::string route_name(const HttpRoute& route, std::size_t element);

// One port of one service as one scope sees it.
struct ServicePort {
    std::string scope;  // "" = what all see, else a namespace whose view differs
    std::string host;   // FQDN
    std::string service_name, service_namespace;
    std::vector<IpAddress> addresses;
    std::uint16_t port = 0;
    config::PortProtocol protocol = config::PortProtocol::kTcp;
    RoutePtr route;
    config::ObjectPtr service;  // ServiceEntry or Service
};
using ServicePortPtr = std::shared_ptr<const ServicePort>;

// (scope, host, port) orders services everywhere they are listed.
struct ServicePortKey {
    std::string scope, host;
    std::uint16_t port = 0;
    auto operator<=>(const ServicePortKey&) const = default;
};

// One replaced (object set) or removed (object null) document.
struct Change {
    config::ObjectKey key;
    config::ObjectPtr object;
};

// What one change did. Keys in `removed` are no longer in the snapshot; `changed` are new or have other content.
struct Delta {
    std::vector<ServicePortPtr> changed;
    std::vector<ServicePortKey> removed;
    bool clients_changed = false;
    Diagnostics warnings;
    std::vector<Change> undo;  // applied, takes this change back
};

struct Options {
    bool references_warn = false;            // --references warn
    std::vector<Lane> lanes{Lane::kDirect};  // lanes that are available
    // Namespaces of clients that no WorkloadEntry names (--client): they get scopes of their own too.
    std::vector<std::string> client_namespaces{};
};

// All objects and the services they make. Not thread-safe; one writer.
class Mesh {
  public:
    explicit Mesh(Options options);
    ~Mesh();
    Mesh(Mesh&&) noexcept;
    Mesh& operator=(Mesh&&) noexcept;

    // Applies all changes or none. Errors (dangling references, conflicts, lanes that cannot honour a rule, …) leave
    // the mesh as it was. Work is proportional to the services that the changes touch.
    std::expected<Delta, Diagnostics> apply(std::span<const Change> changes);
    // What apply() would return; the mesh stays as it is.
    std::expected<Delta, Diagnostics> preview(std::span<const Change> changes);

    const std::map<ServicePortKey, ServicePortPtr>& services() const;
    const std::map<config::ObjectKey, config::ObjectPtr>& objects() const;
    std::vector<Client> clients() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::model
