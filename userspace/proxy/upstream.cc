#include "proxy/upstream.h"

#include "bpf/lib/outlier.h"
#include "proxy/pool.h"

namespace sluice::proxy {

using State = Try::State;

// ---- One try ----------------------------------------------------------------------------------------------------

Try::~Try() {
    state_->owner->destroy(*state_);
}

bool Try::ready() const {
    return state_->stage == State::Stage::kOpen;
}

std::uint32_t Try::endpoint() const {
    return state_->endpoint;
}

std::string_view Try::address() const {
    return state_->remote.view();
}

std::string_view Try::local_address() const {
    return state_->local.view();
}

void Try::write(io::Slice data) {
    if (state_->connection != nullptr) {
        state_->written += data.size();
        state_->connection->stream().write(std::move(data));
    }
}

void Try::write(std::string_view data) {
    if (state_->connection != nullptr) {
        state_->written += data.size();
        state_->connection->stream().write(data);
    }
}

void Try::request_end() {
    state_->whole = true;
}

std::size_t Try::queued() const {
    return state_->connection == nullptr ? 0 : state_->connection->stream().queued();
}

void Try::want_drained() {
    if (state_->connection != nullptr) {
        state_->connection->stream().want_drained();
    }
}

void Try::read(bool on) {
    if (std::exchange(state_->reading, on) != on && state_->connection != nullptr) {
        state_->connection->read(on);
    }
}

void Try::upgraded() {
    state_->raw = true;
}

void Try::finish_raw() {
    if (state_->connection != nullptr && state_->raw && !std::exchange(state_->finished, true)) {
        state_->connection->stream().finish();
    }
}

void Try::report_timeout() {
    if (state_->connection != nullptr && !state_->answered) {
        Upstreams::Impl& owner = *state_->owner;
        owner.balancer.failed(state_->pool->key.number, state_->endpoint, SL_FAILURE_TIMEOUT, owner.loop.now_ns());
    }
}

Breakers* Try::breakers() const {
    return state_->pool == nullptr ? nullptr : state_->pool->breakers.get();
}

// ---- All of a worker --------------------------------------------------------------------------------------------

Upstreams::Impl::Impl(io::Loop& on, const sl_tables& tables, Options with, Sockets by, Events tell)
    : loop(on),
      options(std::move(with)),
      sockets(std::move(by)),
      events(std::move(tell)),
      balancer(tables, events),
      self(std::make_shared<Impl*>(this)) {}

Upstreams::Impl::~Impl() {
    *self = nullptr;
    for (const auto& [key, pool] : pools) {
        for (const auto& [number, host] : pool->hosts) {
            while (Connection* connection = host->all.front()) {
                connection->end(Connection::How::kClose);
            }
        }
    }
}

Pool& Upstreams::Impl::pool(const ClusterPtr& cluster, const TryRequest& request) {
    const model::Cluster& model = cluster->model();
    const PoolKey key{model.id, cluster->number(), model.limit_node ? 0 : request.client, request.netns};
    std::unique_ptr<Pool>& pool = pools[key];
    if (!pool) {
        pool = std::make_unique<Pool>(*this, key, cluster);
    } else if (pool->cluster != cluster) {
        pool->cluster = cluster;  // of another generation: its policy holds from now on
    }
    return *pool;
}

void Upstreams::Impl::start(State& attempt, const TryRequest& request) {
    if (request.cluster == nullptr || !*request.cluster || !(*request.cluster)->current(balancer.tables())) {
        fail_later(attempt, Failure::kNoCluster);
        return;
    }
    Pool& from = pool(*request.cluster, request);
    attempt.pool = &from;
    ++from.tries;
    const Balancer::Pick pick = balancer.pick(from.key.number, request, loop.now_ns());
    if (pick.failure) {
        fail_later(attempt, *pick.failure);
        return;
    }
    attempt.endpoint = pick.endpoint;
    attempt.held = true;
    Host* host = from.host(pick.endpoint);
    if (host == nullptr) {
        fail_later(attempt, Failure::kNoHealthyUpstream);
        return;
    }
    attempt.host = host;
    attempt.remote = host->text;
    ++host->tries;
    Connection* idle_one = host->take_idle();
    if (idle_one == nullptr) {
        host->enqueue(attempt);
    } else if (admit(attempt)) {
        idle_one->attach(attempt);
    } else {
        fail_later(attempt, Failure::kOverflow);
    }
}

bool Upstreams::Impl::admit(State& attempt) {
    Breakers& breakers = *attempt.pool->breakers;
    const std::uint32_t most = attempt.pool->model().pool.max_requests;
    if (most == config::HttpPool::kUnlimited) {
        return true;  // the word is shared by all workers: written only when somebody asks
    }
    if (breakers.requests.fetch_add(1, std::memory_order_relaxed) >= most) {
        breakers.requests.fetch_sub(1, std::memory_order_relaxed);
        breakers.requests_overflow.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    attempt.counted = true;
    return true;
}

void Upstreams::Impl::over(State& attempt) {
    if (attempt.stage == State::Stage::kWaiting) {
        attempt.host->leave_queue(attempt);
    }
    attempt.Link<kDue>::unlink();
    attempt.stage = State::Stage::kOver;
    if (std::exchange(attempt.counted, false)) {
        attempt.pool->breakers->requests.fetch_sub(1, std::memory_order_relaxed);
    }
    if (std::exchange(attempt.held, false)) {
        balancer.release(attempt.pool->key.number, attempt.endpoint);
    }
    if (Host* host = std::exchange(attempt.host, nullptr)) {
        --host->tries;
    }
}

void Upstreams::Impl::destroy(State& attempt) {
    Connection* connection = attempt.connection;
    if (connection != nullptr) {
        connection->detach();
    }
    const bool unused = attempt.written == 0;
    over(attempt);
    if (connection != nullptr && unused) {
        connection->host()->offer(*connection);
    } else if (connection != nullptr) {
        connection->end(attempt.raw && attempt.finished ? Connection::How::kClose : Connection::How::kReset);
    }
    if (attempt.pool != nullptr) {
        --attempt.pool->tries;
    }
    states.put(&attempt);
}

void Upstreams::Impl::fail_later(State& attempt, Failure failure, int error) {
    over(attempt);
    attempt.failure = failure;
    attempt.error = error;
    later(attempt, State::Due::kFailed);
}

void Upstreams::Impl::later(State& attempt, State::Due what) {
    attempt.due = what;
    due.push_back(attempt);
    if (callbacks == 0 && !std::exchange(posted, true)) {
        loop.post([holder = self] {
            if (Impl* impl = *holder) {
                impl->posted = false;
                ++impl->callbacks;
                impl->callback_ends();
            }
        });
    }
}

void Upstreams::Impl::callback_ends() {
    if (callbacks == 1) {
        settle();
    }
    --callbacks;
    if (callbacks == 0 && !due.empty()) {
        State& first = *due.front();
        later(first, first.due);
    }
}

void Upstreams::Impl::settle() {
    List<State, kDue> now;
    now.take(due);
    while (State* attempt = now.front()) {
        attempt->Link<kDue>::unlink();
        switch (std::exchange(attempt->due, State::Due::kNothing)) {
            case State::Due::kReady:
                attempt->handler->on_ready(*attempt->self);
                break;
            case State::Due::kFailed:
                attempt->handler->on_failed(*attempt->self, attempt->failure, false, attempt->error);
                break;
            case State::Due::kResume:
                if (attempt->reading) {
                    attempt->connection->resume();
                }
                break;
            case State::Due::kNothing:
                break;
        }
    }
}

void Upstreams::Impl::sweep() {
    const std::uint64_t now = loop.now_ns();
    for (Connection* connection = idle.front(); connection != nullptr;) {
        Connection* next = idle.after(*connection);
        const Host& host = *connection->host();
        if (connection->expired(now) || !host.pool.cluster->current(balancer.tables()) ||
            !balancer.takes_new(host.pool.key.number, host.number, now)) {
            connection->end(Connection::How::kClose);
        }
        connection = next;
    }
    std::erase_if(pools, [](const auto& entry) {
        Pool& pool = *entry.second;
        std::erase_if(pool.hosts,
                      [](const auto& host) { return host.second->connections == 0 && host.second->tries == 0; });
        return pool.hosts.empty() && pool.tries == 0;
    });
}

void Upstreams::Impl::drain() {
    draining = true;
    while (Connection* connection = idle.front()) {
        connection->end(Connection::How::kClose);
    }
}

Upstreams::Upstreams(io::Loop& loop, const sl_tables& tables, Options options, Sockets sockets, Events events)
    : impl_(std::make_unique<Impl>(loop, tables, std::move(options), std::move(sockets), std::move(events))) {}

Upstreams::~Upstreams() = default;

std::unique_ptr<Try> Upstreams::start(const TryRequest& request, TryHandler& handler) {
    State& state = *impl_->states.get();
    state.reset();
    state.owner = impl_.get();
    state.handler = &handler;
    state.head_request = request.head_request;
    state.connect_request = request.connect_request;
    std::unique_ptr<Try> attempt(new (state.room) Try(&state));
    state.self = attempt.get();
    impl_->start(state, request);
    return attempt;
}

void Upstreams::sweep() {
    impl_->sweep();
}

void Upstreams::forget_netns(std::uint32_t netns) {
    for (Connection* connection = impl_->idle.front(); connection != nullptr;) {
        Connection* next = impl_->idle.after(*connection);
        if (connection->host()->pool.key.netns == netns) {
            connection->end(Connection::How::kClose);
        }
        connection = next;
    }
}

void Upstreams::drain() {
    impl_->drain();
}

Upstreams::Stats Upstreams::stats() const {
    return impl_->stats;
}

}  // namespace sluice::proxy
