// Requests for new weights.
#include "admin/parameters.h"

namespace sluice::admin {

// ?service= &weights=SUBSET=NUMBER,… &route= &message= &dry_run=
Answer route_weight(Backend& backend, const Request& request) {
    auto dry = flag(request, "dry_run");
    if (!dry) {
        return dry.error();
    }
    WeightRequest wanted{.service = parameter(request, "service"),
                         .route = parameter(request, "route"),
                         .weights = parameter(request, "weights"),
                         .message = parameter(request, "message"),
                         .dry_run = *dry,
                         .peer = request.peer};
    if (wanted.service.empty() || wanted.weights.empty()) {
        return error_answer(400, "weight needs service=NAME and weights=SUBSET=NUMBER,…");
    }
    return backend.weight(wanted);
}

}  // namespace sluice::admin
