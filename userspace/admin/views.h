// Services, routes, subsets, endpoints and explanations as JSON. Pure, for the agent and for `sluice` offline. Key
// order is the column order of tables.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "admin/backend.h"
#include "admin/live.h"
#include "model/mesh.h"

namespace sluice::admin {

// `live` null: the columns of what runs now are left out. `where` finds an object's present place; empty: the place
// that the object was parsed at.
struct ViewContext {
    const Live* live = nullptr;
    std::function<Where(const config::Object&)> where{};
};

// {object, file, line}; null for null.
Json where_json(const config::ObjectPtr& object, const ViewContext& context);

// One row a service port (kServices), destination (kRoutes; on the proxy lane of each rule), cluster (kSubsets) or
// endpoint (kEndpoints) of this service.
std::vector<Json> rows(List what, const model::ServicePort& service, const ViewContext& context);

using Services = std::map<model::ServicePortKey, model::ServicePortPtr>;

// Whether a name as people write it means the service: its host, a leading part of it up to a dot, its short name, or
// one of its addresses.
bool means(const std::string& name, const model::ServicePort& service);

// What a client of `query.client` that dials this service port gets. Errors: no such service, or several and no port.
// On the proxy lane `rules` (rules_json()) tell what requests get, `without_proxy` what a client gets that finds no
// proxy in its namespace, and `destinations` are those of that client.
Result<model::ServicePortPtr> find_service(const Services& services, const ExplainQuery& query);
Json explain(const model::ServicePort& service, const ExplainQuery& query, const ViewContext& context);

// Why a split over connections may be too coarse to show itself, or empty. `open`: long connections now.
std::string coarse_split(const model::Route& route, std::uint64_t open);

}  // namespace sluice::admin
