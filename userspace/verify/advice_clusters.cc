// Advice on DestinationRules: subsets and ejection. What routes name is looked at when they are built (model); this is
// about the rest.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "model/names.h"
#include "verify/advice_parts.h"

namespace sluice::verify {

namespace {

using config::OutlierDetection;

constexpr std::uint32_t kConsecutive5xx = 5;  // Istio's default

void advise_outlier(const config::Object& object, const OutlierDetection& outlier, const std::string& field,
                    Found& found) {
    const std::uint32_t any = outlier.consecutive_5xx.value_or(kConsecutive5xx);
    const std::uint32_t gateway = outlier.consecutive_gateway.value_or(0);
    const bool local = outlier.split_local_origin && outlier.consecutive_local.value_or(kConsecutive5xx) != 0;
    if (any == 0 && gateway == 0 && !local) {
        found.add("SL202", object, outlier.place, field,
                  "nothing ejects: consecutive5xxErrors is 0, and no other count of errors is switched on");
    } else if (any != 0 && gateway > any) {
        found.add("SL202", object, outlier.place, field + ".consecutiveGatewayErrors",
                  fmt::format("{} is never reached: gateway errors are 5xx too, and {} of these in a row eject "
                              "(consecutive5xxErrors{}; 0 switches it off)",
                              gateway, any, outlier.consecutive_5xx ? "" : ", by default"));
    }
}

void advise_policy(const config::Object& object, const config::TrafficPolicy& policy, const std::string& field,
                   Found& found) {
    if (policy.blocks.outlier) {
        advise_outlier(object, *policy.blocks.outlier, field + ".outlierDetection", found);
    }
    for (const auto& [port, blocks] : policy.port_level) {
        if (blocks.outlier) {
            advise_outlier(object, *blocks.outlier,
                           fmt::format("{}.portLevelSettings[{}].outlierDetection", field, port), found);
        }
    }
}

// Labels of endpoints, by what services find them with: a label of WorkloadEntries, the name of a Service.
class Endpoints {
  public:
    explicit Endpoints(const model::Mesh& mesh) {
        for (const auto& [key, object] : mesh.objects()) {
            if (const auto* entry = std::get_if<config::WorkloadEntry>(&object->spec); entry && entry->has_address) {
                for (const auto& [label, value] : *entry->endpoint.labels) {
                    by_label_[{key.ns, label, value}].push_back(entry->endpoint.labels.get());
                }
            } else if (const auto* slice = std::get_if<config::EndpointSlice>(&object->spec)) {
                for (const config::Endpoint& endpoint : slice->endpoints) {
                    by_service_[{key.ns, slice->service}].push_back(endpoint.labels.get());
                }
            }
        }
    }

    bool any(const config::Object& service, const config::Labels& wanted) const {
        const auto has = [&](const config::Labels* labels) { return model::matches(*labels, wanted); };
        if (const auto* entry = std::get_if<config::ServiceEntry>(&service.spec)) {
            for (const config::Endpoint& endpoint : entry->endpoints) {
                if (has(endpoint.labels.get())) {
                    return true;
                }
            }
        } else if (const auto it = by_service_.find({service.key.ns, service.key.name}); it != by_service_.end()) {
            if (std::ranges::any_of(it->second, has)) {
                return true;
            }
        }
        const config::Labels* selector = model::workload_selector(service);
        if (selector == nullptr || selector->empty()) {
            return false;
        }
        const auto it = by_label_.find({service.key.ns, selector->begin()->first, selector->begin()->second});
        return it != by_label_.end() && std::ranges::any_of(it->second, [&](const config::Labels* labels) {
                   return model::matches(*labels, *selector) && has(labels);
               });
    }

  private:
    std::map<std::tuple<std::string, std::string, std::string>, std::vector<const config::Labels*>> by_label_;
    std::map<std::pair<std::string, std::string>, std::vector<const config::Labels*>> by_service_;
};

// Subsets that no rule sends to: a version that is kept for a rollback and has no servers.
class Subsets {
  public:
    explicit Subsets(const model::Mesh& mesh) : endpoints_(mesh) {
        for (const auto& [key, port] : mesh.services()) {
            hosts_.emplace(port->host, port->service);
            for (const model::ClusterPtr& cluster : model::clusters_of(*port->route)) {
                used_.emplace(cluster->host, cluster->subset);
            }
        }
    }

    void look_at(const config::Object& object, const config::DestinationRule& rule, Found& found) {
        for (const std::string& host : model::readings(rule.host, object.key.ns)) {
            const auto service = hosts_.find(host);
            if (service == hosts_.end() || service->second == nullptr) {
                continue;
            }
            for (const config::Subset& subset : rule.subsets) {
                if (!used_.contains({host, subset.name}) && !endpoints_.any(*service->second, subset.labels)) {
                    found.add("SL201", object, subset.place, fmt::format("spec.subsets[{}]", subset.name),
                              fmt::format("no endpoint of {} has the labels of subset {}; no rule sends there yet",
                                          host, subset.name));
                }
            }
            return;
        }
    }

  private:
    Endpoints endpoints_;
    std::map<std::string, config::ObjectPtr> hosts_;
    std::set<std::pair<std::string, std::string>> used_;
};

}  // namespace

void advise_clusters(const model::Mesh& mesh, Found& found) {
    Subsets subsets(mesh);
    for (const auto& [key, object] : mesh.objects()) {
        const auto* rule = std::get_if<config::DestinationRule>(&object->spec);
        if (rule == nullptr) {
            continue;
        }
        if (rule->policy) {
            advise_policy(*object, *rule->policy, "spec.trafficPolicy", found);
        }
        for (const config::Subset& subset : rule->subsets) {
            if (subset.policy) {
                advise_policy(*object, *subset.policy, fmt::format("spec.subsets[{}].trafficPolicy", subset.name),
                              found);
            }
        }
        subsets.look_at(*object, *rule, found);
    }
}

}  // namespace sluice::verify
