// A route while it is built. Private to Routes.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "model/route.h"

namespace sluice::model {

// A route whose lane is still open.
struct Routes::Draft {
    std::string host;
    ServiceRef service;
    bool http = false;
    std::vector<ReachableRule> rules;            // empty: the plain service
    const config::WeightedRule* rule = nullptr;  // of them, the one that matches everything; null: none, or plain
    std::string field;                           // its "spec.http[0]"
    std::vector<Policies> policies;              // of all destinations' hosts, in order
    std::vector<Policies::Blocks> blocks;        // in force for each of route->destinations
    std::shared_ptr<Route> route = std::make_shared<Route>();

    std::size_t weighted() const {
        return static_cast<std::size_t>(
            std::ranges::count_if(route->destinations, [](auto& d) { return d.weight > 0; }));
    }
    // What the first of VirtualService, DestinationRules and service says; `read` returns true where it is set.
    template <typename Read>
    config::ObjectPtr annotated(const Read& read) const {
        if (route->source != nullptr && read(route->source->meta.annotations)) {
            return route->source;
        }
        for (const Policies& merged : policies) {
            for (const config::ObjectPtr& policy : merged.rules) {
                if (read(policy->meta.annotations)) {
                    return policy;
                }
            }
        }
        return read(service.object->meta.annotations) ? service.object : nullptr;
    }
};

// "HTTP port 8080 of HOST (FILE:LINE)".
std::string port_text(const ServiceRef& service, const std::string& host);

}  // namespace sluice::model
