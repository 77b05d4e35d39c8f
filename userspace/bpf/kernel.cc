#include "bpf/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "bpf/indexes.h"
#include "bpf/opener.h"
#include "bpf/rings.h"

namespace sluice::bpf {

Kernel::Kernel() = default;
Kernel::Kernel(Kernel&&) noexcept = default;
Kernel& Kernel::operator=(Kernel&&) noexcept = default;
Kernel::~Kernel() = default;

Result<Kernel> Kernel::open(const KernelOptions& options) {
    return Opener(options).run();
}

Kernel Kernel::without_programs(const Capacities& c) {
    Kernel kernel;
    kernel.capacities_ = c;
    kernel.heap_ = std::make_unique<compile::HeapTables>(compile::HeapCapacities{.services = c.services,
                                                                                 .routes = c.routes,
                                                                                 .destinations = c.destinations,
                                                                                 .clusters = c.clusters,
                                                                                 .cluster_rows = c.cluster_rows,
                                                                                 .endpoint_list = c.endpoint_list,
                                                                                 .endpoints = c.endpoints,
                                                                                 .hash_entries = c.hash_entries,
                                                                                 .identities = c.identities});
    kernel.tables_ = kernel.heap_->tables();
    kernel.identities_ = kernel.heap_->identities();
    return kernel;
}

Result<> Kernel::uninstall(const KernelOptions& options) {
    return Pins(options.bpffs).remove_all();
}

Result<> Kernel::take_lock(const KernelOptions& options) {
    auto lock = heap_ ? Result<Fd>() : Pins(options.bpffs).prepare();
    if (!lock) {
        return std::unexpected(lock.error());
    }
    lock_ = std::move(*lock);
    return {};
}

Result<std::vector<std::string>> Kernel::retire_others(const KernelOptions& options) {
    return heap_ ? Result<std::vector<std::string>>() : Pins(options.bpffs).remove_others();
}

compile::ServiceIndex& Kernel::services() {
    return heap_ ? heap_->services() : *service_index_;
}
compile::ClientIndex& Kernel::clients() {
    return heap_ ? heap_->clients() : *client_index_;
}

Result<> Kernel::map_tables() {
    std::map<std::string, std::byte*> at;
    for (const Table& table : flat_tables()) {
        auto mapping = Mapping::of(maps_.at(table.name));
        if (!mapping) {
            return std::unexpected(mapping.error());
        }
        at[table.name] = mapping->data().data();
        mappings_.push_back(std::move(*mapping));
    }
    tables_ = sl_tables{
        .control = reinterpret_cast<sl_control*>(at["control"]),
        .services = reinterpret_cast<sl_service*>(at["services"]),
        .routes = reinterpret_cast<sl_route*>(at["routes"]),
        .destinations = reinterpret_cast<sl_destination*>(at["destinations"]),
        .clusters = reinterpret_cast<sl_cluster*>(at["clusters"]),
        .cluster_rows = reinterpret_cast<sl_cluster_row*>(at["cluster_rows"]),
        .endpoint_list = reinterpret_cast<__u32*>(at["endpoint_list"]),
        .endpoints = reinterpret_cast<sl_endpoint*>(at["endpoints"]),
        .health = reinterpret_cast<sl_health*>(at["health"]),
        .hash_entries = reinterpret_cast<sl_hash_entry*>(at["hash_entries"]),
        .service_count = capacities_.services,
        .route_count = capacities_.routes,
        .destination_count = capacities_.destinations,
        .cluster_count = capacities_.clusters,
        .cluster_row_count = capacities_.cluster_rows,
        .endpoint_list_count = capacities_.endpoint_list,
        .endpoint_count = capacities_.endpoints,
        .hash_entry_count = capacities_.hash_entries,
    };
    identities_ = {reinterpret_cast<sl_identity*>(at["identities"]), capacities_.identities};
    request_slots_ = {reinterpret_cast<sl_request_slot*>(at["request_slots"]), capacities_.request_slots};
    service_index_ = std::make_unique<KernelServiceIndex>(maps_.at("service_index"));
    client_index_ = std::make_unique<KernelClientIndex>(maps_.at("clients"), *tables_.control);
    return open_rings();
}

Result<> Kernel::for_each_flow(const std::function<void(const sl_flow_key&, const sl_flow&)>& fn) const {
    if (heap_) {
        return Result<>();
    }
    return for_each_entry_of<sl_flow_key, sl_flow>(maps_.at("flows"), fn);
}

Result<> Kernel::erase_flows(const std::function<bool(const sl_flow_key&)>& fn) {
    if (heap_) {
        return Result<>();
    }
    return erase_entries<sl_flow_key>(maps_.at("flows"),
                                      [&](const sl_flow_key& key) { return key.workload != SL_NONE && fn(key); });
}

Result<> Kernel::for_each_limit(const std::function<void(const sl_limit_key&, const sl_limit&)>& fn) const {
    if (heap_) {
        return Result<>();
    }
    return for_each_entry_of<sl_limit_key, sl_limit>(maps_.at("limits"), fn);
}

Result<std::array<std::uint64_t, SL_REASON_COUNT>> Kernel::counters() const {
    if (heap_) {
        return std::array<std::uint64_t, SL_REASON_COUNT>{};
    }
    const int cpus = libbpf_num_possible_cpus();
    if (cpus <= 0) {
        return fail_errno(-cpus, "number of CPUs");
    }
    std::array<std::uint64_t, SL_REASON_COUNT> result{};
    std::vector<std::uint64_t> per_cpu(static_cast<std::size_t>(cpus));
    for (std::uint32_t reason = 0; reason < SL_REASON_COUNT; ++reason) {
        if (bpf_map_lookup_elem(maps_.at("counters").fd.get(), &reason, per_cpu.data()) != 0) {
            return fail_errno("map counters: read");
        }
        for (const std::uint64_t value : per_cpu) {
            result[reason] += value;
        }
    }
    return result;
}

Result<std::vector<ProgramCost>> Kernel::programs() const {
    std::vector<ProgramCost> result;
    for (const auto& [name, fd] : programs_) {
        bpf_prog_info info{};
        std::uint32_t size = sizeof info;
        if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) {
            return fail_errno("program " + name + ": info");
        }
        result.push_back({name, info.run_cnt, info.run_time_ns, info.verified_insns});
    }
    return result;
}

Result<> grace_period() {
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
        return fail_errno("membarrier");
    }
    return {};
}

}  // namespace sluice::bpf
