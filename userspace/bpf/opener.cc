#include "bpf/opener.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sluice::bpf {

namespace {

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// What a pinned link does now.
struct LinkState {
    std::uint32_t program_id = 0;
    std::uint64_t cgroup_id = 0;  // 0: its cgroup is gone
};

Result<LinkState> link_state(int fd, const std::string& name) {
    bpf_link_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) {
        return fail_errno("link " + name + ": info");
    }
    return LinkState{info.prog_id, info.cgroup.cgroup_id};
}

const std::vector<std::string>& all_maps() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> result;
        for (const Table& table : flat_tables()) {
            result.emplace_back(table.name);
        }
        for (const HashTable& table : hash_tables()) {
            result.emplace_back(table.name);
        }
        for (const char* name : {"counters", "events", "samples", "conns", "streams", "stashes", "drains"}) {
            result.emplace_back(name);
        }
        return result;
    }();
    return names;
}

}  // namespace

Result<ProgramIdentity> program_identity(int fd) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) {
        return fail_errno("program info");
    }
    ProgramIdentity result{info.id, {}};
    std::memcpy(result.tag.data(), info.tag, result.tag.size());
    return result;
}

Result<> Opener::find_cgroup() {
    struct statfs filesystem {};
    struct stat status {};
    cgroup = Fd(::open(options.cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!cgroup || fstatfs(cgroup.get(), &filesystem) != 0 || fstat(cgroup.get(), &status) != 0) {
        return fail_errno("cgroup " + options.cgroup);
    }
    if (filesystem.f_type != CGROUP2_SUPER_MAGIC) {
        return fail("cgroup " + options.cgroup + " is not on a cgroup2 mount (see /proc/mounts)");
    }
    cgroup_id = status.st_ino;
    return {};
}

Result<> Opener::find_maps() {
    for (const std::string& name : all_maps()) {
        auto fd = open_pin(pins.map(name));
        if (!fd) {
            return std::unexpected(fd.error());
        }
        if (!*fd) {
            continue;
        }
        auto map = Map::of(std::move(**fd), name);
        if (!map) {
            return std::unexpected(map.error());
        }
        pinned.emplace(name, std::move(*map));
    }
    return {};
}

Result<> Opener::settle_capacities() {
    kernel.capacities_ = options.capacities;
    for (const Table& table : flat_tables()) {
        const auto found = pinned.find(table.name);
        if (found == pinned.end()) {
            continue;
        }
        const std::uint32_t size = found->second.value_size;
        if (size % table.row_size != 0 || (!table.rows && size != table.row_size)) {
            return fail("pinned table " + found->first + " has " + std::to_string(size) +
                        " bytes, no multiple of its rows: it belongs to another build; run sluiced --uninstall");
        }
        if (table.rows) {
            kernel.capacities_.*table.rows = size / table.row_size;
        }
    }
    for (const HashTable& table : hash_tables()) {
        if (const auto found = pinned.find(table.name); found != pinned.end()) {
            kernel.capacities_.*table.rows = found->second.max_entries;
        }
    }
    return {};
}

Result<> Opener::pin_maps(const Loaded& loaded) {
    auto maps = loaded.maps();
    if (!maps) {
        return std::unexpected(maps.error());
    }
    for (auto& [name, map] : *maps) {
        if (pinned.contains(name)) {
            continue;
        }
        new_maps = true;
        if (bpf_obj_pin(map.fd.get(), pins.map(name).c_str()) != 0) {
            return fail_errno("pin " + pins.map(name));
        }
    }
    kernel.maps_ = std::move(*maps);
    return {};
}

Result<> Opener::first_values() {
    const sl_flow_key overflow SL_FLOW_KEY_OVERFLOW;
    const sl_flow zero{};
    if (bpf_map_update_elem(kernel.maps_.at("flows").fd.get(), &overflow, &zero, BPF_NOEXIST) != 0 && errno != EEXIST) {
        return fail_errno("table flows: overflow row");
    }
    const sl_request_key overflow_request SL_REQUEST_KEY_OVERFLOW;
    const sl_request_counts none{};
    if (bpf_map_update_elem(kernel.maps_.at("requests").fd.get(), &overflow_request, &none, BPF_NOEXIST) != 0 &&
        errno != EEXIST) {
        return fail_errno("table requests: overflow row");
    }
    if (auto freed = kernel.free_left_slots(); !freed) {  // an agent may have ended before it freed them
        return freed;
    }
    sl_control* control = kernel.tables_.control;
    kernel.adopted_ = sl_load(&control->generation) != 0;
    if (sl_load(&control->abi_version) == 0) {
        sl_store(&control->started_ns, static_cast<__u64>(monotonic_ns()));
        sl_store(&control->abi_version, static_cast<__u64>(SL_ABI_VERSION));
    }
    return {};
}

Result<> Opener::attach(const Hook& hook, int program) {
    const int fd = bpf_link_create(program, cgroup.get(), hook.attach, nullptr);
    if (fd < 0) {
        return fail_errno(std::string("attach ") + hook.program + " to " + options.cgroup);
    }
    const Fd link(fd);
    return replace_pin(link.get(), pins.link(hook.program));
}

// A link of another cgroup is replaced: first the new one, so that no moment is without.
Result<> Opener::put_in_force(const Hook& hook, int program) {
    auto fresh = program_identity(program);
    auto old_program = open_pin(pins.program(hook.program));
    auto link = open_pin(pins.link(hook.program));
    if (!fresh || !old_program || !link) {
        return std::unexpected(!fresh ? fresh.error() : !old_program ? old_program.error() : link.error());
    }
    std::optional<LinkState> state;
    if (*link) {
        auto known = link_state((*link)->get(), hook.program);
        if (!known) {
            return std::unexpected(known.error());
        }
        state = *known;
    }
    if (state && state->cgroup_id == cgroup_id && *old_program && !new_maps) {
        auto old = program_identity((*old_program)->get());
        if (old && old->id == state->program_id && old->tag == fresh->tag) {
            kernel.programs_.emplace(hook.program, std::move(**old_program));
            return {};
        }
    }
    if (state && state->cgroup_id == cgroup_id) {
        if (bpf_link_update((*link)->get(), program, nullptr) != 0) {
            return fail_errno(std::string("replace ") + hook.program);
        }
    } else {
        if (auto done = attach(hook, program); !done) {
            return done;
        }
        if (state && state->cgroup_id != 0) {
            bpf_link_detach((*link)->get());
        }
    }
    if (auto done = replace_pin(program, pins.program(hook.program)); !done) {
        return done;
    }
    Fd copy(fcntl(program, F_DUPFD_CLOEXEC, 3));
    if (!copy) {
        return fail_errno("dup");
    }
    kernel.programs_.emplace(hook.program, std::move(copy));
    return {};
}

Result<> Opener::put_in_force(const Loaded& loaded) {
    for (const Hook& hook : kHooks) {
        if (hook.packets && !options.observe) {
            continue;
        }
        if (auto done = put_in_force(hook, loaded.program(hook.program)); !done) {
            return done;
        }
    }
    return {};
}

Result<> Opener::ready_iterators(const Loaded& loaded) {
    for (const Iterator& iterator : kIterators) {
        const int program = loaded.program(iterator.program);
        bpf_iter_link_info info{};
        info.map.map_fd = static_cast<__u32>(kernel.maps_.at(iterator.map).fd.get());
        LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof info);
        Fd link(bpf_link_create(program, 0, BPF_TRACE_ITER, &opts));
        Fd copy(fcntl(program, F_DUPFD_CLOEXEC, 3));
        if (!link || !copy) {
            return fail_errno(std::string("attach ") + iterator.program);
        }
        kernel.iterators_.emplace(iterator.program, std::move(link));
        kernel.programs_.emplace(iterator.program, std::move(copy));
    }
    return {};
}

// Connections that are watched already go unwatched from here on, also when watching begins again: their streams tell
// of another beginning.
Result<> Opener::stop_observing() {
    sl_store(&kernel.tables_.control->observe, static_cast<__u64>(0));
    for (const Hook& hook : kHooks) {
        if (hook.packets) {
            if (auto done = pins.drop(hook.program); !done) {
                return done;
            }
        }
    }
    return {};
}

void Opener::start_observing() {
    if (sl_load(&kernel.tables_.control->observe) == 0) {
        sl_store(&kernel.tables_.control->observe, static_cast<__u64>(monotonic_ns()));
    }
}

Result<Kernel> Opener::run() {
    if (auto done = find_cgroup(); !done) {
        return std::unexpected(done.error());
    }
    auto lock = pins.prepare();
    if (!lock) {
        return std::unexpected(lock.error());
    }
    kernel.lock_ = std::move(*lock);
    for (auto step : {&Opener::find_maps, &Opener::settle_capacities}) {
        if (auto done = (this->*step)(); !done) {
            return std::unexpected(done.error());
        }
    }
    auto loaded = Loaded::load(kernel.capacities_, pinned, options.observe);
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    if (auto done = pin_maps(*loaded); !done) {
        return std::unexpected(done.error());
    }
    if (auto done = kernel.map_tables(); !done) {
        return std::unexpected(done.error());
    }
    if (auto done = first_values(); !done) {
        return std::unexpected(done.error());
    }
    if (!options.observe) {
        if (auto done = stop_observing(); !done) {
            return std::unexpected(done.error());
        }
    }
    if (auto done = put_in_force(*loaded); !done) {
        return std::unexpected(done.error());
    }
    if (options.observe) {
        start_observing();
    }
    if (auto done = ready_iterators(*loaded); !done) {
        return std::unexpected(done.error());
    }
    return std::move(kernel);
}

}  // namespace sluice::bpf
