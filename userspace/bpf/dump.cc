// What maps hold, for people: `sluice map list` and `sluice map dump`.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/ip.h"
#include "bpf/kernel.h"
#include "bpf/programs.h"
#include "bpf/rings.h"

namespace sluice::bpf {

namespace {

using Lines = std::vector<std::string>;

template <typename T>
T copy(const void* bytes) {
    T value{};
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

std::uint16_t host_order(__be16 port) {
    return __builtin_bswap16(port);
}

std::string address_text(const __u8 (&bytes)[16], __be16 port) {
    IpAddress address;
    std::copy(std::begin(bytes), std::end(bytes), address.bytes.begin());
    return endpoint_text(address, host_order(port));
}

std::string index_text(std::uint32_t index) {
    return index == SL_NONE ? "none" : std::to_string(index);
}

std::string generation_text(std::uint64_t generation) {
    return generation == SL_GENERATION_EMPTY ? "empty" : std::to_string(generation);
}

std::string slots_text(const sl_slot (&slot)[2]) {
    return fmt::format("slot0={}:{} slot1={}:{}", generation_text(slot[0].generation), index_text(slot[0].row),
                       generation_text(slot[1].generation), index_text(slot[1].row));
}

const char* reason_label(std::uint32_t reason) {
    switch (reason) {
#define SL_REASON_LABEL(name, number, label, flag, text) \
    case number:                                         \
        return label;
        SL_REASONS(SL_REASON_LABEL)
#undef SL_REASON_LABEL
        default:
            return "?";
    }
}

std::string row_text(const sl_control& c) {
    return fmt::format("generation={} heartbeat_ns={} abi_version={} started_ns={} clients={} observe={}", c.generation,
                       c.heartbeat_ns, c.abi_version, c.started_ns, c.client_count, c.observe);
}
std::string row_text(const sl_service& s) {
    return fmt::format("address={} scope={} {}", address_text(s.key.address, s.key.port), s.key.scope,
                       slots_text(s.slot));
}
std::string row_text(const sl_route& r) {
    return fmt::format("generation={} service={} destinations={}+{} flags={} open={}", r.generation, r.service,
                       r.destination_first, r.destination_count, r.flags, r.open);
}
std::string row_text(const sl_destination& d) {
    return fmt::format("cluster={} weight={} threshold={} alias={}", index_text(d.cluster), d.weight, d.threshold,
                       d.alias);
}
std::string row_text(const sl_cluster& c) {
    return fmt::format("id={:016x}{:016x} {} active={} ejected={} ejections={} overflow={} picks={}", c.id.hi, c.id.lo,
                       slots_text(c.slot), c.active, c.ejected, c.ejections_total, c.ejections_overflow, c.picks_total);
}
std::string row_text(const sl_cluster_row& r) {
    return fmt::format(
        "cluster={} flags={:#x} load_balancer={} endpoints={}+{} v4={} hash={}+{} max_connections={} 5xx={} gateway={} "
        "local={} max_ejection={}% min_health={}% connect_timeout_ms={} interval_ns={} base_ns={} max_ns={}",
        r.cluster, r.flags, r.load_balancer, r.endpoint_first, r.endpoint_count, r.endpoint_v4_count, r.hash_first,
        r.hash_count, index_text(r.max_connections), r.consecutive_5xx, r.consecutive_gateway, r.consecutive_local,
        r.max_ejection_percent, r.min_health_percent, r.connect_timeout_ms, r.interval_ns, r.base_ejection_ns,
        r.max_ejection_ns);
}
std::string row_text(const sl_endpoint& e) {
    return fmt::format("address={} cluster={} workload={} flags={:#x}", address_text(e.address, e.port),
                       index_text(e.cluster), e.workload, e.flags);
}
std::string row_text(const sl_health& h) {
    return fmt::format(
        "active={} consecutive_5xx={} consecutive_gateway={} consecutive_local={} ejected_until={} last_return={} "
        "backoff={} times_ejected={} reason={} picks={} failures={}",
        h.active, h.consecutive_5xx, h.consecutive_gateway, h.consecutive_local, h.ejected_until, h.last_return,
        h.backoff, h.times_ejected, h.ejected_reason, h.picks_total, h.failures_total);
}
std::string row_text(const sl_hash_entry& e) {
    return fmt::format("hash={} position={}", e.hash, e.position);
}
std::string row_text(const sl_identity& i) {
    return fmt::format("id={:016x}{:016x} kind={}", i.id.hi, i.id.lo, i.kind);
}
std::string requests_text(const sl_request_key& k, const sl_request_counts& v) {
    return fmt::format(
        "workload={} cluster={} destination_workload={} status={} reason={} shard={} requests={} duration_ns={} "
        "first_byte_ns={} request_bytes={} response_bytes={}",
        index_text(k.workload), index_text(k.cluster), k.destination_workload, k.status, reason_label(k.reason),
        k.shard, v.requests, v.duration_ns, v.first_byte_ns, v.request_bytes, v.response_bytes);
}
std::string row_text(const sl_request_slot& s) {
    return requests_text(sl_slot_request_key({s.who, s.what}), s.counts);
}
std::string row_text(const __u32& word) {
    return fmt::format("endpoint={}", word);
}

// Rows that say so are used; of the others, those that are not all zero.
template <typename Row>
bool is_used(const Row& row) {
    if constexpr (requires { row.in_use; }) {
        return row.in_use != 0;
    } else {
        static const Row zero{};
        return std::memcmp(&row, &zero, sizeof row) != 0;
    }
}

// `fn(index, row)` for each used row.
template <typename Row, typename Fn>
void each_used(const Row* rows, std::uint64_t count, Fn fn) {
    for (std::uint64_t i = 0; i < count; ++i) {
        if (is_used(rows[i])) {
            fn(i, rows[i]);
        }
    }
}

// `fn(index, row)` with the rows of that flat table, whatever their type; false: no such table.
template <typename Fn>
bool each_row(const std::string& name, const sl_tables& t, std::span<const sl_identity> identities,
              std::span<const sl_request_slot> request_slots, Fn fn) {
    if (name == "control") {
        each_used(t.control, 1, fn);
    } else if (name == "services") {
        each_used(t.services, t.service_count, fn);
    } else if (name == "routes") {
        each_used(t.routes, t.route_count, fn);
    } else if (name == "destinations") {
        each_used(t.destinations, t.destination_count, fn);
    } else if (name == "clusters") {
        each_used(t.clusters, t.cluster_count, fn);
    } else if (name == "cluster_rows") {
        each_used(t.cluster_rows, t.cluster_row_count, fn);
    } else if (name == "endpoint_list") {
        each_used(t.endpoint_list, t.endpoint_list_count, fn);
    } else if (name == "endpoints") {
        each_used(t.endpoints, t.endpoint_count, [&](std::uint64_t i, const sl_endpoint& row) {
            if (row.cluster != SL_NONE) {
                fn(i, row);
            }
        });
    } else if (name == "health") {
        each_used(t.health, t.endpoint_count, fn);
    } else if (name == "hash_entries") {
        each_used(t.hash_entries, t.hash_entry_count, fn);
    } else if (name == "identities") {
        each_used(identities.data(), identities.size(), fn);
    } else if (name == "request_slots") {
        each_used(request_slots.data(), request_slots.size(), fn);
    } else {
        return false;
    }
    return true;
}

std::string entry_text(const std::string& name, const void* key, const void* value) {
    if (name == "service_index") {
        const auto k = copy<sl_service_key>(key);
        return fmt::format("address={} scope={} service={}", address_text(k.address, k.port), k.scope,
                           copy<std::uint32_t>(value));
    }
    if (name == "clients") {
        const auto v = copy<sl_client>(value);
        return fmt::format("cgroup={} workload={} scope={}", copy<std::uint64_t>(key), v.workload, v.scope);
    }
    if (name == "limits") {
        const auto k = copy<sl_limit_key>(key);
        return fmt::format("workload={} cluster={} active={}", k.workload, k.cluster, copy<sl_limit>(value).active);
    }
    if (name == "drains") {
        return fmt::format("cookie={} mode={}", copy<std::uint64_t>(key), copy<std::uint32_t>(value));
    }
    if (name == "doors") {
        const auto v = copy<sl_door>(value);
        return fmt::format("netns={} port_v4={} port_v6={} beacon_v4={} beacon_v6={}", copy<std::uint64_t>(key),
                           host_order(v.port_v4), host_order(v.port_v6), host_order(v.beacon_v4),
                           host_order(v.beacon_v6));
    }
    if (name == "captures") {
        const auto k = copy<sl_capture_key>(key);
        const auto v = copy<sl_capture>(value);
        return fmt::format("netns={} from={} dialled={} service={} workload={} cgroup={} started_ns={}", k.netns_cookie,
                           address_text(k.address, k.port), address_text(v.dialled_address, v.dialled_port), v.service,
                           v.workload, v.client, v.started_ns);
    }
    if (name == "requests") {
        return requests_text(copy<sl_request_key>(key), copy<sl_request_counts>(value));
    }
    const auto k = copy<sl_flow_key>(key);
    const auto v = copy<sl_flow>(value);
    return fmt::format(
        "workload={} cluster={} destination_workload={} reason={} opened={} closed={} sent_bytes={} received_bytes={} "
        "retransmits={} duration_ns={} srtt_us={} connect_ns={}",
        index_text(k.workload), index_text(k.cluster), k.destination_workload, reason_label(k.reason), v.opened,
        v.closed, v.sent_bytes, v.received_bytes, v.retransmits, v.duration_ns, v.srtt_us, v.connect_ns);
}

bool is_hash(const Map& map) {
    return map.type == BPF_MAP_TYPE_HASH;
}

}  // namespace

Result<std::vector<MapInfo>> Kernel::maps() const {
    std::map<std::string, std::uint32_t> row_sizes;
    for (const Table& table : flat_tables()) {
        row_sizes[table.name] = table.row_size;
    }
    std::vector<MapInfo> result;
    for (const Table& table : heap_ ? flat_tables() : std::vector<Table>()) {
        if (table.rows == &Capacities::request_slots) {
            continue;  // only programs count there
        }
        MapInfo info{.name = table.name, .type = "memory", .value_size = table.row_size};
        info.max_entries = table.rows == nullptr ? 1 : capacities_.*table.rows;
        each_row(table.name, tables_, identities_, request_slots_, [&](std::uint64_t, const auto&) { ++info.used; });
        result.push_back(std::move(info));
    }
    for (const auto& [name, map] : maps_) {
        const char* type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(map.type));
        MapInfo info{name,       type ? type : "?", map.key_size, map.value_size, map.max_entries, map.max_entries,
                     map.bytes()};
        if (const auto row = row_sizes.find(name); row != row_sizes.end()) {
            info.value_size = row->second;
            info.max_entries = map.value_size / row->second;
            info.used = 0;
            each_row(name, tables_, identities_, request_slots_, [&](std::uint64_t, const auto&) { ++info.used; });
        } else if (is_hash(map)) {
            auto count = entry_count(map);
            if (!count) {
                return std::unexpected(count.error());
            }
            info.used = *count;
        } else if (map.type == BPF_MAP_TYPE_RINGBUF) {
            info.used = ring_used(map);
        } else if (map.type == BPF_MAP_TYPE_SK_STORAGE) {
            info.used = 0;  // as many as sockets; clusters[].active counts those that matter
        }
        result.push_back(std::move(info));
    }
    return result;
}

Result<std::vector<std::string>> Kernel::dump(const std::string& name) const {
    Lines lines;
    if (each_row(name, tables_, identities_, request_slots_, [&](std::uint64_t index, const auto& row) {
            lines.push_back(fmt::format("{} {}", index, row_text(row)));
        })) {
        return lines;
    }
    const auto found = maps_.find(name);
    if (found == maps_.end()) {
        std::string names;
        for (const auto& [known, map] : maps_) {
            names += " " + known;
        }
        return fail("no map " + name + "; there are:" + (heap_ ? " those of `sluice map list`" : names));
    }
    if (name == "counters") {
        auto values = counters();
        if (!values) {
            return std::unexpected(values.error());
        }
        for (std::uint32_t reason = 0; reason < values->size(); ++reason) {
            lines.push_back(fmt::format("{} {}", reason_label(reason), (*values)[reason]));
        }
        return lines;
    }
    if (name == "stashes") {
        std::vector<std::byte> value(found->second.value_size);
        for (std::uint32_t slot = 0; slot < found->second.max_entries; ++slot) {
            if (bpf_map_lookup_elem(found->second.fd.get(), &slot, value.data()) != 0) {
                return fail_errno("map stashes: read");
            }
            if (const auto owner = copy<std::uint64_t>(value.data()); owner != 0) {
                lines.push_back(fmt::format("{} taken_ns={}", slot, owner));
            }
        }
        return lines;
    }
    if (!is_hash(found->second)) {
        return fail("map " + name + " has no rows to list");
    }
    auto read = for_each_entry(
        found->second, [&](const void* key, const void* value) { lines.push_back(entry_text(name, key, value)); });
    if (!read) {
        return std::unexpected(read.error());
    }
    std::ranges::sort(lines);
    return lines;
}

}  // namespace sluice::bpf
