// The compiled programs: opened from their skeletons, given row counts and maps, loaded.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "bpf/map.h"

struct bpf_object;

namespace sluice::bpf {

struct Capacities;

// How a program is hooked to the cgroup. Attached in this order: what watches before what places connections.
struct Hook {
    const char* program;
    bpf_attach_type attach;
    bool packets = false;  // runs for each packet; only attached while answers are watched
};
inline constexpr Hook kHooks[] = {
    {"sl_egress", BPF_CGROUP_INET_EGRESS, true},       {"sl_ingress", BPF_CGROUP_INET_INGRESS, true},
    {"sl_sock_release", BPF_CGROUP_INET_SOCK_RELEASE}, {"sl_sockops", BPF_CGROUP_SOCK_OPS},
    {"sl_getpeername4", BPF_CGROUP_INET4_GETPEERNAME}, {"sl_getpeername6", BPF_CGROUP_INET6_GETPEERNAME},
    {"sl_connect4", BPF_CGROUP_INET4_CONNECT},         {"sl_connect6", BPF_CGROUP_INET6_CONNECT},
};

// Iterators over socket storage; not attached to the cgroup, nor pinned.
inline constexpr const char* kReportProgram = "sl_report";
inline constexpr const char* kConnectionsProgram = "sl_connections";
inline constexpr const char* kCloseGatesProgram = "sl_close_gates";
struct Iterator {
    const char* program;
    const char* map;
};
inline constexpr Iterator kIterators[] = {
    {kReportProgram, "conns"},
    {kConnectionsProgram, "conns"},
    {kCloseGatesProgram, "streams"},
};

// Rows and row sizes of the flat tables.
struct Table {
    const char* name;
    std::uint32_t row_size;
    std::uint32_t Capacities::*rows;  // null: one row
};
std::vector<Table> flat_tables();
// Hash maps and what bounds them.
struct HashTable {
    const char* name;
    std::uint32_t Capacities::*rows;
};
std::vector<HashTable> hash_tables();

// Everything that programs and maps need, in this process only: nothing is attached or pinned.
class Loaded {
  public:
    // Uses the maps in `existing` (by name) and makes the others with these capacities. `only`: the name of the program
    // to load; empty: all that KernelOptions::observe needs or does not.
    static Result<Loaded> load(const Capacities& capacities, const std::map<std::string, Map>& existing, bool observe,
                               const std::string& only = {});
    Loaded(Loaded&&) noexcept;
    Loaded& operator=(Loaded&&) noexcept;
    ~Loaded();

    // Descriptors of this object's; -1: no such program.
    int program(const std::string& name) const;
    // Every map of maps/*.h: own copies of the descriptors.
    Result<std::map<std::string, Map>> maps() const;

  private:
    struct Impl;
    explicit Loaded(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::bpf
