#include "model/endpoints.h"

#include <algorithm>
#include <array>
#include <string>
#include <tuple>

namespace sluice::model {

using config::Object;
using config::ObjectPtr;

namespace {

// An endpoint's own port for the service port: by the service port's name, by the named targetPort, or the number.
std::uint16_t target_of(const config::PortMap& ports, const config::ServicePort& port) {
    for (const std::string* name : {&port.name, &port.target_port_name}) {
        if (const auto it = ports.find(*name); it != ports.end() && (!name->empty() || name == &port.name)) {
            return it->second;
        }
    }
    return port.target_port != 0 ? port.target_port : port.number;
}

// The same for an EndpointSlice, whose ports bear the service's port names; 0: these endpoints do not serve the port.
std::uint16_t slice_port(const config::EndpointSlice& slice, const config::ServicePort& port) {
    if (const auto it = slice.ports.find(port.name); it != slice.ports.end()) {
        return it->second;
    }
    return slice.ports.empty() && port.target_port_name.empty()
               ? (port.target_port != 0 ? port.target_port : port.number)
               : 0;
}

// Endpoints of one service have few distinct label maps, which are shared: remember the last ones by pointer.
class LabelMemo {
  public:
    explicit LabelMemo(Workloads& workloads) : workloads_(workloads) {}
    WorkloadPtr workload(const FoundEndpoint& found) {
        const bool entry = found.owner.key.kind == config::Kind::kWorkloadEntry;
        const config::Labels* labels = found.endpoint.labels.get();
        if (!entry) {
            for (const Slot& slot : slots_) {
                if (slot.labels == labels && slot.account == found.endpoint.service_account && slot.workload) {
                    return slot.workload;
                }
            }
        }
        WorkloadPtr workload = workloads_.intern(found.owner.key.ns, *labels, found.endpoint.service_account,
                                                 entry ? std::string_view(found.owner.key.name) : std::string_view());
        if (!entry) {
            slots_[next_++ % slots_.size()] = {labels, found.endpoint.service_account, workload};
        }
        return workload;
    }

  private:
    struct Slot {
        const config::Labels* labels = nullptr;
        std::string_view account;
        WorkloadPtr workload;
    };
    Workloads& workloads_;
    std::array<Slot, 8> slots_;
    std::size_t next_ = 0;
};

}  // namespace

void for_each_endpoint(const Index& index, const Object& service, const config::ServicePort& port,
                       const std::function<void(const FoundEndpoint&)>& visit) {
    if (const auto* entry = std::get_if<config::ServiceEntry>(&service.spec)) {
        for (const config::Endpoint& endpoint : entry->endpoints) {
            visit({endpoint, target_of(endpoint.ports, port), service});
        }
    } else if (const HostEntry* host = index.find(cluster_host(service.key.name, service.key.ns))) {
        for (const ObjectPtr& object : host->slices) {
            const auto& slice = std::get<config::EndpointSlice>(object->spec);
            const std::uint16_t number = slice_port(slice, port);
            for (const config::Endpoint& endpoint : slice.endpoints) {
                if (number != 0) {
                    visit({endpoint, number, *object});
                }
            }
        }
    }
    index.for_each_workload(service, [&](const ObjectPtr& object) {
        const config::Endpoint& endpoint = std::get<config::WorkloadEntry>(object->spec).endpoint;
        visit({endpoint, target_of(endpoint.ports, port), *object});
    });
}

std::vector<Endpoint> cluster_endpoints(const Index& index, Workloads& workloads, const Object& service,
                                        const config::ServicePort& port, const config::Labels* subset) {
    std::vector<Endpoint> endpoints;
    LabelMemo memo(workloads);
    for_each_endpoint(index, service, port, [&](const FoundEndpoint& found) {
        if (subset == nullptr || matches(*found.endpoint.labels, *subset)) {
            endpoints.push_back({found.endpoint.address, found.port,
                                 found.endpoint.ready && !found.endpoint.terminating, memo.workload(found)});
        }
    });
    // The workload's identity breaks ties, so that the order of files does not matter.
    std::ranges::sort(endpoints, [](const Endpoint& a, const Endpoint& b) {
        if (a.address.is_v4() != b.address.is_v4()) {
            return a.address.is_v4();
        }
        const auto place = [](const Endpoint& e) { return std::tie(e.address, e.port); };
        return place(a) != place(b)             ? place(a) < place(b)
               : a.accepts_new != b.accepts_new ? a.accepts_new
                                                : a.workload->id < b.workload->id;
    });
    const auto twins = std::ranges::unique(
        endpoints, [](const Endpoint& a, const Endpoint& b) { return a.address == b.address && a.port == b.port; });
    endpoints.erase(twins.begin(), twins.end());
    endpoints.shrink_to_fit();
    return endpoints;
}

}  // namespace sluice::model
