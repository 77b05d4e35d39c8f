// The kinds Sluice reads, as parsed: one struct a kind, Istio's and Kubernetes' field names, nothing resolved yet.
//
// Field semantics, defaults and units: DESIGN.md names the sources. Durations are std::chrono::nanoseconds. Absent
// optional blocks stay absent (std::optional): layering is the model's work. Every value that a later stage may have to
// complain about carries its Place.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "config/boxed.h"
#include "config/canary.h"
#include "config/place.h"

namespace sluice::config {

struct HttpRule;  // http_rule.h

using Labels = std::map<std::string, std::string>;

enum class Kind {
    kVirtualService,
    kDestinationRule,
    kServiceEntry,
    kWorkloadEntry,
    kService,
    kEndpointSlice,
    kExperiment,
    kCanary,
};
const char* kind_name(Kind kind);

// The name under which an object is replaced: kind (in any API version), namespace, name.
struct ObjectKey {
    Kind kind = Kind::kService;
    std::string ns;
    std::string name;
    auto operator<=>(const ObjectKey&) const = default;
    std::string text() const;  // "VirtualService ml-serving/content-ranking"
};

// sluice.dev/* annotations, checked. Unknown sluice.dev/ keys and values are errors at parse time.
enum class Split : std::uint8_t { kUnset, kRequest, kConnection };
enum class LaneChoice : std::uint8_t { kAuto, kDirect, kKernel, kProxy };
enum class OnSubsetDown : std::uint8_t { kUnset, kFail, kSpill };
enum class LimitScope : std::uint8_t { kUnset, kClient, kNode };
enum class Drain : std::uint8_t { kUnset, kNone, kIdle, kNow };  // ordered by how much they end
const char* drain_name(Drain drain);                             // as in the annotation; kUnset is none
struct Annotations {
    Split split = Split::kUnset;
    LaneChoice lane = LaneChoice::kAuto;
    bool lane_set = false;
    OnSubsetDown on_subset_down = OnSubsetDown::kUnset;
    LimitScope limit_scope = LimitScope::kUnset;
    Drain drain = Drain::kUnset;
    std::string cgroup;  // sluice.dev/cgroup, WorkloadEntry only: absolute path, or relative to the cgroup2 mount
    Place cgroup_place;
};

struct Metadata {
    std::string name;
    std::string ns;  // "default" when the document gives none
    Labels labels;
    Annotations annotations;
    std::string creation_timestamp;  // RFC 3339 text or empty; orders rules that compete for a host, oldest first
};

// exportTo: empty = all; otherwise "." resolved to the own namespace, "*" = all (kept alone), "~" = none.
struct ExportTo {
    bool all = true;
    std::vector<std::string> namespaces;  // when !all; empty: exported to nobody
    bool visible_in(const std::string& ns) const;
};

// ---- VirtualService -------------------------------------------------------------------------------------------
struct RouteDestination {
    std::string host;  // as written; short names are resolved by the model with the rule's namespace
    Place host_place;
    std::string subset;  // empty: none
    Place subset_place;
    std::uint16_t port = 0;  // 0: not given
    Place port_place;
    std::optional<std::uint32_t> weight;
    Place place;
};
// A rule of a VirtualService: weighted destinations, and what else an HTTP rule says.
struct WeightedRule {
    std::string name;  // HTTPRoute.name; empty for tcp
    std::vector<RouteDestination> destinations;
    Place place;
    // What of an HTTP rule only a request lane can do (http_rule.h); null: nothing. With redirect or directResponse in
    // it `destinations` is empty.
    std::shared_ptr<const HttpRule> http;
    // The first thing in the rule that needs a request lane (match, timeout, retries, …), as FIELD path and advice;
    // the parser keeps it as a fact instead of an error, so that the lane choice can say why. Empty: nothing. Of http
    // rules: empty exactly when `http` is null.
    std::string needs_request_lane;
    Place needs_place;
};
struct VirtualService {
    std::vector<std::string> hosts;  // as written, at least one
    std::vector<Place> host_places;
    std::vector<WeightedRule> http;
    std::vector<WeightedRule> tcp;
    ExportTo export_to;
};

// ---- DestinationRule ------------------------------------------------------------------------------------------
// consistentHash's key where it is in the request.
struct HashKey {
    enum class Kind : std::uint8_t { kHeader, kCookie, kQuery } kind = Kind::kHeader;
    std::string name;  // of a header in lower case, else as written
    // Cookies: `ttl` present: one is set in answers to requests without it; 0: a session cookie.
    std::string path;
    std::optional<std::chrono::nanoseconds> ttl;
    std::vector<std::pair<std::string, std::string>> attributes;
    bool operator==(const HashKey&) const = default;
};
struct Warmup {
    std::chrono::nanoseconds duration{0};
    double minimum_percent = 10;
    double aggression = 1.0;
    bool operator==(const Warmup&) const = default;
};
// connectionPool.http, and of connectionPool.tcp what only a request lane can do.
struct HttpPool {
    static constexpr std::uint32_t kUnlimited = 0xffffffff;
    std::uint32_t max_pending = kUnlimited;                         // http1MaxPendingRequests
    std::uint32_t max_requests = kUnlimited;                        // http2MaxRequests: of any version
    std::uint32_t max_retries = kUnlimited;                         // at once
    std::uint32_t max_requests_per_connection = 0;                  // 0: no limit
    std::chrono::nanoseconds idle_timeout = std::chrono::hours(1);  // 0: none
    std::optional<std::chrono::nanoseconds> max_connection_duration;
    bool h2_upgrade = false;  // h2UpgradePolicy: UPGRADE
    bool operator==(const HttpPool&) const = default;
};
enum class SimpleLb { kLeastRequest, kRoundRobin, kRandom };
struct LoadBalancer {
    SimpleLb simple = SimpleLb::kLeastRequest;
    bool source_ip_hash = false;     // consistentHash.useSourceIp
    bool maglev = false;             // consistentHash.maglev instead of ringHash
    std::uint32_t table_size = 0;    // ringHash.minimumRingSize (default 1024) or maglev.tableSize (default 65537)
    std::optional<HashKey> key;      // consistentHash by the request; `simple` then says nothing
    std::optional<Warmup> warmup;    // only with LEAST_REQUEST and ROUND_ROBIN
    std::string needs_request_lane;  // the first field that does, as FIELD path and advice; empty: none
    Place place;
};
struct TcpKeepalive {
    std::uint32_t probes = 0;
    std::chrono::nanoseconds time{0};
    std::chrono::nanoseconds interval{0};
};
struct ConnectionPool {
    std::optional<std::uint32_t> max_connections;
    std::optional<std::chrono::nanoseconds> connect_timeout;
    std::optional<TcpKeepalive> keepalive;
    HttpPool http;
    std::string needs_request_lane;  // the first field that does, as FIELD path and advice; empty: none
    // The same of tcp.idleTimeout and tcp.maxConnectionDuration, which mean something on TCP ports too.
    std::string needs_tcp_proxy;
    Place place;
};
struct OutlierDetection {
    std::optional<std::uint32_t> consecutive_5xx;      // default 5, 0 off
    std::optional<std::uint32_t> consecutive_gateway;  // default off
    bool split_local_origin = false;
    std::optional<std::uint32_t> consecutive_local;  // default 5, only with split
    std::chrono::nanoseconds interval = std::chrono::seconds(10);
    std::chrono::nanoseconds base_ejection = std::chrono::seconds(30);
    std::uint32_t max_ejection_percent = 10;
    std::uint32_t min_health_percent = 0;
    Place place;
};
struct PolicyBlocks {
    std::optional<LoadBalancer> load_balancer;
    std::optional<ConnectionPool> connection_pool;
    std::optional<OutlierDetection> outlier;
};
struct TrafficPolicy {
    PolicyBlocks blocks;
    std::map<std::uint16_t, PolicyBlocks> port_level;  // portLevelSettings by port number
};
struct Subset {
    std::string name;
    Labels labels;
    Boxed<TrafficPolicy> policy;
    Place place;
};
struct DestinationRule {
    std::string host;
    Place host_place;
    Boxed<TrafficPolicy> policy;
    std::vector<Subset> subsets;
    ExportTo export_to;
};

// ---- Experiment -----------------------------------------------------------------------------------------------
// A sticky split: the destinations of a VirtualService's rule take consecutive ranges of buckets by their weights, and
// the key of a request falls into one: the first 8 hex digits of MD5("KEY:name") modulo `buckets`.
struct Experiment {
    std::string host;  // as written; short names by the own namespace
    Place host_place;
    std::string route;  // HTTPRoute.name of the rule; empty: every rule of the host that has several destinations
    Place route_place;
    std::string name;  // what is hashed behind the key: metadata.name unless given
    HashKey key;       // kind and name only; a header's in lower case
    std::uint32_t buckets = 100;
    // The arms' own weights, in the order of their buckets; empty: the weights of the rule's destinations.
    struct Arm {
        std::string name;    // label of metrics and exposures; the subset unless given
        std::string subset;  // of a destination of the rule
        std::uint32_t weight = 0;
        Place place;
    };
    std::vector<Arm> arms;
    // Which assignments are written into the exposure log; absent: none.
    struct Exposure {
        std::uint32_t share = 1'000'000;  // of the keys, of a million: a key is in or out for good
        bool plain = false;               // the key as it came; else its MD5, in which it was assigned
    };
    std::optional<Exposure> exposure;
    Place place;
};

// ---- Services and endpoints -----------------------------------------------------------------------------------
enum class PortProtocol { kTcp, kHttp, kHttp2, kHttps, kTls, kGrpc, kGrpcWeb };  // UDP is refused by name
const char* protocol_name(PortProtocol protocol);
bool is_http(PortProtocol protocol);   // kHttp, kHttp2, kGrpc, kGrpcWeb
bool is_http1(PortProtocol protocol);  // kHttp, kGrpcWeb: clients are expected to speak HTTP/1

struct ServicePort {
    std::uint16_t number = 0;
    std::string name;
    PortProtocol protocol = PortProtocol::kTcp;
    std::uint16_t target_port = 0;  // 0: same as number
    std::string target_port_name;   // Service only: named targetPort, resolved through EndpointSlice port names
    Place place;
};

// Port numbers by port name: one pointer when empty, shared when not. Reads like a const std::map.
class PortMap {
  public:
    using Map = std::map<std::string, std::uint16_t>;
    PortMap() = default;
    PortMap(Map map) : map_(map.empty() ? nullptr : std::make_shared<const Map>(std::move(map))) {}
    PortMap(std::initializer_list<Map::value_type> ports) : PortMap(Map(ports)) {}
    explicit PortMap(std::shared_ptr<const Map> map) : map_(std::move(map)) {}

    const Map& map() const;
    bool empty() const { return !map_; }
    std::size_t size() const { return map().size(); }
    Map::const_iterator begin() const { return map().begin(); }
    Map::const_iterator end() const { return map().end(); }
    Map::const_iterator find(const std::string& name) const { return map().find(name); }
    bool contains(const std::string& name) const { return map().contains(name); }
    std::uint16_t at(const std::string& name) const { return map().at(name); }
    bool operator==(const PortMap& other) const { return map_ == other.map_ || map() == other.map(); }

  private:
    std::shared_ptr<const Map> map_;  // null: empty
};

// One endpoint of a ServiceEntry, an EndpointSlice, or a WorkloadEntry's own body. Label maps are shared: a hundred
// thousand endpoints have few distinct ones.
struct Endpoint {
    IpAddress address;
    PortMap ports;                         // by port name; empty: the service's target port
    std::shared_ptr<const Labels> labels;  // never null
    std::string service_account;
    bool ready = true;         // takes new connections
    bool terminating = false;  // keeps its connections, gets no new one
    Place place;
};

struct ServiceEntry {  // resolution STATIC
    std::vector<std::string> hosts;
    std::vector<Place> host_places;
    std::vector<IpAddress> addresses;  // virtual addresses
    std::vector<Place> address_places;
    std::vector<ServicePort> ports;
    std::vector<Endpoint> endpoints;          // inline, or
    std::optional<Labels> workload_selector;  // WorkloadEntries of the own namespace by label
    ExportTo export_to;
};

struct WorkloadEntry {
    Endpoint endpoint;  // address, ports, labels (metadata labels and spec labels merged), service account
    bool has_address = true;
};

struct Service {                         // Kubernetes
    std::vector<IpAddress> cluster_ips;  // empty for headless
    std::vector<Place> cluster_ip_places;
    std::vector<ServicePort> ports;
    Labels selector;
    ExportTo export_to;  // annotation networking.istio.io/exportTo
};

// Kubernetes discovery.k8s.io/v1. Its endpoints carry no labels of their own, and pods are not read: their labels are
// the slice's metadata.labels, without kubernetes.io/service-name, endpointslice.kubernetes.io/* and
// service.kubernetes.io/headless. So one slice a version makes subsets work. An endpoint with several addresses becomes
// several endpoints.
struct EndpointSlice {
    std::string service;                         // label kubernetes.io/service-name
    std::map<std::string, std::uint16_t> ports;  // by name; "" for an unnamed port
    std::vector<Endpoint> endpoints;
};

using Spec = std::variant<VirtualService, DestinationRule, ServiceEntry, WorkloadEntry, Service, EndpointSlice,
                          Experiment, Canary>;

// One parsed document. Immutable once parsed; shared between generations.
struct Object {
    ObjectKey key;
    Metadata meta;
    Spec spec;
    std::string file;  // path as given to the parser
    Place place;       // first line of the document's content
    // Byte range of the document in its file: from the start of its first line with content to the end of its last one,
    // newline included; separator lines and the comment and blank lines around the document are outside. Putting the
    // bytes of another document's range in its place replaces exactly this document.
    // For an item of a List the range is the item alone, from behind its "- "; a replacement needs every line but the
    // first indented by `item_column` blanks, and one written in flow style (`item_flow`, JSON) needs a flow mapping.
    std::size_t begin = 0;
    std::size_t end = 0;
    bool list_item = false;
    bool item_flow = false;
    int item_column = 0;
    std::uint64_t digest = 0;  // XXH3-64 of those bytes: equal digest and file means unchanged
};
using ObjectPtr = std::shared_ptr<const Object>;

}  // namespace sluice::config
