// What the tests of the programs share: a cgroup, a bpffs and tables of their own, servers in the test process, clients
// in forked children. Success is an answer that carries the server's version and the client's nonce, never a mere
// connect().
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/cgroup.h"
#include "base/fd.h"
#include "base/ip.h"
#include "bpf/kernel.h"
#include "sluice/abi/conn.h"
#include "sluice/abi/tables.h"

namespace sluice::test {

using namespace std::chrono_literals;

// True as soon as `condition` holds; false when it does not within `limit`.
inline bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = 5s) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

inline std::string unique_name() {
    static std::atomic<int> next = 0;
    return "sluice-test-" + std::to_string(getpid()) + "-" + std::to_string(next++);
}

// A cgroup of the test's own; removed with its children when it is empty.
class Cgroup {
  public:
    explicit Cgroup(const std::string& parent = cgroup2_mount()) : path(parent + "/" + unique_name()) {
        if (mkdir(path.c_str(), 0755) != 0) {
            throw std::runtime_error("mkdir " + path + ": " + std::strerror(errno));
        }
    }
    Cgroup(const Cgroup&) = delete;
    Cgroup& operator=(const Cgroup&) = delete;
    ~Cgroup() {
        eventually([&] { return rmdir(path.c_str()) == 0 || errno == ENOENT; });
    }
    std::uint64_t id() const {
        struct stat status {};
        stat(path.c_str(), &status);
        return status.st_ino;
    }
    // Moves the calling process.
    void enter() const { std::ofstream(path + "/cgroup.procs") << getpid() << std::flush; }

    const std::string path;
};

// A bpffs in a temporary directory, in this process's own mount namespace: gone with the process, however it ends.
class Bpffs {
  public:
    Bpffs() {
        static const bool once = [] {
            return unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
        }();
        path = std::filesystem::temp_directory_path() / unique_name();
        std::filesystem::create_directory(path);
        if (!once || mount("bpffs", path.c_str(), "bpf", 0, nullptr) != 0) {
            throw std::runtime_error("mount bpffs: " + std::string(std::strerror(errno)));
        }
    }
    Bpffs(const Bpffs&) = delete;
    Bpffs& operator=(const Bpffs&) = delete;
    ~Bpffs() {
        umount2(path.c_str(), MNT_DETACH);
        std::error_code ignored;
        std::filesystem::remove(path, ignored);
    }
    std::string path;
};

// Address and port as sockets take them.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    Address() = default;
    Address(const std::string& ip, std::uint16_t port) {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
        if (inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons(port);
            size = sizeof *v4;
        } else if (inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons(port);
            size = sizeof *v6;
        }
    }
    int family() const { return storage.ss_family; }
    const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
    std::uint16_t port() const { return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port); }
    std::string text() const {
        char buffer[INET6_ADDRSTRLEN] = {};
        if (family() == AF_INET) {
            inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, buffer, sizeof buffer);
        } else {
            inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, buffer, sizeof buffer);
        }
        return std::string(buffer) + " " + std::to_string(port());
    }
};

inline std::string peer_of(int fd) {
    Address peer;
    peer.size = sizeof peer.storage;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) {
        return std::strerror(errno);
    }
    return peer.text();
}

// Reads up to the newline; empty on anything else within `limit`.
inline std::string read_line(int fd, std::chrono::milliseconds limit = 5s) {
    std::string line;
    pollfd wait{fd, POLLIN, 0};
    char c = 0;
    while (poll(&wait, 1, static_cast<int>(limit.count())) > 0 && read(fd, &c, 1) == 1) {
        if (c == '\n') {
            return line;
        }
        line += c;
    }
    return {};
}

inline bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

// A listening socket in the calling thread's network namespace; a free port when `port` is 0.
inline Fd listen_on(const std::string& ip, std::uint16_t& port) {
    const Address address(ip, port);
    Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.family() == AF_INET6) {
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd.get(), address.raw(), address.size) != 0 || listen(fd.get(), 1024) != 0) {
        throw std::runtime_error("listen on " + ip + ": " + std::strerror(errno));
    }
    Address bound;
    bound.size = sizeof bound.storage;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
    port = bound.port();
    return fd;
}

// Answers every line "NONCE" with "VERSION NONCE", on any number of connections, until it is destroyed.
class Server {
  public:
    Server(std::string version, const std::string& ip, std::uint16_t at = 0) : version_(std::move(version)), port(at) {
        listener_ = listen_on(ip, port);
        if (pipe2(stop_, O_CLOEXEC) != 0) {
            throw std::runtime_error("pipe");
        }
        thread_ = std::thread([this] { serve(); });
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() {
        close(stop_[1]);
        thread_.join();
        close(stop_[0]);
    }

    std::atomic<int> accepted = 0;

  private:
    void serve() {
        std::vector<std::pair<Fd, std::string>> open;
        for (;;) {
            std::vector<pollfd> wait{{stop_[0], POLLIN, 0}, {listener_.get(), POLLIN, 0}};
            for (const auto& [fd, text] : open) {
                wait.push_back({fd.get(), POLLIN, 0});
            }
            if (poll(wait.data(), wait.size(), -1) < 0 || wait[0].revents != 0) {
                return;
            }
            for (std::size_t i = open.size(); i-- > 0;) {
                if (wait[i + 2].revents != 0 && !answer(open[i].first.get(), open[i].second)) {
                    open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
                }
            }
            if (wait[1].revents != 0) {
                Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
                if (fd) {
                    ++accepted;
                    open.emplace_back(std::move(fd), "");
                }
            }
        }
    }
    bool answer(int fd, std::string& text) {
        char buffer[4096];
        const ssize_t n = read(fd, buffer, sizeof buffer);
        if (n <= 0) {
            return false;
        }
        text.append(buffer, static_cast<std::size_t>(n));
        for (std::size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
            if (!write_all(fd, version_ + " " + text.substr(0, end + 1))) {
                return false;
            }
        }
        return true;
    }

    std::string version_;
    Fd listener_;
    int stop_[2] = {-1, -1};
    std::thread thread_;

  public:
    std::uint16_t port;
};

// connect() with a new socket of the address's family (or `family`); the descriptor, or -errno.
inline int dial(const std::string& ip, std::uint16_t port, int family = 0) {
    const Address address(ip, port);
    const int fd = socket(family != 0 ? family : address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, address.raw(), address.size) != 0) {
        const int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

// The version that answers on a connected socket; "?" when the answer is not one to this nonce.
inline std::string ask(int fd) {
    static std::atomic<int> next = 0;
    const std::string nonce = std::to_string(getpid()) + "-" + std::to_string(next++);
    if (!write_all(fd, nonce + "\n")) {
        return "?";
    }
    const std::string line = read_line(fd);
    const std::size_t space = line.find(' ');
    return space != std::string::npos && line.substr(space + 1) == nonce ? line.substr(0, space) : "?";
}

// Dials, asks, closes: the version, or the errno's name as text.
inline std::string ask_once(const std::string& ip, std::uint16_t port) {
    const int fd = dial(ip, port);
    if (fd < 0) {
        return std::strerror(-fd);
    }
    const std::string version = ask(fd);
    close(fd);
    return version;
}

// In a network namespace that was just made.
inline bool bring_up_loopback() {
    const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    return ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

// A process of its own in a cgroup (and network namespace). It talks with the test by lines.
class Child {
  public:
    // `body` runs in the child with the descriptor to talk on; its return value is sent as the last line.
    Child(const Cgroup& cgroup, const std::function<std::string(int)>& body, int netns = -1) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
            throw std::runtime_error("socketpair");
        }
        pid_ = fork();
        if (pid_ == 0) {
            close(pair[0]);
            signal(SIGPIPE, SIG_IGN);
            cgroup.enter();
            if (netns >= 0 && setns(netns, CLONE_NEWNET) != 0) {
                _exit(3);
            }
            const std::string result = body(pair[1]) + "\n";
            write_all(pair[1], result);
            _exit(0);
        }
        close(pair[1]);
        talk_ = Fd(pair[0]);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            wait();
        }
    }
    std::string hear(std::chrono::milliseconds limit = 60s) { return read_line(talk_.get(), limit); }
    void say(const std::string& line) { write_all(talk_.get(), line + "\n"); }
    pid_t pid() const { return pid_; }
    void kill_hard() {
        kill(pid_, SIGKILL);
        wait();
    }
    void wait() {
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

  private:
    pid_t pid_ = -1;
    Fd talk_;
};

// Runs `body` in a child in that cgroup; what it returned ("" when it died).
inline std::string in_cgroup(const Cgroup& cgroup, const std::function<std::string()>& body, int netns = -1) {
    Child child(
        cgroup, [&](int) { return body(); }, netns);
    return child.hear();
}

}  // namespace sluice::test
