#include "model/workload.h"

#include <initializer_list>
#include <string>

namespace sluice::model {
namespace {

constexpr std::string_view kUnknown = "unknown";

// The first of these labels that has a value, or `otherwise`.
std::string first_of(const config::Labels& labels, std::initializer_list<const char*> names,
                     std::string_view otherwise) {
    for (const char* name : names) {
        if (const auto it = labels.find(name); it != labels.end() && !it->second.empty()) {
            return it->second;
        }
    }
    return std::string(otherwise);
}

}  // namespace

WorkloadPtr Workloads::intern(std::string_view ns, const config::Labels& labels, std::string_view service_account,
                              std::string_view entry_name) {
    Workload w;
    w.ns = ns;
    w.app = first_of(labels, {"app", "app.kubernetes.io/name"}, kUnknown);
    w.version = first_of(labels, {"version", "app.kubernetes.io/version", "model-version"}, kUnknown);
    w.canonical_revision = first_of(
        labels, {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version", "model-version"},
        "latest");
    w.canonical_service = first_of(labels, {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"},
                                   entry_name.empty() ? kUnknown : entry_name);
    std::string otherwise(entry_name);
    if (otherwise.empty()) {
        otherwise = w.canonical_service;
        if (otherwise != kUnknown && w.version != kUnknown) {
            otherwise += "-" + w.version;
        }
    }
    w.name = first_of(labels, {"service.istio.io/workload-name"}, otherwise);
    w.service_account = service_account.empty() ? kUnknown : service_account;
    w.principal = kUnknown;
    if (!service_account.empty()) {
        w.principal = "spiffe://cluster.local/ns/" + w.ns + "/sa/" + w.service_account;
    }
    std::string name = "workload";
    for (const std::string* part :
         {&w.ns, &w.name, &w.app, &w.version, &w.canonical_service, &w.canonical_revision, &w.service_account}) {
        name.append("/").append(*part);
    }
    w.id = Identity::of(name);
    if (WorkloadPtr known = pool_.find(w.id)) {
        return known;
    }
    auto workload = std::make_shared<const Workload>(std::move(w));
    pool_.put(workload->id, workload);
    return workload;
}

}  // namespace sluice::model
