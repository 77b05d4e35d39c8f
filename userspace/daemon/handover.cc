#include "daemon/handover.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <span>
#include <string_view>

namespace sluice::daemon {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view kAsk = "take over";
constexpr std::string_view kSockets = "sockets ";
constexpr std::string_view kYours = "yours";
constexpr std::string_view kListens = "listening";
constexpr std::size_t kDescriptors = 64;  // a message; the kernel allows 253
constexpr std::size_t kTextMost = 512;
constexpr auto kAnswer = 60s;  // for the other side's step

std::string path_in(const std::string& run) {
    return run + "/handover.sock";
}

Result<sockaddr_un> name_of(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.size() >= sizeof(name.sun_path)) {
        return fail("socket path '" + path + "' is too long: choose a shorter --run directory");
    }
    path.copy(name.sun_path, path.size());
    return name;
}

bool readable(int fd, std::chrono::milliseconds limit) {
    pollfd one{fd, POLLIN, 0};
    int ready = 0;
    do {
        ready = ::poll(&one, 1, static_cast<int>(limit.count()));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

Result<> say(int connection, std::string_view text, std::span<const int> descriptors = {}) {
    iovec body{const_cast<char*>(text.data()), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kDescriptors * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &body;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(head), descriptors.data(), descriptors.size_bytes());
    }
    if (::sendmsg(connection, &message, MSG_NOSIGNAL) < 0) {
        return fail_errno("handover");
    }
    return {};
}

// One message of the other side; an error when it left, or says nothing for too long.
Result<std::string> hear(int connection, std::chrono::milliseconds limit, std::vector<Fd>* descriptors = nullptr) {
    std::array<char, kTextMost> text{};
    iovec body{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kDescriptors * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &body;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (!readable(connection, limit)) {
        return fail_errno(ETIMEDOUT, "handover");
    }
    const ssize_t size = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    if (size <= 0) {
        return fail_errno(size == 0 ? ECONNRESET : errno, "handover");
    }
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (std::size_t at = 0; at + sizeof(int) <= head->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(head) + at, sizeof(fd));
            Fd owned(fd);
            if (descriptors != nullptr) {
                descriptors->push_back(std::move(owned));
            }
        }
    }
    return std::string(text.data(), static_cast<std::size_t>(size));
}

}  // namespace

Result<> Successor::send(const std::vector<Inherited>& listeners) {
    for (const Inherited& listener : listeners) {
        std::vector<int> descriptors;
        for (const Fd& socket : listener.sockets) {
            descriptors.push_back(socket.get());
        }
        for (std::size_t at = 0; at < descriptors.size(); at += kDescriptors) {
            const auto some = std::span(descriptors).subspan(at, std::min(kDescriptors, descriptors.size() - at));
            if (auto done = say(connection_.get(), std::string(kSockets) + listener.address, some); !done) {
                return done;
            }
        }
    }
    return {};
}

Result<> Successor::give() {
    return say(connection_.get(), kYours);
}

bool Successor::listens(std::chrono::milliseconds limit) {
    const auto heard = hear(connection_.get(), limit);
    return heard && *heard == kListens;
}

Result<HandoverDoor> HandoverDoor::open(const std::string& run) {
    const std::string path = path_in(run), fresh = path + ".new";
    auto name = name_of(fresh);
    if (!name) {
        return std::unexpected(std::move(name.error()));
    }
    Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::unlink(fresh.c_str());
    if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*name), sizeof(*name)) != 0 ||
        ::chmod(fresh.c_str(), 0600) != 0 || ::listen(fd.get(), 1) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) {
        return fail_errno("listening at '" + path + "'");
    }
    return HandoverDoor(std::move(fd));
}

std::optional<Successor> HandoverDoor::accept() const {
    Fd connection(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ucred who{};
    socklen_t size = sizeof(who);
    if (!connection || ::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
        (who.uid != 0 && who.uid != ::geteuid())) {
        return std::nullopt;
    }
    const auto heard = hear(connection.get(), 1s);
    if (!heard || *heard != kAsk) {
        return std::nullopt;
    }
    return Successor(std::move(connection));
}

Result<std::optional<Predecessor>> Predecessor::ask(const std::string& run) {
    auto name = name_of(path_in(run));
    if (!name) {
        return std::unexpected(std::move(name.error()));
    }
    Predecessor made;
    made.connection_ = Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!made.connection_) {
        return fail_errno("socket");
    }
    if (::connect(made.connection_.get(), reinterpret_cast<const sockaddr*>(&*name), sizeof(*name)) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED) {
            return std::nullopt;
        }
        return fail_errno("connecting to '" + path_in(run) + "'");
    }
    if (auto done = say(made.connection_.get(), kAsk); !done) {
        return std::unexpected(std::move(done.error()));
    }
    for (;;) {
        std::vector<Fd> sockets;
        auto heard = hear(made.connection_.get(), kAnswer, &sockets);
        if (!heard) {
            return std::unexpected(std::move(heard.error()));
        }
        if (*heard == kYours) {
            return std::optional(std::move(made));
        }
        if (!heard->starts_with(kSockets)) {
            return fail("handover: '" + *heard + "' is not understood");
        }
        const std::string address = heard->substr(kSockets.size());
        auto at = std::ranges::find(made.listeners_, address, &Inherited::address);
        if (at == made.listeners_.end()) {
            at = made.listeners_.insert(at, {address, {}});
        }
        std::ranges::move(sockets, std::back_inserter(at->sockets));
    }
}

void Predecessor::release() const {
    static_cast<void>(say(connection_.get(), kListens));
}

bool Predecessor::gone() const {
    pollfd one{connection_.get(), POLLIN, 0};
    return ::poll(&one, 1, 0) > 0;
}

}  // namespace sluice::daemon
