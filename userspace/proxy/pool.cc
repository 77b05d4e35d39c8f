// Queues and limits: who gets a connection, and when a new one is made.
#include "proxy/pool.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace sluice::proxy {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// Takes one of `most`; false: they are taken. Never more than `most` are out, unlike Envoy's.
bool take(std::atomic<std::uint32_t>& counter, std::uint32_t most) {
    if (counter.fetch_add(1, kRelaxed) < most) {
        return true;
    }
    counter.fetch_sub(1, kRelaxed);
    return false;
}

}  // namespace

void AddressText::set(std::string_view text) {
    size = static_cast<std::uint8_t>(std::min(text.size(), sizeof(octets)));
    std::memcpy(octets, text.data(), size);
}

Host::Host(Pool& in, std::uint32_t endpoint, const sl_endpoint& record)
    : pool(in), number(endpoint), port(ntohs(record.port)) {
    std::ranges::copy(record.address, ip.bytes.begin());
    text.set(endpoint_text(ip, port));
    if (ip.is_v4()) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(address);
        v4.sin_family = AF_INET;
        v4.sin_port = record.port;
        std::memcpy(&v4.sin_addr, ip.bytes.data() + 12, 4);
        address_size = sizeof(v4);
    } else {
        auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = record.port;
        std::memcpy(&v6.sin6_addr, ip.bytes.data(), 16);
        address_size = sizeof(v6);
    }
}

bool Host::is(const sl_endpoint& record) const {
    return std::memcmp(record.address, ip.bytes.data(), sizeof(record.address)) == 0 && ntohs(record.port) == port;
}

Connection* Host::take_idle() {
    const std::uint64_t now = pool.owner.loop.now_ns();
    while (Connection* newest = idle.back()) {
        if (newest->usable(now)) {
            return newest;
        }
        newest->end(Connection::How::kClose);
    }
    return nullptr;
}

void Host::offer(Connection& connection) {
    Upstreams::Impl& owner = pool.owner;
    while (Try::State* first = waiting.front()) {
        leave_queue(*first);
        if (owner.admit(*first)) {
            connection.attach(*first);
            owner.later(*first, Try::State::Due::kReady);
            return;
        }
        owner.fail_later(*first, Failure::kOverflow);
    }
    if (owner.draining) {
        connection.end(Connection::How::kClose);
        return;
    }
    connection.set_idle(owner.loop.now_ns());
    if (owner.stats.idle > owner.options.idle_max) {
        owner.idle.front()->end(Connection::How::kClose);
    }
}

void Host::enqueue(Try::State& attempt) {
    Breakers& breakers = *pool.breakers;
    if (!take(breakers.pending, pool.model().pool.max_pending)) {
        breakers.pending_overflow.fetch_add(1, kRelaxed);
        pool.owner.fail_later(attempt, Failure::kOverflow);
        return;
    }
    attempt.stage = Try::State::Stage::kWaiting;
    waiting.push_back(attempt);
    if (waiting_count++ == 0) {
        pool.wanting.push_back(*this);
    }
    open_wanted();
    if (attempt.stage == Try::State::Stage::kWaiting && waiting_count > connecting) {
        breakers.connections_overflow.fetch_add(1, kRelaxed);
    }
}

void Host::leave_queue(Try::State& attempt) {
    attempt.Link<kWaiting>::unlink();
    attempt.stage = Try::State::Stage::kNew;
    pool.breakers->pending.fetch_sub(1, kRelaxed);
    if (--waiting_count == 0) {
        Link<kWanting>::unlink();
    }
}

// As in Envoy a host without any connection always gets one, so that nobody waits for what cannot come.
bool Host::may_open() {
    std::atomic<std::uint32_t>& open = pool.breakers->connections;
    if (take(open, pool.model().max_connections)) {
        return true;
    }
    if (connections == 0) {
        open.fetch_add(1, kRelaxed);
        return true;
    }
    return false;
}

void Host::open_wanted() {
    while (connecting < waiting_count) {
        if (!may_open()) {
            if (!pool.evict(*this)) {
                return;
            }
            continue;
        }
        Upstreams::Impl& owner = pool.owner;
        Connection* connection = owner.connections.get();
        int error = 0;
        if (!connection->open(owner, *this, error)) {
            owner.connections.put(connection);
            pool.breakers->connections.fetch_sub(1, kRelaxed);
            ++owner.stats.failed;
            purge(Failure::kConnectFailure, error, 0);
            return;
        }
        all.push_back(*connection);
        ++connections;
        ++connecting;
        ++owner.stats.connections;
        ++owner.stats.made;
    }
}

void Host::purge(Failure failure, int error, std::uint32_t reported) {
    Upstreams::Impl& owner = pool.owner;
    while (Try::State* first = waiting.front()) {
        leave_queue(*first);
        if (reported != 0) {
            owner.balancer.failed(pool.key.number, number, reported, owner.loop.now_ns());
        }
        owner.fail_later(*first, failure, error);
    }
}

void Host::close_idle() {
    while (Connection* connection = idle.front()) {
        connection->end(Connection::How::kClose);
    }
}

Host* Pool::host(std::uint32_t endpoint) {
    const sl_endpoint* record = owner.balancer.endpoint(endpoint);
    if (record == nullptr) {
        return nullptr;
    }
    std::unique_ptr<Host>& host = hosts[endpoint];
    if (host && !host->is(*record)) {
        // The number means another address now. Tries hold an endpoint's record, so nobody uses the old one.
        while (Connection* connection = host->all.front()) {
            connection->end(Connection::How::kClose);
        }
        host.reset();
    }
    if (!host) {
        host = std::make_unique<Host>(*this, endpoint, *record);
    }
    return host.get();
}

void Pool::room() {
    if (std::exchange(making_room, true)) {
        return;  // who makes it uses it
    }
    for (Host* host = wanting.front(); host != nullptr;) {
        Host* next = wanting.after(*host);
        host->open_wanted();
        host = next;
    }
    making_room = false;
}

bool Pool::evict(const Host& besides) {
    if (idle == 0) {
        return false;
    }
    for (const auto& [number, host] : hosts) {
        Connection* oldest = host->idle.front();
        if (host.get() != &besides && oldest != nullptr) {
            const bool outer = std::exchange(making_room, true);
            oldest->end(Connection::How::kClose);
            making_room = outer;
            return true;
        }
    }
    return false;
}

}  // namespace sluice::proxy
