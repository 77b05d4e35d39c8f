#include "ctl/http.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "base/fd.h"

namespace sluice::ctl {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kReplyMax = 1u << 30;

Result<> wait_for(int fd, short events, Clock::time_point end) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        pollfd poll{fd, events, 0};
        const int ready = left <= 0 ? 0 : ::poll(&poll, 1, static_cast<int>(std::min<long>(left, 60'000)));
        if (ready > 0) {
            return {};
        }
        if (ready < 0 && errno != EINTR) {
            return fail_errno("poll");
        }
        if (left <= 0) {
            return fail_errno(ETIMEDOUT, "the agent did not answer in time");
        }
    }
}

Result<Fd> connect_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail_errno(ENAMETOOLONG, path);
    }
    std::ranges::copy(path, address.sun_path);
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return fail_errno(path);
    }
    return fd;
}

Result<> send_all(int fd, std::string_view bytes, Clock::time_point end) {
    while (!bytes.empty()) {
        if (auto ready = wait_for(fd, POLLOUT, end); !ready) {
            return ready;
        }
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (sent < 0) {
            // An agent that refuses a large request early has its reply ready: read that.
            return errno == EPIPE || errno == ECONNRESET ? Result<>() : fail_errno("sending the request");
        }
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
}

Result<std::string> receive_all(int fd, Clock::time_point end) {
    std::string bytes;
    char buffer[65536];
    for (;;) {
        if (auto ready = wait_for(fd, POLLIN, end); !ready) {
            return std::unexpected(ready.error());
        }
        const ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (got < 0) {
            return fail_errno("reading the reply");
        }
        if (got == 0) {
            return bytes;
        }
        bytes.append(buffer, static_cast<std::size_t>(got));
        if (bytes.size() > kReplyMax) {
            return fail("the reply is longer than 1 GiB");
        }
    }
}

std::optional<std::string> header(std::string_view head, std::string_view name) {
    for (std::size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at)) {
        at += 2;
        const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
        const std::size_t colon = line.find(':');
        const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
        if (colon == name.size() &&
            std::equal(name.begin(), name.end(), line.begin(), [&](char a, char b) { return same(b, a); })) {
            const std::size_t first = line.find_first_not_of(' ', colon + 1);
            return first == std::string_view::npos ? std::string() : std::string(line.substr(first));
        }
    }
    return std::nullopt;
}

Result<std::string> unchunk(std::string_view bytes) {
    std::string out;
    for (;;) {
        const std::size_t line = bytes.find("\r\n");
        std::size_t size = 0;
        const auto parsed = std::from_chars(bytes.data(), bytes.data() + std::min(line, bytes.size()), size, 16);
        if (line == std::string_view::npos || parsed.ec != std::errc() || bytes.size() - line - 2 < size) {
            return fail("the agent's reply ended early");
        }
        if (size == 0) {
            return out;
        }
        out.append(bytes.substr(line + 2, size));
        bytes.remove_prefix(std::min(bytes.size(), line + 2 + size + 2));
    }
}

}  // namespace

Result<HttpReply> parse_reply(std::string_view bytes) {
    const std::size_t end = bytes.find("\r\n\r\n");
    HttpReply reply;
    if (!bytes.starts_with("HTTP/1.") || end == std::string_view::npos || bytes.size() < 12 ||
        std::from_chars(bytes.data() + 9, bytes.data() + 12, reply.status).ec != std::errc()) {
        return fail("the agent's reply is not HTTP");
    }
    const std::string_view head = bytes.substr(0, end);
    const std::string_view body = bytes.substr(end + 4);
    if (header(head, "transfer-encoding") == "chunked") {
        auto whole = unchunk(body);
        if (!whole) {
            return std::unexpected(whole.error());
        }
        reply.body = std::move(*whole);
        return reply;
    }
    if (const auto length = header(head, "content-length")) {
        std::size_t size = 0;
        if (std::from_chars(length->data(), length->data() + length->size(), size).ec != std::errc() ||
            body.size() < size) {
            return fail("the agent's reply ended early");
        }
        reply.body = body.substr(0, size);
        return reply;
    }
    reply.body = body;
    return reply;
}

Result<HttpReply> http_request(const std::string& socket, const std::string& method, const std::string& path,
                               std::string_view body, std::chrono::milliseconds deadline) {
    const auto end = Clock::now() + deadline;
    auto fd = connect_unix(socket);
    if (!fd) {
        return std::unexpected(fd.error());
    }
    std::string head =
        method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/json\r\n";
    if (method != "GET") {
        head += "Content-Type: application/yaml\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
    }
    head += "\r\n";
    for (const std::string_view part : {std::string_view(head), body}) {
        if (auto sent = send_all(fd->get(), part, end); !sent) {
            return std::unexpected(sent.error());
        }
    }
    auto bytes = receive_all(fd->get(), end);
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    return parse_reply(*bytes);
}

std::string encoded(std::string_view text) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
            out += c;
        } else {
            out += {'%', kHex[byte >> 4], kHex[byte & 15]};
        }
    }
    return out;
}

std::string target(const std::string& path, const Query& query) {
    std::string out = path;
    char separator = '?';
    for (const auto& [name, value] : query) {
        if (!value.empty()) {
            out += separator + name + "=" + encoded(value);
            separator = '&';
        }
    }
    return out;
}

}  // namespace sluice::ctl
