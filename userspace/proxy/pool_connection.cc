// A connection: from its connect to its end, and the answers that it carries.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>

#include "bpf/lib/outlier.h"
#include "proxy/pool.h"

namespace sluice::proxy {
namespace {

// An endpoint that closes a connection mostly closes one that has been idle for a while: only then is the system call
// worth it that sees a FIN before the loop tells of it.
constexpr std::uint64_t kPeekAfterNs = 100'000'000;

void set_option(int fd, int level, int name, int value) {
    setsockopt(fd, level, name, &value, sizeof(value));
}

void set_options(int fd, const model::Cluster& cluster) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!cluster.keepalive) {
        return;
    }
    const auto seconds = [](std::chrono::nanoseconds time) {
        return static_cast<int>(std::chrono::ceil<std::chrono::seconds>(time).count());
    };
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (cluster.keepalive->probes != 0) {
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(cluster.keepalive->probes));
    }
    if (cluster.keepalive->time.count() != 0) {
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(cluster.keepalive->time));
    }
    if (cluster.keepalive->interval.count() != 0) {
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds(cluster.keepalive->interval));
    }
}

std::string local_text(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        return {};
    }
    IpAddress ip;
    if (address.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        ip.bytes[10] = ip.bytes[11] = 0xff;
        std::memcpy(ip.bytes.data() + 12, &v4.sin_addr, 4);
        return endpoint_text(ip, ntohs(v4.sin_port));
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    std::memcpy(ip.bytes.data(), &v6.sin6_addr, 16);
    return endpoint_text(ip, ntohs(v6.sin6_port));
}

}  // namespace

Connection::Pin::Pin(Connection& connection) : connection_(connection), owner_(*connection.owner_) {
    ++connection_.pins_;
    ++owner_.callbacks;
}

Connection::Pin::~Pin() {
    if (--connection_.pins_ == 0 && connection_.stage_ == Stage::kClosed) {
        owner_.connections.put(&connection_);
    }
    owner_.callback_ends();
}

bool Connection::open(Upstreams::Impl& owner, Host& host, int& error) {
    const int family = host.address.ss_family;
    Fd socket;
    if (owner.sockets) {
        auto made = owner.sockets(host.pool.key.netns, family);
        if (!made) {
            error = made.error().code;
            return false;
        }
        socket = std::move(*made);
    } else {
        socket = Fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (!socket) {
            error = errno;
            return false;
        }
    }
    set_options(socket.get(), host.pool.model());
    owner_ = &owner;
    host_ = &host;
    stage_ = Stage::kConnecting;
    born_ns_ = owner.loop.now_ns();
    idle_ns_ = 0;
    served_ = 0;
    informational_ = stalled_ = finished_ = false;
    finish_error_ = 0;
    local_ = {};
    parser_.emplace(owner.options.limits);
    stream_.emplace(owner.loop, std::move(socket), reinterpret_cast<const sockaddr*>(&host.address), host.address_size,
                    *this);
    connect_timer_.emplace(
        owner.loop, *this, +[](Connection& c) { c.on_connect_timeout(); });
    connect_timer_->start(std::chrono::milliseconds(host.pool.model().connect_timeout_ms));
    return true;
}

void Connection::end(How how) {
    Upstreams::Impl& owner = *owner_;
    Host& host = *host_;
    if (stage_ == Stage::kIdle) {
        --host.pool.idle;
        --owner.stats.idle;
    }
    host.connecting -= stage_ == Stage::kConnecting ? 1 : 0;
    --host.connections;
    --owner.stats.connections;
    host.pool.breakers->connections.fetch_sub(1, std::memory_order_relaxed);
    Link<kOfHost>::unlink();
    Link<kIdle>::unlink();
    Link<kOldest>::unlink();
    connect_timer_.reset();
    if (how == How::kClose) {
        stream_->close();
    } else if (how == How::kReset) {
        stream_->reset();
    }
    stream_.reset();
    stalled_data_ = {};
    stage_ = Stage::kClosed;
    host_ = nullptr;
    if (pins_ == 0) {
        owner.connections.put(this);
    }
    host.pool.room();
}

void Connection::attach(Try::State& attempt) {
    if (stage_ == Stage::kIdle) {
        --host_->pool.idle;
        --owner_->stats.idle;
        Link<kIdle>::unlink();
        Link<kOldest>::unlink();
    }
    stage_ = Stage::kBusy;
    owner_->stats.reused += served_ != 0 ? 1 : 0;
    ++served_;
    attempt_ = &attempt;
    attempt.connection = this;
    attempt.stage = Try::State::Stage::kOpen;
    attempt.local = local_;
    parser_->expect(attempt.head_request, attempt.connect_request);
    owner_->balancer.connected(attempt.endpoint);
    stream_->read(attempt.reading);
}

Try::State* Connection::detach() {
    Try::State* attempt = std::exchange(attempt_, nullptr);
    attempt->connection = nullptr;
    return attempt;
}

void Connection::set_idle(std::uint64_t now_ns) {
    stage_ = Stage::kIdle;
    idle_ns_ = now_ns;
    ++host_->pool.idle;
    ++owner_->stats.idle;
    host_->idle.push_back(*this);
    owner_->idle.push_back(*this);
    stream_->read(true);
}

bool Connection::expired(std::uint64_t now_ns) const {
    const config::HttpPool& pool = host_->pool.model().pool;
    const auto after = [now_ns](std::uint64_t since, std::chrono::nanoseconds limit) {
        return now_ns > since && now_ns - since >= static_cast<std::uint64_t>(limit.count());
    };
    return (pool.max_connection_duration && after(born_ns_, *pool.max_connection_duration)) ||
           (stage_ == Stage::kIdle && pool.idle_timeout.count() != 0 && after(idle_ns_, pool.idle_timeout));
}

bool Connection::usable(std::uint64_t now_ns) {
    if (expired(now_ns)) {
        return false;
    }
    if (now_ns < idle_ns_ + kPeekAfterNs) {
        return true;
    }
    char octet;
    const ssize_t got = recv(stream_->fd(), &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    const bool alive = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    owner_->stats.stale += alive ? 0 : 1;
    return alive;
}

void Connection::on_connected() {
    const Pin pin(*this);
    connect_timer_->stop();
    --host_->connecting;
    stage_ = Stage::kBusy;
    local_.set(local_text(stream_->fd()));
    stream_->read(true);
    host_->offer(*this);
}

void Connection::on_connect_timeout() {
    const Pin pin(*this);
    ++owner_->stats.failed;
    host_->purge(Failure::kConnectTimeout, ETIMEDOUT, SL_FAILURE_TIMEOUT);
    end(How::kReset);
}

void Connection::on_data(io::Slice data) {
    const Pin pin(*this);
    if (attempt_ == nullptr || attempt_->written == 0) {  // nobody asked for it
        ++owner_->stats.poisoned;
        attempt_ == nullptr ? end(How::kReset) : fail(Failure::kTermination, 0);
    } else if (attempt_->raw) {
        attempt_->handler->on_raw(*attempt_->self, std::move(data));
    } else {
        parse(std::move(data));
    }
}

void Connection::on_end() {
    const Pin pin(*this);
    if (attempt_ == nullptr) {
        end(How::kClose);
    } else if (attempt_->raw) {
        attempt_->handler->on_raw_end(*attempt_->self);
    } else if (stalled_) {
        finished_ = true;
    } else {
        peer_finished();
    }
}

void Connection::on_drained() {
    const Pin pin(*this);
    if (attempt_ != nullptr) {
        attempt_->handler->on_drained(*attempt_->self);
    }
}

void Connection::on_closed(int error) {
    const Pin pin(*this);
    if (stage_ == Stage::kConnecting) {
        ++owner_->stats.failed;
        host_->purge(Failure::kConnectFailure, error, SL_FAILURE_CONNECT);
        end(How::kGone);
    } else if (stalled_) {
        finished_ = true;
        finish_error_ = error;
    } else if (attempt_ != nullptr) {
        fail(Failure::kTermination, error, How::kGone);
    } else {
        end(How::kGone);
    }
}

}  // namespace sluice::proxy
