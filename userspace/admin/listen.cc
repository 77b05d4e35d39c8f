#include "admin/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <optional>

#include "base/ip.h"

namespace sluice::admin {

namespace {

constexpr int kBacklog = 64;

struct HostPort {
    std::string host;
    std::uint16_t port = 0;
};

std::optional<HostPort> split(const std::string& text) {
    std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) {
        return std::nullopt;
    }
    HostPort out{text.substr(0, colon), 0};
    const char* begin = text.data() + colon + 1;
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(begin, end, out.port);
    if (error != std::errc() || stop != end) {
        return std::nullopt;
    }
    if (out.host.size() >= 2 && out.host.front() == '[' && out.host.back() == ']') {
        out.host = out.host.substr(1, out.host.size() - 2);
    } else if (out.host.find(':') != std::string::npos) {
        return std::nullopt;
    }
    return out;
}

}  // namespace

Result<Fd> listen_unix(const std::string& path) {
    const std::string fresh = path + ".new";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (fresh.size() >= sizeof(address.sun_path)) {
        return fail("socket path '" + path + "' is longer than " + std::to_string(sizeof(address.sun_path) - 5) +
                    " bytes: choose a shorter --run directory");
    }
    fresh.copy(address.sun_path, fresh.size());
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        return fail_errno("socket");
    }
    ::unlink(fresh.c_str());
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
        return fail_errno("bind '" + fresh + "'");
    }
    bool ready = ::chmod(fresh.c_str(), 0660) == 0 && ::listen(fd.get(), kBacklog) == 0 &&
                 ::rename(fresh.c_str(), path.c_str()) == 0;
    if (!ready) {
        int code = errno;
        ::unlink(fresh.c_str());
        return fail_errno(code, "listen at '" + path + "'");
    }
    return fd;
}

Result<TcpListener> listen_tcp(const std::string& address) {
    auto parts = split(address);
    if (!parts) {
        return fail("'" + address + "' is not ADDRESS:PORT");
    }
    auto ip = IpAddress::parse(parts->host == "localhost" ? "127.0.0.1" : parts->host);
    if (!ip) {
        return fail("'" + parts->host + "' is not an IP address or localhost");
    }
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    sockaddr* name = nullptr;
    socklen_t length = 0;
    if (ip->is_v4()) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(parts->port);
        std::memcpy(&v4.sin_addr, ip->bytes.data() + 12, 4);
        name = reinterpret_cast<sockaddr*>(&v4);
        length = sizeof(v4);
    } else {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(parts->port);
        std::memcpy(&v6.sin6_addr, ip->bytes.data(), 16);
        name = reinterpret_cast<sockaddr*>(&v6);
        length = sizeof(v6);
    }
    Fd fd(::socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        return fail_errno("socket");
    }
    int one = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (::bind(fd.get(), name, length) != 0 || ::listen(fd.get(), kBacklog) != 0) {
        return fail_errno("listen on " + address);
    }
    if (::getsockname(fd.get(), name, &length) != 0) {
        return fail_errno("getsockname");
    }
    std::uint16_t port = ntohs(ip->is_v4() ? v4.sin_port : v6.sin6_port);
    return TcpListener{std::move(fd), parts->host, port};
}

}  // namespace sluice::admin
