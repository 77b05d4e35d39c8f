// Experiments, as `sluice get experiments` asks for them.
#include "admin/experiments.h"
#include "daemon/agent.h"

namespace sluice::daemon {

Result<admin::Json> Agent::experiments(const admin::ListFilter& filter) {
    const admin::CountsOf counts = [this](const config::ObjectKey& key) {
        return lane_->experiments().since(key, lane_->recorders());
    };
    admin::Json out;
    controller_.view([&](const model::Mesh& mesh, const admin::ViewContext&) {
        out = admin::experiment_rows(mesh.services(), filter.host, lane_ == nullptr ? admin::CountsOf() : counts);
    });
    return out;
}

}  // namespace sluice::daemon
