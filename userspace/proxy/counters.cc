#include "proxy/counters.h"

#include <arpa/inet.h>

#include <cstring>

#include "bpf/lib/histogram.h"
#include "proxy/replies.h"

namespace sluice::proxy {

namespace {

using telemetry::ProxiedCount;
using telemetry::ProxiedLabels;
using telemetry::ServiceNames;
using Side = ProxiedLabels::Side;

constexpr std::int8_t kNotGrpc = -1;
constexpr std::int8_t kNoGrpcStatus = -2;

// One writer: a plain addition that readers see whole.
template <typename Word>
void add(Word& word, std::uint64_t value) {
    __atomic_store_n(&word, word + value, __ATOMIC_RELAXED);
}

std::uint64_t mix(std::uint64_t seed, std::uint64_t value) {
    seed ^= value;
    seed *= 0x9e3779b97f4a7c15ull;
    return seed ^ (seed >> 29);
}

ServiceNames names_of(const VirtualHost* host, const Cluster* cluster) {
    ServiceNames out;
    if (cluster != nullptr) {
        const model::Cluster& model = cluster->model();
        out = {model.host, model.service_name, model.service_namespace, std::to_string(model.port), model.subset, {}};
    } else if (host != nullptr) {
        const model::ServicePort& port = *host->port;
        out = {port.host, port.service_name, port.service_namespace, std::to_string(port.port), {}, {}};
    }
    out.scope = host == nullptr ? "" : host->port->scope;
    return out;
}

// The workload behind an endpoint, as the model has it; null: it is not of this cluster.
model::WorkloadPtr workload_of(const Cluster& cluster, const sl_endpoint& endpoint) {
    for (const model::Endpoint& known : cluster.model().endpoints) {
        if (std::memcmp(known.address.bytes.data(), endpoint.address, sizeof endpoint.address) == 0 &&
            htons(known.port) == endpoint.port) {
            return known.workload;
        }
    }
    return nullptr;
}

bool same(const model::WorkloadPtr& a, const model::WorkloadPtr& b) {
    return a == b || (a != nullptr && b != nullptr && a->id == b->id);
}

std::uint64_t service_of(const VirtualHost* host, const Cluster* cluster) {
    if (cluster != nullptr) {
        return cluster->model().id.lo;
    }
    return host == nullptr ? 0 : mix(std::hash<std::string_view>()(host->port->host), host->port->port);
}

// Envoy's mapping of HTTP status codes.
int grpc_status_of_http(int status) {
    switch (status) {
        case 400:
            return 13;  // INTERNAL
        case 401:
            return 16;  // UNAUTHENTICATED
        case 403:
            return 7;  // PERMISSION_DENIED
        case 404:
            return 12;  // UNIMPLEMENTED
        case 429:
        case 502:
        case 503:
        case 504:
            return 14;  // UNAVAILABLE
        default:
            return 2;  // UNKNOWN
    }
}

// As Envoy tells it: of the trailers, of the head, else what the HTTP status means.
std::int8_t grpc_of(bool grpc, int grpc_status, int status) {
    constexpr int kKnown = 16, kUnknown = 2;
    if (!grpc) {
        return kNotGrpc;
    }
    if (grpc_status >= 0) {
        return static_cast<std::int8_t>(grpc_status <= kKnown ? grpc_status : kUnknown);
    }
    return status == 0 ? kNoGrpcStatus : static_cast<std::int8_t>(grpc_status_of_http(status));
}

// What a proxy at the endpoint would have said of a try: see tried().
void as_endpoint(int& status, std::uint32_t& flags) {
    constexpr std::uint32_t kGivenUp =
        bit(Flag::kUpstreamRequestTimeout) | bit(Flag::kDownstreamConnectionTermination) | bit(Flag::kLocalReset);
    if ((flags & kGivenUp) != 0) {
        flags = bit(Flag::kDownstreamConnectionTermination);
    } else if (status == 0 && (flags & bit(Flag::kUpstreamProtocolError)) != 0) {
        status = 502;
    } else if (status == 0 && flags != 0) {
        status = 503;
    }
}

}  // namespace

std::uint64_t Counters::Key::hash() const {
    std::uint64_t h = mix(mix(mix(1, from), to | static_cast<std::uint64_t>(reused) << 32), service);
    const auto rest = static_cast<std::uint64_t>(status) | static_cast<std::uint64_t>(flags) << 16 |
                      static_cast<std::uint64_t>(static_cast<std::uint8_t>(grpc)) << 48 |
                      static_cast<std::uint64_t>(side) << 56 | static_cast<std::uint64_t>(other) << 60;
    return mix(h, rest);
}

Counters::Row& Counters::add_row(Row made, std::size_t at) {
    return *(rows_at_[at] = &rows_.push(std::move(made)));
}

Counters::Row& Counters::other_row(Side side) {
    Row made;
    made.key.side = made.labels.side = side;
    made.key.other = made.labels.other = true;
    for (std::uint64_t at = made.key.hash();; ++at) {
        Row* known = rows_at_[at % rows_at_.size()];
        if (known == nullptr) {
            return add_row(std::move(made), at % rows_at_.size());
        }
        if (known->key == made.key) {
            return *known;
        }
    }
}

// A number may come to mean another workload: whenever the cluster's model is a new one, the row is checked against it.
template <typename Describe>
Counters::Row& Counters::row(Key key, const Cluster* cluster, const sl_endpoint* endpoint, const Describe& describe) {
    static constexpr std::size_t kOthers = 3;  // one a side has its place
    const model::Cluster* model = cluster == nullptr || endpoint == nullptr ? nullptr : &cluster->model();
    for (std::uint64_t at = key.hash();; ++at) {
        Row* known = rows_at_[at % rows_at_.size()];
        if (known != nullptr && known->key != key) {
            continue;
        }
        if (known != nullptr && known->checked == model) {
            return *known;
        }
        model::WorkloadPtr to = model == nullptr ? nullptr : workload_of(*cluster, *endpoint);
        if (known != nullptr && !same(known->labels.to, to)) {
            ++key.reused;
            at = key.hash() - 1;
            continue;
        }
        if (known == nullptr && rows_.size() + kOthers >= kRowsMax) {
            return other_row(key.side);
        }
        Row made;
        Row& found = known != nullptr ? *known : made;
        if (model != nullptr) {
            found.held = cluster->shared_model();
        }
        found.checked = model;
        if (known != nullptr) {
            return *known;
        }
        made.key = key;
        made.labels.side = key.side;
        made.labels.to = std::move(to);
        made.labels.cluster = cluster == nullptr ? Identity{} : cluster->model().id;
        made.labels.status = key.status;
        made.labels.flags.clear();
        write_flags(key.flags, made.labels.flags);
        made.labels.grpc = key.grpc != kNotGrpc;
        made.labels.grpc_status = key.grpc < 0 ? "" : std::to_string(key.grpc);
        describe(made.labels);
        return add_row(std::move(made), at % rows_at_.size());
    }
}

void Counters::count(Row& row, const Measured& measured) {
    sl_request_counts& c = row.counts;
    const std::uint64_t duration = measured.ended_ns - measured.started_ns;
    add(c.requests, 1);
    add(c.duration_ns, duration);
    add(c.request_bytes, measured.request_bytes);
    add(c.response_bytes, measured.response_bytes);
    add(c.duration[sl_histogram_duration(duration)], 1);
    add(c.request_size[sl_histogram_bytes(measured.request_bytes)], 1);
    add(c.response_size[sl_histogram_bytes(measured.response_bytes)], 1);
    if (measured.first_byte_ns != 0) {
        const std::uint64_t first = measured.first_byte_ns - measured.started_ns;
        add(c.first_byte_ns, first);
        add(c.first_byte[sl_histogram_duration(first)], 1);
    }
}

void Counters::finished(const Record& record) {
    const sl_endpoint* endpoint =
        record.endpoint < tables_.endpoint_count ? &tables_.endpoints[record.endpoint] : nullptr;
    Key key;
    key.from = record.client->workload->id.lo;
    key.service = service_of(record.host, record.cluster);
    key.to = endpoint == nullptr ? 0 : endpoint->workload;
    key.flags = record.flags;
    key.status = static_cast<std::uint16_t>(record.status);
    key.grpc = grpc_of(record.grpc, record.grpc_status, record.status);
    Row& found = row(key, record.cluster, endpoint, [&](ProxiedLabels& labels) {
        labels.from = record.client->workload;
        labels.service = names_of(record.host, record.cluster);
    });
    count(found,
          {record.started_ns, record.first_byte_ns, record.ended_ns, record.request_bytes, record.response_bytes});
}

void Counters::tried(const TryRecord& record) {
    if (record.endpoint >= tables_.endpoint_count || (record.flags & bit(Flag::kUpstreamOverflow)) != 0) {
        return;  // no endpoint was asked
    }
    const sl_endpoint& endpoint = tables_.endpoints[record.endpoint];
    int status = record.status;
    Key key;
    key.from = record.client == nullptr ? 0 : record.client->workload->id.lo;
    key.service = service_of(nullptr, record.cluster);
    key.to = endpoint.workload;
    key.flags = record.flags;
    key.side = record.mirror ? Side::kMirror : Side::kDestination;
    if (!record.mirror) {
        as_endpoint(status, key.flags);
    }
    key.status = static_cast<std::uint16_t>(status);
    Row& found = row(key, record.cluster, &endpoint, [&](ProxiedLabels& labels) {
        labels.from = record.client == nullptr ? nullptr : record.client->workload;
        labels.service = names_of(nullptr, record.cluster);
    });
    count(found,
          {record.started_ns, record.first_byte_ns, record.ended_ns, record.request_bytes, record.response_bytes});
}

// Names are few and fixed, keys are not compared beyond their hash.
void Counters::count_named(ProxiedCount::What what, const VirtualHost* host, const Cluster* cluster,
                           std::string_view why) {
    std::uint64_t key = mix(mix(mix(1, service_of(host, cluster)), std::hash<std::string_view>()(why)),
                            static_cast<std::uint64_t>(what));
    const bool full = named_.size() + 64 >= kNamedMax;  // room for each name without a service
    for (std::uint64_t at = key;; ++at) {
        Named*& named = named_at_[at % named_at_.size()];
        if (named != nullptr && named->key == key) {
            return add(named->count, 1);
        }
        if (named != nullptr) {
            continue;
        }
        if (full && (host != nullptr || cluster != nullptr)) {
            return count_named(what, nullptr, nullptr, why);
        }
        if (named_.full()) {
            return;
        }
        named = &named_.push({key, {what, names_of(host, cluster), std::string(why), 0}, 1});
        return;
    }
}

void Counters::mirror_skipped(const VirtualHost& host, const Cluster* cluster, const char* why) {
    count_named(ProxiedCount::What::kMirrorSkipped, &host, cluster, why);
}

void Counters::refused(const VirtualHost* host, const char* why) {
    count_named(ProxiedCount::What::kRefused, host, nullptr, why);
}

void Counters::visit(const Visit& call) const {
    const std::size_t size = rows_.size();
    for (std::size_t i = 0; i < size; ++i) {
        sl_request_counts counts;
        const auto* from = reinterpret_cast<const __u64*>(&rows_[i].counts);
        auto* to = reinterpret_cast<__u64*>(&counts);
        for (std::size_t word = 0; word < sizeof counts / sizeof *to; ++word) {
            to[word] = __atomic_load_n(from + word, __ATOMIC_RELAXED);
        }
        call(rows_[i].labels, counts);
    }
}

void Counters::read(telemetry::Reading& reading) const {
    visit([&](const ProxiedLabels& labels, const sl_request_counts& counts) {
        reading.proxied.push_back({labels, counts});
    });
    const std::size_t size = named_.size();
    for (std::size_t i = 0; i < size; ++i) {
        reading.proxied_counts.emplace_back(named_[i].shown).count =
            __atomic_load_n(&named_[i].count, __ATOMIC_RELAXED);
    }
}

}  // namespace sluice::proxy
