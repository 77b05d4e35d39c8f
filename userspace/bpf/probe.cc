// `sluice check`: what open() needs, each thing tried.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/capability.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "bpf/kernel.h"
#include "bpf/opener.h"

namespace sluice::bpf {

namespace fs = std::filesystem;

namespace {

using Probes = std::vector<Probe>;

// A tree of cgroups below ours is looked at up to here.
constexpr std::size_t kCgroupsMax = 4096;
constexpr std::uint32_t kProgramsMax = 64;

void add(Probes& out, std::string name, bool ok, std::string found, std::string remedy) {
    out.push_back({std::move(name), ok, std::move(found), ok ? "" : std::move(remedy)});
}

void probe_kernel(Probes& out) {
    utsname name{};
    uname(&name);
    add(out, "kernel", true, name.release, "");
    const bool btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
    add(out, "btf", btf, btf ? "/sys/kernel/btf/vmlinux" : "no /sys/kernel/btf/vmlinux",
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (the distribution's own has it)");
}

void probe_capabilities(Probes& out) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    capget(&header, data);
    const struct {
        const char* name;
        int number;
    } wanted[] = {{"CAP_BPF", CAP_BPF}, {"CAP_NET_ADMIN", CAP_NET_ADMIN}, {"CAP_PERFMON", CAP_PERFMON}};
    for (const auto& [name, number] : wanted) {
        const bool have = (data[number / 32].effective >> (number % 32)) & 1;
        add(out, name, have, have ? "held" : "missing",
            std::string("run as root, or grant it: AmbientCapabilities=") + name + " in the systemd unit");
    }
}

bool probe_cgroup(Probes& out, const std::string& path) {
    struct statfs info {};
    std::string found = path;
    bool ok = false;
    if (statfs(path.c_str(), &info) != 0) {
        found += ": " + std::string(std::strerror(errno));
    } else {
        ok = info.f_type == CGROUP2_SUPER_MAGIC;
        found += ok ? " (cgroup2)" : " is not on cgroup2";
    }
    add(out, "cgroup2", ok, found,
        "name a directory on a cgroup2 mount with --cgroup (grep cgroup2 /proc/mounts; mount -t cgroup2 none DIR)");
    return ok;
}

void probe_bpffs(Probes& out, const std::string& path) {
    const auto mounted = is_bpffs(path);
    const bool ok = mounted && *mounted;
    add(out, "bpffs", ok,
        ok        ? path
        : mounted ? path + " is a directory, no bpffs"
                  : mounted.error().text(),
        "mount -t bpf bpffs " + path + " (with CAP_SYS_ADMIN sluiced does it if the directory exists)");
}

// A cgroup of our own to attach to, gone afterwards.
struct TemporaryCgroup {
    std::string path;
    Fd fd;

    explicit TemporaryCgroup(const std::string& parent) : path(parent + "/sluice-check-" + std::to_string(getpid())) {
        if (mkdir(path.c_str(), 0700) == 0) {
            fd = Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        }
    }
    TemporaryCgroup(const TemporaryCgroup&) = delete;
    TemporaryCgroup& operator=(const TemporaryCgroup&) = delete;
    ~TemporaryCgroup() {
        fd.reset();
        rmdir(path.c_str());
    }
};

void probe_hooks(Probes& out, const std::string& parent) {
    const TemporaryCgroup cgroup(parent);
    if (!cgroup.fd) {
        add(out, "hooks", false, "mkdir " + cgroup.path + ": " + std::strerror(errno),
            "let the agent make directories below " + parent);
        return;
    }
    const Capacities few{16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16};
    for (const Hook& hook : kHooks) {
        const std::string name = std::string("hook ") + (hook.program + 3);
        auto loaded = Loaded::load(few, {}, true, hook.program);
        if (!loaded) {
            add(out, name, false, "load: " + loaded.error().text(),
                std::string("Linux 6.1 or newer, with the capabilities above, is needed") +
                    (hook.packets ? "; sluiced --observe off does without" : ""));
            continue;
        }
        const Fd link(bpf_link_create(loaded->program(hook.program), cgroup.fd.get(), hook.attach, nullptr));
        add(out, name, static_cast<bool>(link),
            link ? "loaded and attached" : std::string("attach: ") + std::strerror(errno),
            "CONFIG_CGROUP_BPF=y and CAP_NET_ADMIN are needed");
    }
    for (const Iterator& iterator : kIterators) {
        auto loaded = Loaded::load(few, {}, true, iterator.program);
        add(out, std::string("iterator ") + (iterator.program + 3), loaded.has_value(),
            loaded ? "loaded" : loaded.error().text(),
            "Linux 6.1 or newer, with the capabilities above, is needed to list and to drain connections");
    }
}

// Ids of the programs at that hook, in the order in which they run.
std::vector<std::uint32_t> query(const std::string& cgroup, bpf_attach_type hook, std::uint32_t flags) {
    const Fd fd(open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::vector<std::uint32_t> ids(kProgramsMax);
    std::uint32_t count = kProgramsMax;
    std::uint32_t attached = 0;
    if (!fd || bpf_prog_query(fd.get(), hook, flags, &attached, ids.data(), &count) != 0) {
        count = 0;
    }
    ids.resize(count);
    return ids;
}

// Name of a program; needs CAP_SYS_ADMIN, else its number must do.
std::string program_text(std::uint32_t id) {
    const Fd fd(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) {
        return "program " + std::to_string(id);
    }
    return "program " + std::to_string(id) + " (" + info.name + ")";
}

// Cgroups below `root` with programs of their own at that hook: those run before ours for their sockets.
std::vector<std::string> children_with_programs(const std::string& root, bpf_attach_type hook) {
    std::vector<std::string> found;
    std::size_t seen = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator it(root, error), end; it != end && seen < kCgroupsMax; it.increment(error)) {
        if (error || !it->is_directory(error)) {
            continue;
        }
        ++seen;
        for (const std::uint32_t id : query(it->path().string(), hook, 0)) {
            found.push_back(it->path().string() + ": " + program_text(id));
        }
    }
    return found;
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

void probe_order(Probes& out, const KernelOptions& options, const Hook& hook) {
    const std::string name = std::string("order of ") + (hook.program + 3);
    std::uint32_t ours = 0;
    if (auto pin = open_pin(Pins(options.bpffs).program(hook.program)); pin && *pin) {
        if (auto identity = program_identity((*pin)->get())) {
            ours = identity->id;
        }
    }
    std::vector<std::string> before;
    for (const std::uint32_t id : query(options.cgroup, hook.attach, BPF_F_QUERY_EFFECTIVE)) {
        if (id == ours) {
            break;
        }
        // Not attached yet: programs of parents will run after ours, those of this very cgroup before.
        const auto own = query(options.cgroup, hook.attach, 0);
        if (ours != 0 || std::ranges::find(own, id) != own.end()) {
            before.push_back(program_text(id));
        }
    }
    for (const std::string& child : children_with_programs(options.cgroup, hook.attach)) {
        before.push_back(child);
    }
    add(out, name, before.empty(),
        before.empty() ? (ours ? "ours runs first" : "nothing would run before ours") : joined(before) + " before ours",
        "detach it, or attach it to a parent of " + options.cgroup + " (programs of a cgroup run before its parents')");
}

}  // namespace

std::vector<Probe> probe(const KernelOptions& options) {
    Probes out;
    probe_kernel(out);
    probe_capabilities(out);
    const bool cgroup = probe_cgroup(out, options.cgroup);
    probe_bpffs(out, options.bpffs);
    if (cgroup) {
        probe_hooks(out, options.cgroup);
        for (const Hook& hook : kHooks) {
            if (hook.attach == BPF_CGROUP_INET4_CONNECT || hook.attach == BPF_CGROUP_INET6_CONNECT) {
                probe_order(out, options, hook);
            }
        }
    }
    return out;
}

}  // namespace sluice::bpf
