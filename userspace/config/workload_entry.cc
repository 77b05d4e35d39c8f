#include "config/intern.h"
#include "config/kinds.h"
#include "config/names.h"

namespace sluice::config {

namespace {

struct WorkloadReader {
    Endpoint& endpoint;
    Labels& labels;
    bool has_address = false;
};

constexpr Field<WorkloadReader> kWorkload[] = {
    {"address",
     [](const Value& value, WorkloadReader& out) {
         out.has_address = true;
         if (value.is_scalar() && value.text().starts_with("unix:")) {
             value.wrong("Unix sockets are not supported yet; an IPv4 or IPv6 address is needed");
         } else if (const auto address = value.ip()) {
             out.endpoint.address = *address;
         }
     }},
    {"ports",
     [](const Value& value, WorkloadReader& out) {
         PortMap::Map ports;
         read_endpoint_ports(value, ports);
         out.endpoint.ports = intern_ports(std::move(ports));
     }},
    {"labels", [](const Value& value, WorkloadReader& out) { read_labels(value, out.labels); }},
    {"serviceAccount",
     [](const Value& value, WorkloadReader& out) {
         if (const auto account = value.string()) {
             const std::string problem = account->empty() ? "" : check_subdomain(*account);
             if (!problem.empty()) {
                 value.wrong(problem);
             }
             out.endpoint.service_account = *account;
         }
     }},
    {"weight",
     [](const Value& value, WorkloadReader&) {
         const auto weight = value.u32();
         if (weight && *weight > 1) {
             value.wrong(
                 "weights of single endpoints are not supported yet; allowed: 0 and 1, which both mean "
                 "an even share");
         }
     }},
    {"network", nullptr, "endpoints are reached directly; leave it out"},
    {"locality", nullptr, "endpoints have no locality; all are used alike"},
};

}  // namespace

void read_endpoint_ports(const Value& map, PortMap::Map& out) {
    if (!map.expect_map()) {
        return;
    }
    map.each_field([&](const Value& value) {
        const std::string problem = check_label(value.key());
        if (!problem.empty()) {
            value.error_at_key(problem);
        } else if (const auto port = value.port()) {
            out.emplace(value.key(), *port);
        }
    });
}

bool read_workload(const Value& value, Endpoint& out, Labels& labels) {
    WorkloadReader reader{out, labels};
    read_fields(value, kWorkload, reader);
    return reader.has_address;
}

void read_workload_entry(const Value& spec, const Metadata& meta, WorkloadEntry& out) {
    Labels labels = meta.labels;
    Labels own;
    out.endpoint.place = spec.place();
    out.has_address = read_workload(spec, out.endpoint, own);
    for (auto& [key, value] : own) {  // the spec's labels win, as in Istio
        labels.insert_or_assign(key, std::move(value));
    }
    out.endpoint.labels = intern(std::move(labels));
    if (!out.has_address && spec.is_map() && meta.annotations.cgroup.empty()) {
        spec.missing("address", "an IPv4 or IPv6 address; only a pure client, with sluice.dev/cgroup, has none");
    }
}

}  // namespace sluice::config
