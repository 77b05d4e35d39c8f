#include "daemon/capture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <fmt/format.h>

#include "daemon/clock.h"
#include "daemon/listeners.h"

namespace sluice::daemon {

namespace {

constexpr auto kLookRest = 100;  // a look may take a hundredth of the time
constexpr int kLooksMissed = 2;  // without anybody in a namespace, and it is left
constexpr std::size_t kErrorsKept = 16;
constexpr std::uint64_t kCaptureNs = 60'000'000'000;  // that a record waits for its connection to be accepted
constexpr int kBacklog = 4096;

// The other end of a connection.
bool peer_of(int fd, IpAddress& address, std::uint16_t& port) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
        return false;
    }
    if (peer.ss_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
        std::memcpy(address.bytes.data(), &v6.sin6_addr, 16);
        port = v6.sin6_port;
    } else {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
        address.bytes[10] = address.bytes[11] = 0xff;
        std::memcpy(address.bytes.data() + 12, &v4.sin_addr, 4);
        port = v4.sin_port;
    }
    return true;
}

// Listens on loopback, on `port` if it is given, and says on which. `shared`: the port is another socket's already.
Result<Fd> listen_on_loopback(int family, std::uint16_t& port, bool shared) {
    sockaddr_storage address{};
    socklen_t size = 0;
    if (family == AF_INET) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(address);
        v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
        size = sizeof(v4);
    } else {
        auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        v6.sin6_addr = in6addr_loopback;
        size = sizeof(v6);
    }
    Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (shared && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(fd.get(), kBacklog) != 0 ||
        // Nobody shares the port who was there before; from now on our others may.
        (!shared && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        return fail_errno(fmt::format("listening on {}:{}", family == AF_INET ? "127.0.0.1" : "[::1]", port));
    }
    port = ntohs(family == AF_INET ? reinterpret_cast<const sockaddr_in&>(address).sin_port
                                   : reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
    return fd;
}

// `count` sockets on the port that is wanted; on any when it is taken.
Result<std::vector<Fd>> listen_on_loopback(int family, std::uint16_t wanted, std::uint32_t count, std::uint16_t& port) {
    port = wanted;
    auto first = listen_on_loopback(family, port, false);
    if (!first && first.error().code == EADDRINUSE) {
        port = 0;
        first = listen_on_loopback(family, port, false);
    }
    std::vector<Fd> sockets;
    for (; first && sockets.size() + 1 < count;) {
        auto next = listen_on_loopback(family, port, true);
        if (!next) {
            first = std::move(next);
            break;
        }
        sockets.push_back(std::move(*next));
    }
    if (!first) {
        port = 0;
        return std::unexpected(std::move(first.error()));
    }
    sockets.push_back(std::move(*first));
    return sockets;
}

std::uint64_t own_netns_inode() {
    struct stat status {};
    return ::stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0;
}

std::string door_name(std::uint64_t inode) {
    return fmt::format("capture in net:[{}]", inode);
}

}  // namespace

// A network namespace with listeners.
struct Capture::Namespace {
    std::uint32_t number = 0;  // Dialled::netns; 0: the agent's own
    std::uint64_t cookie = 0, inode = 0;
    Fd file;  // to enter it
    std::uint16_t port_v4 = 0, port_v6 = 0;
};

Capture::Capture(const bpf::Kernel& kernel, const Options& options)
    : kernel_(kernel),
      cgroup_(options.kernel.cgroup),
      port_(options.capture_port),
      workers_(worker_count(options)),
      own_inode_(own_netns_inode()) {}

Capture::~Capture() = default;

// ---- what workers ask for --------------------------------------------------------------------------------------

Result<Fd> Capture::socket(std::uint32_t netns, int family) {
    Fd made;
    const auto make = [&]() -> Result<> {
        made = Fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        return made ? kernel_.mark_agent_socket(made.get()) : Result<>(fail_errno("socket"));
    };
    NamespacePtr space;
    if (netns != 0) {
        const std::lock_guard lock(numbers_mutex_);
        const auto found = by_number_.find(netns);
        if (found == by_number_.end()) {
            return fail_errno(ENONET, "the client's network namespace is gone");
        }
        space = found->second;
    }
    if (auto done = space ? netns_.run(space->file.get(), make) : make(); !done) {
        return std::unexpected(std::move(done.error()));
    }
    return made;
}

std::optional<proxy::Dialled> Capture::identify(const Namespace& space, int fd) const {
    IpAddress address;
    sl_capture_key key{};
    key.netns_cookie = space.cookie;
    if (!peer_of(fd, address, key.port)) {
        return std::nullopt;
    }
    std::memcpy(key.address, address.bytes.data(), sizeof(key.address));
    const std::optional<sl_capture> capture = kernel_.take_capture(key);
    if (!capture) {
        return std::nullopt;
    }
    proxy::Dialled dialled = book_.read(*capture, address);
    dialled.netns = space.number;
    return dialled;
}

// ---- where it listens ------------------------------------------------------------------------------------------

void Capture::begin(proxy::Proxy& proxy) {
    const std::lock_guard lock(mutex_);
    proxy_ = &proxy;
    if (listens()) {
        look_at_all();
    }
}

void Capture::expect_services() {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(expected_, true) && listens()) {
        look_at_all();
    }
}

void Capture::look() {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (listens() && now >= next_look_) {
        look_at_all();
        static_cast<void>(kernel_.forget_captures(monotonic_ns() - kCaptureNs));
    }
}

void Capture::unheard(std::uint64_t netns_cookie, std::uint32_t process) {
    const std::lock_guard lock(mutex_);
    if (!listens()) {
        return;
    }
    const auto open = [&] {
        return std::ranges::any_of(open_,
                                   [&](const auto& entry) { return entry.second.space->cookie == netns_cookie; });
    };
    if (!open()) {
        look_at(fmt::format("/proc/{}/ns/net", process));
    }
    // In a pid namespace of its own the agent knows the process by another number.
    if (!open() && std::chrono::steady_clock::now() >= next_look_) {
        look_at_all();
    }
}

void Capture::end() {
    const std::lock_guard lock(mutex_);
    proxy_ = nullptr;
    open_.clear();
}

void Capture::look_at_all() {
    namespace fs = std::filesystem;
    const auto begun = std::chrono::steady_clock::now();
    denied_ = 0;
    seen_.clear();
    failed_.clear();
    look_at("/proc/self/ns/net");
    const auto look_in = [&](const fs::path& directory) {
        std::ifstream processes(directory / "cgroup.procs");
        for (std::uint32_t process = 0; processes >> process;) {
            look_at(fmt::format("/proc/{}/ns/net", process));
        }
    };
    look_in(cgroup_);
    std::error_code error, ignored;
    for (fs::recursive_directory_iterator it(cgroup_, error), end; !error && it != end; it.increment(error)) {
        if (it->is_directory(ignored)) {
            look_in(it->path());
        }
    }
    for (auto it = open_.begin(); it != open_.end();) {
        Open& open = it->second;
        open.missed = seen_.contains(it->first) ? 0 : open.missed + 1;
        if (open.missed < kLooksMissed) {
            ++it;
            continue;
        }
        close(*open.space);
        it = open_.erase(it);
    }
    next_look_ = begun + (std::chrono::steady_clock::now() - begun) * kLookRest;
}

void Capture::look_at(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        denied_ += errno == EACCES || errno == EPERM ? 1 : 0;
        return;
    }
    seen_.insert(status.st_ino);
    if (open_.contains(status.st_ino) || failed_.contains(status.st_ino)) {
        return;
    }
    // The process may have gone elsewhere since: what was opened counts.
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file || ::fstat(file.get(), &status) != 0 || open_.contains(status.st_ino)) {
        return;
    }
    if (auto done = open(std::move(file), status.st_ino); !done && failed_.size() < kErrorsKept) {
        failed_.emplace(status.st_ino, done.error().text());
    }
}

Result<> Capture::open(Fd file, std::uint64_t inode) {
    Sockets v4, v6;
    Result<> without_v4, without_v6;
    const auto make = [&]() -> Result<> {
        without_v4 = open_sockets(AF_INET, v4);
        without_v6 = open_sockets(AF_INET6, v6);
        return {};
    };
    if (auto done = inode == own_inode_ ? make() : netns_.run(file.get(), make); !done) {
        return done;
    }
    if (!without_v4 && !without_v6) {
        return without_v4;
    }
    auto made = std::make_shared<Namespace>();
    made->cookie = netns_cookie(v4.beacon ? v4.beacon.get() : v6.beacon.get());
    made->inode = inode;
    made->file = std::move(file);
    made->port_v4 = v4.port;
    made->port_v6 = v6.port;
    made->number = inode == own_inode_ ? 0 : ++numbers_;
    const NamespacePtr space = made;
    if (space->number != 0) {
        const std::lock_guard lock(numbers_mutex_);
        by_number_[space->number] = space;
    }
    Result<> done;
    for (Sockets* family : {&v4, &v6}) {
        if (done && !family->listeners.empty()) {
            done = proxy_->listen({.name = door_name(inode),
                                   .sockets = std::move(family->listeners),
                                   .dialled = {},
                                   .identify = [this, space](int fd) { return identify(*space, fd); }});
        }
    }
    if (done) {
        done = kernel_.open_door(space->cookie,
                                 {htons(v4.port), htons(v6.port), htons(v4.beacon_port), htons(v6.beacon_port)});
    }
    if (!done) {
        close(*space);
        return done;
    }
    open_[inode] = {space, std::move(v4.beacon), std::move(v6.beacon)};
    return {};
}

Result<> Capture::open_sockets(int family, Sockets& out) const {
    Sockets made;
    auto listeners = listen_on_loopback(family, port_, workers_, made.port);
    auto beacon = listen_on_loopback(family, 0, 1, made.beacon_port);
    if (!listeners || !beacon) {
        return std::unexpected(std::move(!listeners ? listeners.error() : beacon.error()));
    }
    made.listeners = std::move(*listeners);
    made.beacon = std::move(beacon->front());
    if (auto done = kernel_.mark_agent_socket(made.beacon.get()); !done) {
        return done;
    }
    out = std::move(made);
    return {};
}

void Capture::close(const Namespace& space) {
    static_cast<void>(kernel_.close_door(space.cookie));
    proxy_->stop_listening(door_name(space.inode));
    {
        const std::lock_guard lock(numbers_mutex_);
        by_number_.erase(space.number);
    }
    if (space.number != 0) {
        proxy_->forget_netns(space.number);
    }
}

CaptureFacts Capture::facts() const {
    const std::lock_guard lock(mutex_);
    CaptureFacts facts;
    for (const auto& [inode, open] : open_) {
        facts.doors.push_back({.netns_cookie = open.space->cookie,
                               .netns_inode = inode,
                               .port_v4 = open.space->port_v4,
                               .port_v6 = open.space->port_v6,
                               .own = open.space->number == 0});
    }
    facts.denied = denied_;
    for (const auto& [inode, why] : failed_) {
        facts.errors.push_back(fmt::format("net:[{}]: {}", inode, why));
    }
    return facts;
}

}  // namespace sluice::daemon
