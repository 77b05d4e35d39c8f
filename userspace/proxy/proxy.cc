#include "proxy/proxy.h"

#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "proxy/worker.h"

namespace sluice::proxy {

using namespace std::chrono_literals;

struct Proxy::Impl {
    Shared shared;
    std::vector<std::unique_ptr<Worker>> workers;
};

std::uint32_t usable_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? static_cast<std::uint32_t>(std::max(CPU_COUNT(&set), 1))
                                                          : 1;
}

static Result<Fd> own_socket(std::uint32_t, int family) {
    Fd socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) {
        return fail_errno("socket");
    }
    return socket;
}

Result<std::unique_ptr<Proxy>> Proxy::start(Options options, const sl_tables& tables) {
    auto impl = std::make_unique<Impl>();
    impl->shared.options = std::move(options);
    impl->shared.tables = tables;
    Options& own = impl->shared.options;
    if (own.workers == 0) {
        own.workers = usable_cpus();
    }
    if (!own.sockets) {
        own.sockets = own_socket;
    }
    if (!own.events) {
        own.events = [](const sl_event&) {};
    }
    for (std::uint32_t i = 0; i < own.workers; ++i) {
        auto worker = Worker::start(impl->shared, i);
        if (!worker) {
            return std::unexpected(std::move(worker.error()));
        }
        impl->workers.push_back(std::move(*worker));
    }
    return std::unique_ptr<Proxy>(new Proxy(std::move(impl)));
}

Proxy::Proxy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Proxy::~Proxy() = default;

void Proxy::publish(TablePtr table) {
    const std::lock_guard lock(impl_->shared.mutex);
    impl_->shared.table = std::move(table);
    impl_->shared.version.fetch_add(1, std::memory_order_release);
}

Result<> Proxy::listen(ListenerOptions listener) {
    if (listener.sockets.size() != impl_->workers.size()) {
        return fail("listener " + listener.name + ": " + std::to_string(listener.sockets.size()) + " sockets for " +
                    std::to_string(impl_->workers.size()) + " workers");
    }
    if (!listener.identify && listener.dialled.client == nullptr) {
        return fail("listener " + listener.name + ": nobody is said to ask there");
    }
    const auto door = std::make_shared<const Door>(Door{std::move(listener.name),
                                                        std::make_shared<const Dialled>(std::move(listener.dialled)),
                                                        std::move(listener.identify)});
    for (std::size_t i = 0; i < impl_->workers.size(); ++i) {
        Worker& worker = *impl_->workers[i];
        worker.run([&] { worker.listen(door, std::move(listener.sockets[i])); });
    }
    return {};
}

void Proxy::stop_listening(const std::string& name) {
    for (const auto& worker : impl_->workers) {
        worker->run([&] { worker->stop_listening(name); });
    }
}

void Proxy::forget_netns(std::uint32_t netns) {
    for (const auto& worker : impl_->workers) {
        worker->run([&] { worker->upstreams().forget_netns(netns); });
    }
}

void Proxy::quiesce() {
    for (const auto& worker : impl_->workers) {
        const std::uint64_t seen = worker->turn();
        while ((seen & 1) != 0 && worker->turn() == seen) {
            std::this_thread::sleep_for(50us);
        }
    }
}

void Proxy::drain() {
    const auto deadline = std::chrono::steady_clock::now() + impl_->shared.options.limits.drain_timeout;
    for (const auto& worker : impl_->workers) {
        worker->run([&] { worker->drain(); });
    }
    const auto busy = [&] {
        std::size_t connections = 0;
        for (const auto& worker : impl_->workers) {
            worker->run([&] { connections += worker->connections(); });
        }
        return connections != 0;
    };
    while (busy() && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(10ms);
    }
    for (const auto& worker : impl_->workers) {
        worker->run([&] { worker->cut(); });
    }
}

std::vector<WorkerStats> Proxy::stats() const {
    std::vector<WorkerStats> all;
    for (const auto& worker : impl_->workers) {
        worker->run([&] { all.push_back(worker->stats()); });
    }
    return all;
}

io::Backend Proxy::backend() const {
    return impl_->workers.front()->backend();
}

}  // namespace sluice::proxy
