#include "daemon/proxy_lane.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "daemon/privileges.h"
#include "model/names.h"
#include "model/workload.h"

namespace sluice::daemon {

namespace {

// Whoever connects to a --listen address, from wherever: what the command line says.
std::shared_ptr<const proxy::Client> client_of(const ClientOption& option) {
    auto client = std::make_shared<proxy::Client>();
    client->scope = option.ns;
    client->labels = option.labels;
    client->workload = model::Workloads().intern(option.ns, option.labels, "", "");
    return client;
}

}  // namespace

Result<std::unique_ptr<ProxyLane>> ProxyLane::start(const Options& options, const sl_tables& tables, EventQueue& events,
                                                    Capture* capture) {
    proxy::Options engine;
    engine.workers = worker_count(options);
    engine.backend = options.io;
    engine.shadow_suffix = options.shadow_suffix;
    engine.thread_began = drop_thread_privileges;
    engine.events = [&events](const sl_event& event) { events.put(event); };
    if (capture != nullptr) {
        engine.sockets = [capture](std::uint32_t netns, int family) { return capture->socket(netns, family); };
    }
    auto lane = std::make_unique<ProxyLane>();
    lane->capture_ = capture;
    auto recorders = proxy::Recorders::open(options.access_log, tables, options.exposure_log);
    if (!recorders) {
        return std::unexpected(std::move(recorders.error()));
    }
    lane->recorders_ = std::move(*recorders);
    engine.recorder = [&](std::uint32_t) { return lane->recorders_->recorder(); };
    auto proxy = proxy::Proxy::start(std::move(engine), tables);
    if (!proxy) {
        return std::unexpected(std::move(proxy.error()));
    }
    lane->proxy_ = std::move(*proxy);
    return lane;
}

std::vector<std::string> ProxyLane::check(const model::Delta& delta) {
    if (std::vector<std::string> errors = proxy::Table::check(delta.changed); !errors.empty()) {
        return errors;
    }
    const auto proxied = [](const auto& service) { return service->route->lane == model::Lane::kProxy; };
    if (capture_ != nullptr && std::ranges::any_of(delta.changed, proxied)) {
        capture_->expect_services();
    }
    return {};
}

void ProxyLane::publish(const model::Mesh& mesh, const compile::Publisher& publisher) {
    auto table = proxy::Table::build(
        table_.get(), mesh.services(),
        {.cluster = [&](const Identity& id) { return publisher.cluster_number(id); },
         .service = [&](const model::ServicePortKey& key) { return publisher.service_number(key); }});
    if (!table) {  // check() let it pass, so it is a fault of ours: say so, and go on with what there was
        spdlog::error("the proxy lane cannot follow the generation: {}", table.error().text());
        return;
    }
    table_ = std::move(*table);
    proxy_->publish(table_);
    experiments_.follow(mesh, *recorders_, publisher.generation());
    if (capture_ != nullptr) {
        capture_->book().set_services(*table_, publisher);
    }
}

Result<> ProxyLane::listen(std::vector<Listening> listeners, const ClientOption& client) {
    const auto who = client_of(client);
    for (Listening& listening : listeners) {
        proxy::ListenerOptions options;
        options.name = listening.option.text;
        options.sockets = std::move(listening.sockets);
        options.dialled.host =
            listening.option.host.empty() ? "" : model::readings(listening.option.host, client.ns).front();
        options.dialled.port = listening.option.service_port;
        options.dialled.client = who;
        if (auto done = proxy_->listen(std::move(options)); !done) {
            return std::unexpected(std::move(done.error()).within("--listen " + listening.option.text));
        }
    }
    if (capture_ != nullptr) {
        capture_->begin(*proxy_);
    }
    return {};
}

}  // namespace sluice::daemon
