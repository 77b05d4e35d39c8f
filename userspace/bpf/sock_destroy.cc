#include "bpf/sock_destroy.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

namespace sluice::bpf {

namespace {

constexpr std::size_t kPathsKept = 4096;

// struct nsfs_file_handle and FILEID_NSFS of Linux 6.18.
struct NsfsHandle {
    file_handle head;
    std::uint64_t id;
    std::uint32_t type;
    std::uint32_t inode;
};
constexpr int kFileIdNsfs = 0xf1;

bool is_mapped(const std::uint8_t* address) {
    static constexpr std::uint8_t kPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(address, kPrefix, sizeof kPrefix) == 0;
}

// A socket to sock_diag in the calling thread's network namespace.
Fd open_diag() {
    return Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}

std::uint64_t cookie_of(const Fd& socket) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return ::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

// Paths in mountinfo have blanks and the like as \ooo.
std::string unescape(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            out += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

// Where network namespaces are mounted.
std::vector<std::string> mounted_namespaces() {
    std::vector<std::string> paths;
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream fields(line);
        std::string id, parent, device, root, point;
        if (fields >> id >> parent >> device >> root >> point && root.starts_with("net:[")) {
            paths.push_back(unescape(point));
        }
    }
    return paths;
}

}  // namespace

// One walk, on a thread of its own: it goes through namespaces and never comes back.
struct SockDestroyer::Search {
    std::map<std::uint64_t, Fd>& ways;
    std::map<std::uint64_t, std::string>& paths;
    std::map<std::uint64_t, std::uint32_t> missing;  // cookie -> inode
    std::set<std::uint64_t> seen{};                  // inodes of namespaces that were entered
    std::size_t denied = 0;                          // processes that may not be looked at

    // Takes the namespace behind `file` if it is missing; `path` is remembered.
    void enter(Fd file, const std::string& path) {
        struct stat status {};
        if (!file || ::fstat(file.get(), &status) != 0 || !seen.insert(status.st_ino).second ||
            ::setns(file.get(), CLONE_NEWNET) != 0) {
            return;
        }
        Fd diag = open_diag();
        const std::uint64_t cookie = diag ? cookie_of(diag) : 0;
        if (missing.erase(cookie) == 0) {
            return;
        }
        ways.emplace(cookie, std::move(diag));
        if (paths.size() >= kPathsKept) {
            paths.clear();
        }
        if (!path.empty()) {
            paths[cookie] = path;
        }
    }

    static Fd open(const std::string& path) { return Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

    void look_at_handles() {
        const Fd any = open("/proc/self/ns/net");
        for (const auto& [cookie, inode] : std::map(missing)) {
            if (inode != 0) {
                NsfsHandle handle{};
                handle.head.handle_bytes = sizeof handle - sizeof handle.head;
                handle.head.handle_type = kFileIdNsfs;
                handle.id = cookie;
                handle.type = CLONE_NEWNET;
                handle.inode = inode;
                enter(Fd(::open_by_handle_at(any.get(), &handle.head, O_RDONLY | O_CLOEXEC)), "");
            }
        }
    }

    void look_at_paths() {
        for (const auto& [cookie, inode] : std::map(missing)) {
            if (auto known = paths.find(cookie); known != paths.end()) {
                const std::string path = known->second;
                enter(open(path), path);
            }
        }
    }

    void look_at_mounts() {
        for (const std::string& path : mounted_namespaces()) {
            if (missing.empty()) {
                return;
            }
            enter(open(path), path);
        }
    }

    void look_at_processes() {
        std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
        while (const dirent* entry = proc && !missing.empty() ? ::readdir(proc.get()) : nullptr) {
            const std::string name = entry->d_name;
            if (!std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) {
                continue;
            }
            const std::string path = "/proc/" + name + "/ns/net";
            Fd file = open(path);
            denied += !file && (errno == EACCES || errno == EPERM) ? 1 : 0;
            enter(std::move(file), path);
        }
    }

    void run() {
        look_at_handles();
        look_at_paths();
        if (!missing.empty()) {
            look_at_mounts();
        }
        if (!missing.empty()) {
            look_at_processes();
        }
    }
};

std::map<std::uint64_t, Error> SockDestroyer::reach(std::span<const NetnsName> wanted) {
    Search search{ways_, paths_, {}};
    for (const NetnsName& name : wanted) {
        if (!ways_.contains(name.cookie)) {
            search.missing.emplace(name.cookie, name.inode);
        }
    }
    Fd own = search.missing.empty() ? Fd() : open_diag();
    if (const std::uint64_t cookie = own ? cookie_of(own) : 0; search.missing.erase(cookie) != 0) {
        ways_.emplace(cookie, std::move(own));
    }
    if (!search.missing.empty()) {
        std::thread([&] { search.run(); }).join();
    }
    std::map<std::uint64_t, Error> unreached;
    for (const auto& [cookie, inode] : search.missing) {
        paths_.erase(cookie);
        const std::string text = "network namespace " + std::to_string(cookie) + ": not found in mounts or processes";
        unreached.emplace(cookie, search.denied == 0
                                      ? Error{ESRCH, text}
                                      : Error{EACCES, text + ", and " + std::to_string(search.denied) +
                                                          " processes may not be looked at (CAP_SYS_PTRACE)"});
    }
    return unreached;
}

Result<Ended> SockDestroyer::destroy(const sl_connection& connection) {
    const auto way = ways_.find(connection.netns_cookie);
    if (way == ways_.end()) {
        return fail_errno(ESRCH, "network namespace " + std::to_string(connection.netns_cookie) + ": not reached");
    }
    struct {
        nlmsghdr head;
        inet_diag_req_v2 body;
    } request{};
    request.head.nlmsg_len = sizeof request;
    request.head.nlmsg_type = SOCK_DESTROY;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    request.head.nlmsg_seq = ++sequence_;
    // A dual-stack socket that talks IPv4 stands among the IPv4 ones.
    const bool v4 = is_mapped(connection.local_address) && is_mapped(connection.remote_address);
    const std::size_t skip = v4 ? 12 : 0;
    request.body.sdiag_family = v4 ? AF_INET : AF_INET6;
    request.body.sdiag_protocol = IPPROTO_TCP;
    request.body.idiag_states = ~0u;
    request.body.id.idiag_sport = connection.local_port;
    request.body.id.idiag_dport = connection.remote_port;
    std::memcpy(request.body.id.idiag_src, connection.local_address + skip, 16 - skip);
    std::memcpy(request.body.id.idiag_dst, connection.remote_address + skip, 16 - skip);
    request.body.id.idiag_cookie[0] = static_cast<std::uint32_t>(connection.cookie);
    request.body.id.idiag_cookie[1] = static_cast<std::uint32_t>(connection.cookie >> 32);

    const sockaddr_nl kernel{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
    if (::sendto(way->second.get(), &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&kernel),
                 sizeof kernel) < 0) {
        return fail_errno("SOCK_DESTROY");
    }
    // The kernel has acted, and answered, when sendto() returns.
    struct {
        nlmsghdr head;
        nlmsgerr body;
        char rest[512];
    } answer{};
    do {
        const ssize_t n = ::recv(way->second.get(), &answer, sizeof answer, MSG_DONTWAIT);
        if (n < static_cast<ssize_t>(sizeof answer.head + sizeof answer.body.error)) {
            return fail_errno(n < 0 ? errno : EBADMSG, "SOCK_DESTROY: its answer");
        }
    } while (answer.head.nlmsg_seq != sequence_ || answer.head.nlmsg_type != NLMSG_ERROR);
    switch (-answer.body.error) {
        case 0:
            return Ended::kNow;
        case ENOENT:
        case ESTALE:  // the same addresses, but another socket
            return Ended::kBefore;
        default:
            return fail_errno(-answer.body.error, "SOCK_DESTROY");
    }
}

}  // namespace sluice::bpf
