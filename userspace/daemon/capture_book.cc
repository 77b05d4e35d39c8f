#include "daemon/capture_book.h"

#include <arpa/inet.h>

#include "model/workload.h"

namespace sluice::daemon {

CaptureBook::CaptureBook() {
    unknown_.workload = model::Workloads().intern("unknown", {}, "", "");
}

void CaptureBook::set_services(const proxy::Table& table, const compile::Publisher& publisher) {
    auto services = std::make_shared<Services>();
    for (const auto& host : table.hosts()) {
        const model::ServicePort& port = *host->port;
        if (port.route->lane != model::Lane::kProxy) {
            continue;
        }
        for (const std::uint32_t number : publisher.service_numbers({port.scope, port.host, port.port})) {
            services->insert_or_assign(number, Service{port.host, port.port});
        }
    }
    const std::lock_guard lock(mutex_);
    services_ = std::move(services);
}

void CaptureBook::set_clients(const ClientPaths::Resolved& resolved) {
    auto clients = std::make_shared<Clients>();
    for (const auto& [cgroup, client] : resolved) {
        proxy::Client& one = (*clients)[cgroup];
        one.scope = client.ns;
        one.labels = client.labels;
        one.workload = client.workload;
    }
    const std::lock_guard lock(mutex_);
    clients_ = std::move(clients);
}

proxy::Dialled CaptureBook::read(const sl_capture& capture, const IpAddress& address) const {
    std::shared_ptr<const Services> services;
    std::shared_ptr<const Clients> clients;
    {
        const std::lock_guard lock(mutex_);
        services = services_;
        clients = clients_;
    }
    proxy::Dialled dialled;
    dialled.port = ntohs(capture.dialled_port);
    if (const auto service = services->find(capture.service); service != services->end()) {
        dialled.host = service->second.host;
        dialled.port = service->second.port;
    }
    const auto known = clients->find(capture.client);
    auto client = std::make_shared<proxy::Client>(known == clients->end() ? unknown_ : known->second);
    client->number = capture.workload;
    client->address = address;
    dialled.client = std::move(client);
    return dialled;
}

}  // namespace sluice::daemon
