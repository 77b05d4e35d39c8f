#include "daemon/listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include <iterator>
#include "proxy/proxy.h"

namespace sluice::daemon {

namespace {

constexpr int kBacklog = 4096;

// An IPv4 address gets an IPv4 socket, so that :: does not take it too.
socklen_t address_of(const ListenOption& option, sockaddr_storage& out) {
    out = {};
    if (option.address.is_v4()) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(out);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(option.port);
        std::memcpy(&v4.sin_addr, option.address.bytes.data() + 12, sizeof v4.sin_addr);
        return sizeof v4;
    }
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(option.port);
    std::memcpy(&v6.sin6_addr, option.address.bytes.data(), sizeof v6.sin6_addr);
    return sizeof v6;
}

std::string address_text(const ListenOption& option) {
    return endpoint_text(option.address, option.port);
}

Result<Fd> open_one(const ListenOption& option) {
    sockaddr_storage address;
    const socklen_t length = address_of(option, address);
    Fd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        (address.ss_family == AF_INET6 && ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
        ::listen(fd.get(), kBacklog) != 0) {
        return fail_errno("--listen " + option.text);
    }
    return fd;
}

}  // namespace

std::uint32_t worker_count(const Options& options) {
    return options.workers != 0 ? options.workers : proxy::usable_cpus();
}

static Result<Fd> copy_of(const Fd& socket) {
    Fd copy(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 3));
    if (!copy) {
        return fail_errno("dup");
    }
    return copy;
}

// Each worker needs a socket; workers may share one, but none of the sockets may be left without.
static Result<> share_out(const ListenOption& option, std::vector<Fd> sockets, std::size_t workers,
                          std::vector<Listening>& out) {
    for (std::size_t had = sockets.size(), i = 0; sockets.size() % workers != 0; ++i) {
        auto copy = copy_of(sockets[i % had]);
        if (!copy) {
            return std::unexpected(std::move(copy.error()));
        }
        sockets.push_back(std::move(*copy));
    }
    for (std::size_t at = 0; at < sockets.size(); at += workers) {
        const auto begin = sockets.begin() + static_cast<std::ptrdiff_t>(at);
        out.push_back(
            {option, {std::move_iterator(begin), std::move_iterator(begin + static_cast<std::ptrdiff_t>(workers))}});
    }
    return {};
}

Result<std::vector<Listening>> open_listeners(const Options& options, std::vector<Inherited> inherited) {
    std::vector<Listening> out;
    for (const ListenOption& option : options.listen) {
        const auto found = std::ranges::find(inherited, address_text(option), &Inherited::address);
        std::vector<Fd> sockets;
        if (found != inherited.end()) {
            sockets = std::move(found->sockets);
        }
        while (found == inherited.end() && sockets.size() < worker_count(options)) {
            auto socket = open_one(option);
            if (!socket) {
                return std::unexpected(std::move(socket.error()));
            }
            sockets.push_back(std::move(*socket));
        }
        if (auto done = share_out(option, std::move(sockets), worker_count(options), out); !done) {
            return std::unexpected(std::move(done.error()));
        }
    }
    return out;
}

Result<std::vector<Inherited>> copies(const std::vector<Listening>& listeners) {
    std::vector<Inherited> out;
    for (const Listening& listening : listeners) {
        Inherited& one = out.emplace_back(Inherited{address_text(listening.option), {}});
        for (const Fd& socket : listening.sockets) {
            auto copy = copy_of(socket);
            if (!copy) {
                return std::unexpected(std::move(copy.error()));
            }
            one.sockets.push_back(std::move(*copy));
        }
    }
    return out;
}

}  // namespace sluice::daemon
