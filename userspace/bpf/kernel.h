// The kernel's side of the mesh: programs, links and maps, pinned under bpffs, so that they outlive any end of the
// agent.
//
// Pins, all under BPFFS/sluice/v<abi>/: maps/NAME, progs/NAME, links/NAME. One process at a time owns them (a lock on
// the directory, freed with the process).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "bpf/map.h"
#include "compile/heap_tables.h"
#include "compile/publisher.h"
#include "sluice/abi/conn.h"
#include "sluice/abi/http.h"
#include "sluice/abi/reasons.h"
#include "sluice/abi/tables.h"

struct ring_buffer;

namespace sluice::bpf {

// Rows a table. Fixed when the maps are made: what is pinned keeps its sizes until --uninstall.
struct Capacities {
    std::uint32_t services = 16384;
    std::uint32_t routes = 65536;
    std::uint32_t destinations = 131072;
    std::uint32_t clusters = 32768;
    std::uint32_t cluster_rows = 65536;
    std::uint32_t endpoint_list = 262144;
    std::uint32_t endpoints = 131072;
    std::uint32_t hash_entries = 262144;
    std::uint32_t identities = 16384;
    std::uint32_t flows = 65536;
    std::uint32_t limits = 65536;
    std::uint32_t clients = 16384;
    std::uint32_t request_slots = 2048;  // request counters at fixed places
    std::uint32_t requests = 32768;      // request counters that found theirs taken
    std::uint32_t doors = 4096;          // network namespaces that the agent listens in
    std::uint32_t captures = 65536;      // captured connections that the agent has not accepted yet
    auto operator<=>(const Capacities&) const = default;
};

struct KernelOptions {
    std::string cgroup;  // directory on cgroup2: sockets of processes below it are steered
    std::string bpffs = "/sys/fs/bpf";
    Capacities capacities;  // of maps that do not exist yet
    bool observe = true;    // watch the answers of HTTP connections; false: nothing is attached to their packets
};

// One map as people see it.
struct MapInfo {
    std::string name;
    std::string type;
    std::uint32_t key_size = 0;
    std::uint32_t value_size = 0;   // of one row
    std::uint64_t max_entries = 0;  // rows
    std::uint64_t used = 0;
    std::uint64_t bytes = 0;  // kernel memory
};

// What a program costs; run figures are 0 unless kernel.bpf_stats_enabled is set.
struct ProgramCost {
    std::string name;
    std::uint64_t run_count = 0;
    std::uint64_t run_time_ns = 0;
    std::uint32_t verified_insns = 0;
};

// Not thread-safe but for tables(), whose words are atomics; the indexes may be used from one thread, the reading
// functions from another, and for_each_connection() and close_gates() from a third.
class Kernel {
  public:
    // Loads, attaches and pins what is missing, adopts what is pinned; programs that differ from this build's are
    // replaced in place. On failure what was in force stays in force, and whatever was begun is completed by the next
    // open() or removed by uninstall(). Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; CAP_SYS_ADMIN only to mount
    // bpffs.
    static Result<Kernel> open(const KernelOptions& options);
    // Tables in plain memory, for the proxy lane alone: nothing is loaded or attached, no privilege is needed, and
    // everything is gone with the process. Functions below that read the kernel find nothing.
    static Kernel without_programs(const Capacities& capacities);
    // Removes every pin, link and directory, of every ABI version, and the bpffs if open() mounted it. Nothing there is
    // fine.
    static Result<> uninstall(const KernelOptions& options);

    Kernel(Kernel&&) noexcept;
    Kernel& operator=(Kernel&&) noexcept;
    // Leaves everything pinned in force.
    ~Kernel();

    // For a handover to another process: gives the pins up, and takes them again. What is mapped and attached stays.
    void give_up_lock() { lock_.reset(); }
    Result<> take_lock(const KernelOptions& options);

    // Takes out of force what agents of other ABI versions left there; their names. Their programs were attached first,
    // so they place connections until then: call it when a generation is published here. Connections that they placed
    // go on, but nobody accounts for them.
    Result<std::vector<std::string>> retire_others(const KernelOptions& options);

    // The maps held a published generation already.
    bool adopted() const { return adopted_; }
    // False: without_programs().
    bool loaded() const { return !heap_; }
    const Capacities& capacities() const { return capacities_; }

    // Valid while this object lives.
    sl_tables tables() const { return tables_; }
    std::span<sl_identity> identities() const { return identities_; }
    compile::ServiceIndex& services();
    compile::ClientIndex& clients();

    // Rows may change while they are read; each counter is right by itself.
    Result<> for_each_flow(const std::function<void(const sl_flow_key&, const sl_flow&)>& fn) const;
    // Removes the rows that `fn` names; their counts are lost, so read them first. The overflow row stays.
    Result<> erase_flows(const std::function<bool(const sl_flow_key&)>& fn);
    Result<> for_each_limit(const std::function<void(const sl_limit_key&, const sl_limit&)>& fn) const;
    // Counters of finished requests, as they lie: a key may come twice, and shards apart. Sum what differs in `shard`
    // only.
    Result<> for_each_request(const std::function<void(const sl_request_key&, const sl_request_counts&)>& fn) const;
    // As erase_flows(); waits for a grace period when a slot is freed.
    Result<> erase_requests(const std::function<bool(const sl_request_key&)>& fn);
    // Sums over CPUs, by enum sl_reason.
    Result<std::array<std::uint64_t, SL_REASON_COUNT>> counters() const;

    // Readable when there are events (for poll and epoll); -1 without programs.
    int event_fd() const;
    // Hands on what is there, without waiting.
    Result<> poll_events(const std::function<void(const sl_event&)>& fn);

    // Hands on the finished requests that were sampled since the last call, without waiting. Programs write samples
    // only while tables().control->sample_until_ns lies ahead.
    Result<> poll_samples(const std::function<void(const sl_sample&)>& fn);

    // Every open connection that is accounted, as it stands now; one that begins or ends meanwhile may be missing.
    Result<> for_each_connection(const std::function<void(const sl_connection&)>& fn) const;
    // Asks for the end of these connections (socket cookie, how): closes the gates of those that may end now and marks
    // the others, whose gate closes when their answer is whole (SL_EVENT_GATED tells). SL_DRAIN_NOW closes every gate.
    // Ending a connection whose gate is closed is the caller's (SOCK_DESTROY in its network namespace). Cookies that
    // are gone are passed over.
    Result<> close_gates(std::span<const std::pair<std::uint64_t, sl_drain_mode>> connections);

    // Capture (captures.cc); these five may be called from any thread. With heap tables none is to be called.
    //
    // Marks a socket of this process as the agent's: it is never steered, and can be the beacon of a door.
    Result<> mark_agent_socket(int socket) const;
    // Connections of that network namespace for the proxy lane go to these ports from now on; E2BIG: no room.
    Result<> open_door(std::uint64_t netns_cookie, const sl_door& door) const;
    Result<> close_door(std::uint64_t netns_cookie) const;
    // What an accepted connection had dialled; told once. Empty: it was not captured.
    std::optional<sl_capture> take_capture(const sl_capture_key& key) const;
    // Removes what nobody took and began before that time (CLOCK_MONOTONIC).
    Result<> forget_captures(std::uint64_t before_ns) const;

    // Counts the bytes that open connections have moved since they were last counted into their flows.
    Result<> report_open_connections();

    Result<std::vector<MapInfo>> maps() const;
    // One line a used row, `field=value` pairs. Unknown name: an error that lists the names.
    Result<std::vector<std::string>> dump(const std::string& map) const;
    Result<std::vector<ProgramCost>> programs() const;

  private:
    Kernel();

    bool adopted_ = false;
    Capacities capacities_;
    Fd lock_;
    std::map<std::string, Map> maps_;
    std::map<std::string, Fd> programs_;
    std::vector<Mapping> mappings_;
    sl_tables tables_{};
    std::span<sl_identity> identities_;
    std::span<sl_request_slot> request_slots_;
    std::map<std::string, Fd> iterators_;  // links, by program
    std::unique_ptr<compile::ServiceIndex> service_index_;
    std::unique_ptr<compile::ClientIndex> client_index_;
    std::unique_ptr<compile::HeapTables> heap_;  // instead of maps_; null: programs are loaded
    struct Ring;
    std::unique_ptr<Ring> events_;
    std::unique_ptr<Ring> samples_;

    Result<> map_tables();
    Result<> free_left_slots();
    Result<> open_rings();
    friend struct Opener;
};

// One line of `sluice check`.
struct Probe {
    std::string name;
    bool ok = false;
    std::string found;
    std::string remedy;  // empty when ok
};

// Tries what open() needs, in a temporary cgroup of its own below options.cgroup; leaves nothing behind.
std::vector<Probe> probe(const KernelOptions& options);

// Returns once every program run that began before the call has ended.
Result<> grace_period();

}  // namespace sluice::bpf
