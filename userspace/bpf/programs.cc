#include "bpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "bpf/kernel.h"
#include "bpf/libbpf_log.h"
#include "connect.skel.h"
#include "observe.skel.h"
#include "report.skel.h"
#include "sockops.skel.h"

namespace sluice::bpf {

std::vector<Table> flat_tables() {
    return {
        {"control", sizeof(sl_control), nullptr},
        {"services", sizeof(sl_service), &Capacities::services},
        {"routes", sizeof(sl_route), &Capacities::routes},
        {"destinations", sizeof(sl_destination), &Capacities::destinations},
        {"clusters", sizeof(sl_cluster), &Capacities::clusters},
        {"cluster_rows", sizeof(sl_cluster_row), &Capacities::cluster_rows},
        {"endpoint_list", sizeof(std::uint32_t), &Capacities::endpoint_list},
        {"endpoints", sizeof(sl_endpoint), &Capacities::endpoints},
        {"health", sizeof(sl_health), &Capacities::endpoints},
        {"hash_entries", sizeof(sl_hash_entry), &Capacities::hash_entries},
        {"identities", sizeof(sl_identity), &Capacities::identities},
        {"request_slots", sizeof(sl_request_slot), &Capacities::request_slots},
    };
}

std::vector<HashTable> hash_tables() {
    return {
        {"service_index", &Capacities::services}, {"clients", &Capacities::clients},   {"flows", &Capacities::flows},
        {"limits", &Capacities::limits},          {"requests", &Capacities::requests}, {"doors", &Capacities::doors},
        {"captures", &Capacities::captures},
    };
}

struct Loaded::Impl {
    connect_bpf* connect = nullptr;
    sockops_bpf* sockops = nullptr;
    report_bpf* report = nullptr;
    observe_bpf* observe = nullptr;

    Impl() = default;
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        connect_bpf__destroy(connect);
        sockops_bpf__destroy(sockops);
        report_bpf__destroy(report);
        observe_bpf__destroy(observe);
    }

    std::vector<bpf_object*> objects() const { return {connect->obj, sockops->obj, report->obj, observe->obj}; }
};

namespace {

// Every object has its own copy of these (bpf/maps/tables.h).
template <typename Rodata>
void set_rows(Rodata* rodata, const Capacities& capacities) {
    rodata->service_rows = capacities.services;
    rodata->route_rows = capacities.routes;
    rodata->destination_rows = capacities.destinations;
    rodata->cluster_record_rows = capacities.clusters;
    rodata->cluster_rows_rows = capacities.cluster_rows;
    rodata->endpoint_list_rows = capacities.endpoint_list;
    rodata->endpoint_rows = capacities.endpoints;
    rodata->hash_entry_rows = capacities.hash_entries;
    rodata->request_slot_rows = capacities.request_slots;
}

// Timer ticks a second: the coarse clock advances once a tick.
std::uint32_t ticks_per_second() {
    timespec tick{};
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || tick.tv_sec != 0 || tick.tv_nsec <= 0) {
        return 100;
    }
    return static_cast<std::uint32_t>((1'000'000'000 + tick.tv_nsec / 2) / tick.tv_nsec);
}

Result<> size_maps(bpf_object* object, const Capacities& capacities) {
    for (const Table& table : flat_tables()) {
        bpf_map* map = bpf_object__find_map_by_name(object, table.name);
        const std::uint64_t size = std::uint64_t{table.row_size} * (table.rows ? capacities.*table.rows : 1);
        if (size == 0 || size > 0x7fffffff) {
            return fail(std::string("table ") + table.name + ": capacity out of range");
        }
        if (map && bpf_map__set_value_size(map, static_cast<std::uint32_t>(size)) != 0) {
            return fail_errno(std::string("table ") + table.name + ": set size");
        }
    }
    for (const HashTable& table : hash_tables()) {
        bpf_map* map = bpf_object__find_map_by_name(object, table.name);
        if (map && bpf_map__set_max_entries(map, capacities.*table.rows) != 0) {
            return fail_errno(std::string("table ") + table.name + ": set size");
        }
    }
    return {};
}

Result<> use_maps(bpf_object* object, const std::map<std::string, Map>& existing) {
    for (const auto& [name, known] : existing) {
        bpf_map* map = bpf_object__find_map_by_name(object, name.c_str());
        if (map && bpf_map__reuse_fd(map, known.fd.get()) != 0) {
            return fail_errno("map " + name + ": reuse");
        }
    }
    return {};
}

void choose_programs(bpf_object* object, const std::string& only) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
        bpf_program__set_autoload(program, only.empty() || only == bpf_program__name(program));
    }
}

Result<> collect_maps(bpf_object* object, std::map<std::string, Map>& into) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        const std::string name = bpf_map__name(map);
        if (bpf_map__is_internal(map) || into.contains(name)) {
            continue;
        }
        Fd copy(fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3));
        if (!copy) {
            return fail_errno("map " + name + ": dup");
        }
        auto known = Map::of(std::move(copy), name);
        if (!known) {
            return std::unexpected(known.error());
        }
        into.emplace(name, std::move(*known));
    }
    return {};
}

// Steps that every object takes between open and load.
Result<> ready(bpf_object* object, const Capacities& capacities, const std::map<std::string, Map>& existing,
               const std::string& only) {
    choose_programs(object, only);
    if (auto done = size_maps(object, capacities); !done) {
        return done;
    }
    return use_maps(object, existing);
}

}  // namespace

Loaded::Loaded(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Loaded::Loaded(Loaded&&) noexcept = default;
Loaded& Loaded::operator=(Loaded&&) noexcept = default;
Loaded::~Loaded() = default;

Result<Loaded> Loaded::load(const Capacities& capacities, const std::map<std::string, Map>& existing, bool observe,
                            const std::string& only) {
    LibbpfLog log;
    auto impl = std::make_unique<Impl>();
    impl->connect = connect_bpf__open();
    impl->sockops = sockops_bpf__open();
    impl->report = report_bpf__open();
    impl->observe = observe_bpf__open();
    if (!impl->connect || !impl->sockops || !impl->report || !impl->observe) {
        return log.fail(errno, "open BPF objects");
    }
    set_rows(impl->connect->rodata, capacities);
    set_rows(impl->sockops->rodata, capacities);
    set_rows(impl->report->rodata, capacities);
    set_rows(impl->observe->rodata, capacities);
    impl->sockops->rodata->ticks_per_second = ticks_per_second();

    // Later objects use the maps that the first one made.
    std::map<std::string, Map> made;
    const auto load_one = [&](auto* skeleton, auto load, const char* what,
                              const std::map<std::string, Map>& known) -> Result<> {
        if (auto done = ready(skeleton->obj, capacities, known, only); !done) {
            return done;
        }
        // What is pinned goes before what was made just now: the first object does not have all of it.
        if (auto done = use_maps(skeleton->obj, existing); !done) {
            return done;
        }
        if (const int code = load(skeleton); code != 0) {
            return log.fail(-code, std::string("load ") + what + " programs");
        }
        return collect_maps(skeleton->obj, made);
    };
    auto done = load_one(impl->connect, connect_bpf__load, "connect", existing);
    if (done) {
        done = load_one(impl->sockops, sockops_bpf__load, "sockops", made);
    }
    if (done) {
        done = load_one(impl->report, report_bpf__load, "report", made);
    }
    if (done && observe) {
        done = load_one(impl->observe, observe_bpf__load, "observe", made);
    }
    if (!done) {
        return std::unexpected(done.error());
    }
    return Loaded(std::move(impl));
}

int Loaded::program(const std::string& name) const {
    for (bpf_object* object : impl_->objects()) {
        if (const bpf_program* program = bpf_object__find_program_by_name(object, name.c_str())) {
            return bpf_program__fd(program);
        }
    }
    return -1;
}

Result<std::map<std::string, Map>> Loaded::maps() const {
    std::map<std::string, Map> result;
    for (bpf_object* object : impl_->objects()) {
        if (auto done = collect_maps(object, result); !done) {
            return std::unexpected(done.error());
        }
    }
    return result;
}

}  // namespace sluice::bpf
