#include "bpf/pins.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sluice/abi/base.h"

namespace sluice::bpf {

namespace fs = std::filesystem;

namespace {

// Says that we mounted it, so that uninstall takes it away again.
constexpr const char* kMountSource = "sluice";

Result<> make_directory(const std::string& path) {
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return fail_errno("mkdir " + path);
    }
    return {};
}

Result<Fd> lock_directory(const std::string& path) {
    Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno("open " + path);
    }
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return fail_errno(EBUSY, path + " belongs to another running agent; stop it first");
        }
        return fail_errno("lock " + path);
    }
    return fd;
}

std::vector<std::string> entries(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
        names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
}

// connect programs first: "sl_connect4" sorts before the others, which is not left to chance.
std::vector<std::string> links_in_order(const std::string& directory) {
    std::vector<std::string> names = entries(directory);
    std::ranges::stable_partition(names, [](const std::string& name) { return name.starts_with("sl_connect"); });
    return names;
}

Result<> detach_and_unlink(const std::string& path) {
    auto link = open_pin(path);
    if (!link) {
        return std::unexpected(link.error());
    }
    // Another descriptor may still hold it; a link whose cgroup is gone cannot be detached, and need not be.
    if (*link && bpf_link_detach((*link)->get()) != 0 && errno != ENOLINK && errno != EINVAL && errno != ENOENT) {
        return fail_errno("detach " + path);
    }
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        return fail_errno("unlink " + path);
    }
    return {};
}

Result<> remove_version(const std::string& root) {
    for (const std::string& name : links_in_order(root + "/links")) {
        if (auto done = detach_and_unlink(root + "/links/" + name); !done) {
            return done;
        }
    }
    for (const char* kind : {"progs", "maps"}) {
        for (const std::string& name : entries(root + "/" + kind)) {
            const std::string path = root + "/" + kind + "/" + name;
            if (unlink(path.c_str()) != 0 && errno != ENOENT) {
                return fail_errno("unlink " + path);
            }
        }
    }
    for (const std::string& path : {root + "/links", root + "/progs", root + "/maps", root}) {
        if (rmdir(path.c_str()) != 0 && errno != ENOENT) {
            return fail_errno("rmdir " + path);
        }
    }
    return {};
}

// All versions below `home` but one; their names.
Result<std::vector<std::string>> remove_versions(const std::string& home, const std::string& kept) {
    std::vector<std::string> removed;
    for (const std::string& version : entries(home)) {
        const std::string root = home + "/" + version;
        if (root == kept) {
            continue;
        }
        if (auto done = remove_version(root); !done) {
            return std::unexpected(done.error());
        }
        removed.push_back(version);
    }
    return removed;
}

// The source of the mount at exactly this path; empty: not a mount point.
std::string mount_source(const std::string& path) {
    std::error_code error;
    const std::string wanted = fs::canonical(path, error).string();
    std::ifstream in("/proc/self/mountinfo");
    std::string line;
    std::string found;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string id, parent, device, root, point, word, type, source;
        words >> id >> parent >> device >> root >> point;
        while (words >> word && word != "-") {
        }
        words >> type >> source;
        if (point == wanted) {
            found = source;
        }
    }
    return found;
}

Result<> mount_bpffs(const std::string& path) {
    if (mount(kMountSource, path.c_str(), "bpf", 0, "mode=0700") != 0) {
        return fail_errno("no bpffs is mounted at " + path + " and mounting one failed (mount -t bpf bpffs " + path +
                          ", or run with CAP_SYS_ADMIN)");
    }
    mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr);
    return {};
}

}  // namespace

Result<bool> is_bpffs(const std::string& path) {
    struct statfs info {};
    if (statfs(path.c_str(), &info) != 0) {
        return fail_errno(path);
    }
    return info.f_type == BPF_FS_MAGIC;
}

Pins::Pins(std::string bpffs)
    : bpffs_(std::move(bpffs)), home_(bpffs_ + "/sluice"), root_(home_ + "/v" + std::to_string(SL_ABI_VERSION)) {}

Result<Fd> Pins::prepare() const {
    auto mounted = is_bpffs(bpffs_);
    if (!mounted) {
        return std::unexpected(
            std::move(mounted.error()).within("bpffs (make the directory, or name another with --bpffs)"));
    }
    if (!*mounted) {
        if (auto done = mount_bpffs(bpffs_); !done) {
            return std::unexpected(done.error());
        }
    }
    if (auto done = make_directory(home_); !done) {
        return std::unexpected(done.error());
    }
    auto lock = lock_directory(home_);
    if (!lock) {
        return lock;
    }
    for (const std::string& path : {root_, root_ + "/maps", root_ + "/progs", root_ + "/links"}) {
        if (auto done = make_directory(path); !done) {
            return std::unexpected(done.error());
        }
    }
    return lock;
}

Result<> Pins::drop(const std::string& name) const {
    if (auto done = detach_and_unlink(link(name)); !done) {
        return done;
    }
    if (unlink(program(name).c_str()) != 0 && errno != ENOENT) {
        return fail_errno("unlink " + program(name));
    }
    return {};
}

Result<std::vector<std::string>> Pins::remove_others() const {
    return remove_versions(home_, root_);
}

Result<> Pins::remove_all() const {
    auto mounted = is_bpffs(bpffs_);
    if (!mounted || !*mounted) {
        return {};
    }
    if (fs::exists(home_)) {
        auto lock = lock_directory(home_);
        if (!lock) {
            return std::unexpected(lock.error());
        }
        if (auto done = remove_versions(home_, ""); !done) {
            return std::unexpected(done.error());
        }
        if (rmdir(home_.c_str()) != 0) {
            return fail_errno("rmdir " + home_);
        }
    }
    // The kernel puts its own maps.debug and progs.debug into every bpffs.
    const bool empty = std::ranges::all_of(entries(bpffs_), [](const auto& name) { return name.ends_with(".debug"); });
    if (mount_source(bpffs_) == kMountSource && empty && umount(bpffs_.c_str()) != 0) {
        return fail_errno("umount " + bpffs_);
    }
    return {};
}

Result<std::optional<Fd>> open_pin(const std::string& path) {
    const int fd = bpf_obj_get(path.c_str());
    if (fd >= 0) {
        return std::optional<Fd>(Fd(fd));
    }
    if (errno == ENOENT) {
        return std::nullopt;
    }
    return fail_errno("open pin " + path);
}

Result<> replace_pin(int fd, const std::string& path) {
    const std::string fresh = path + "-new";
    if (unlink(fresh.c_str()) != 0 && errno != ENOENT) {
        return fail_errno("unlink " + fresh);
    }
    if (bpf_obj_pin(fd, fresh.c_str()) != 0) {
        return fail_errno("pin " + fresh);
    }
    if (rename(fresh.c_str(), path.c_str()) != 0) {
        return fail_errno("rename " + fresh);
    }
    return {};
}

}  // namespace sluice::bpf
