// Loads and attaches every program as the agent does, with the agent's capabilities and no other, and says what it cost
// the verifier. As process 1 of an initramfs it prepares the machine first and powers it off at the end.
//
//   kernel RELEASE
//   program NAME INSTRUCTIONS     once a program, as the verifier counted them
//   dialled                       a connection of a process in the cgroup went through the programs
//   loaded                        all of it was as it should be; else a line `failed TEXT`
//
// As process 1 it then runs every program in /tests, one after the other; each ends with a line `ended NAME STATUS`.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "bpf/kernel.h"

namespace {

using sluice::Fd;
using sluice::Result;

// What `sluiced` keeps (design: CAP_BPF, NET_ADMIN, PERFMON, and SYS_ADMIN for setns).
constexpr std::array<cap_value_t, 4> kCapabilities{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN};

Result<> keep_only_capabilities() {
    for (cap_value_t capability = 0; cap_get_bound(capability) >= 0; ++capability) {
        bool kept = false;
        for (cap_value_t wanted : kCapabilities) {
            kept = kept || wanted == capability;
        }
        if (!kept && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            return sluice::fail_errno("drop a capability from the bounding set");
        }
    }
    cap_t capabilities = cap_init();
    bool ok = capabilities != nullptr;
    for (cap_flag_t flag : {CAP_PERMITTED, CAP_EFFECTIVE}) {
        ok = ok && cap_set_flag(capabilities, flag, kCapabilities.size(), kCapabilities.data(), CAP_SET) == 0;
    }
    ok = ok && cap_set_proc(capabilities) == 0;
    int code = errno;
    cap_free(capabilities);
    return ok ? Result<>{} : sluice::fail_errno(code, "set the capabilities");
}

Result<> make_mount(const char* type, const std::string& path) {
    mkdir(path.c_str(), 0755);
    if (mount(type, path.c_str(), type, 0, nullptr) != 0) {
        return sluice::fail_errno("mount " + std::string(type) + " on " + path);
    }
    return {};
}

Result<> bring_up_loopback() {
    Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::snprintf(request.ifr_name, sizeof(request.ifr_name), "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) {
        return sluice::fail_errno("bring up lo");
    }
    return {};
}

// The machine of an initramfs: nothing is mounted, nothing is up. Returns the cgroup2 mount.
Result<std::string> prepare_machine() {
    for (auto [type, path] : {std::pair{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}}) {
        if (auto done = make_mount(type, path); !done) {
            return std::unexpected(done.error());
        }
    }
    if (auto done = make_mount("cgroup2", "/sys/fs/cgroup"); !done) {
        return std::unexpected(done.error());
    }
    if (auto done = bring_up_loopback(); !done) {
        return std::unexpected(done.error());
    }
    return "/sys/fs/cgroup";
}

Result<std::string> find_cgroup2() {
    std::ifstream mounts("/proc/self/mounts");
    std::string device, path, type, rest;
    while (mounts >> device >> path >> type && std::getline(mounts, rest)) {
        if (type == "cgroup2") {
            return path;
        }
    }
    return sluice::fail("no cgroup2 is mounted");
}

// A process inside the cgroup connects over loopback to an address that is no mesh address and must reach it.
Result<> dial_inside(const std::string& cgroup) {
    Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener.get(), generic, size) != 0 || listen(listener.get(), 1) != 0 ||
        getsockname(listener.get(), generic, &size) != 0) {
        return sluice::fail_errno("listen on loopback");
    }
    pid_t child = fork();
    if (child == 0) {
        std::ofstream procs(cgroup + "/cgroup.procs");
        procs << "0" << std::flush;
        Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in peer{};
        socklen_t peer_size = sizeof(peer);
        bool ok = procs.good() && connect(fd.get(), generic, size) == 0 &&
                  getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 &&
                  peer.sin_port == address.sin_port;
        _exit(ok ? 0 : 1);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        return sluice::fail("a connection from inside the cgroup did not reach its listener");
    }
    return {};
}

Result<> load_and_dial(const sluice::bpf::KernelOptions& options) {
    auto kernel = sluice::bpf::Kernel::open(options);
    if (!kernel) {
        return std::unexpected(kernel.error());
    }
    auto programs = kernel->programs();
    if (!programs) {
        return std::unexpected(programs.error());
    }
    for (const auto& program : *programs) {
        std::printf("program %s %u\n", program.name.c_str(), program.verified_insns);
    }
    if (auto dialled = dial_inside(options.cgroup); !dialled) {
        return dialled;
    }
    std::puts("dialled");
    return {};
}

std::set<std::string> everything_below(const std::string& folder) {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        found.insert(entry.path());
    }
    return found;
}

Result<> load_and_uninstall(const sluice::bpf::KernelOptions& options) {
    if (auto kept = keep_only_capabilities(); !kept) {
        return kept;
    }
    auto before = everything_below(options.bpffs);  // some kernels put files of their own into a new bpffs
    auto loaded = load_and_dial(options);
    auto gone = sluice::bpf::Kernel::uninstall(options);
    if (loaded && gone) {
        for (const auto& left : everything_below(options.bpffs)) {
            if (!before.contains(left)) {
                return sluice::fail("uninstalling left " + left);
            }
        }
    }
    return loaded ? gone : loaded;
}

Result<> run(bool first_process) {
    auto mount_point = first_process ? prepare_machine() : find_cgroup2();
    if (!mount_point) {
        return std::unexpected(mount_point.error());
    }
    if (unshare(CLONE_NEWNS) != 0 ||
        (!first_process && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)) {
        return sluice::fail_errno("a mount namespace of our own");
    }
    std::string folder = "/tmp/sluice-kernels-XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) {
        return sluice::fail_errno("make " + folder);
    }
    sluice::bpf::KernelOptions options;
    options.bpffs = folder;
    options.cgroup = *mount_point + "/sluice-kernels-" + std::to_string(getpid());
    auto result = make_mount("bpf", folder);
    if (result && mkdir(options.cgroup.c_str(), 0755) != 0) {
        result = sluice::fail_errno("make " + options.cgroup);
    }
    if (result) {
        std::fflush(stdout);
        pid_t child = fork();  // capabilities are dropped there; cleaning up needs them
        if (child == 0) {
            auto loaded = load_and_uninstall(options);
            if (!loaded) {
                std::printf("failed %s\n", loaded.error().text().c_str());
            }
            std::fflush(stdout);
            _exit(loaded ? 0 : 1);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            result = sluice::fail("loading ended with status " + std::to_string(status));
        }
    }
    umount(folder.c_str());
    rmdir(folder.c_str());
    rmdir(options.cgroup.c_str());
    return result;
}

void run_tests() {
    std::set<std::string> programs;
    for (const auto& entry : std::filesystem::directory_iterator("/tests")) {
        programs.insert(entry.path());
    }
    for (const auto& program : programs) {
        pid_t child = fork();
        if (child == 0) {
            execl(program.c_str(), program.c_str(), "--gtest_color=no", nullptr);
            _exit(127);
        }
        int status = 0;
        waitpid(child, &status, 0);
        std::printf("ended %s %d\n", std::filesystem::path(program).filename().c_str(), status);
        std::fflush(stdout);
    }
}

// Loads what the initramfs has in /modules, in the order of their names. One that fails is missed by its test.
void load_modules() {
    std::error_code none;
    std::set<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator("/modules", none)) {
        paths.insert(entry.path());
    }
    for (const std::string& path : paths) {
        const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file || syscall(SYS_finit_module, file.get(), "", 0) != 0) {
            std::printf("module %s: %s\n", path.c_str(), std::strerror(errno));
        }
    }
}

}  // namespace

int main() {
    bool first_process = getpid() == 1;
    utsname system{};
    uname(&system);
    std::printf("kernel %s\n", system.release);
    std::fflush(stdout);
    if (first_process) {
        load_modules();
    }
    auto result = run(first_process);
    std::printf("%s%s\n", result ? "loaded" : "failed ", result ? "" : result.error().text().c_str());
    std::fflush(stdout);
    if (first_process) {
        run_tests();
        reboot(RB_POWER_OFF);
    }
    return result ? 0 : 1;
}
