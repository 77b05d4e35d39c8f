// One apply on its way through the controller. Private to it.
#pragma once

#include "daemon/controller.h"
#include "daemon/texts.h"

namespace sluice::daemon {

struct Controller::Attempt {
    const admin::ApplyRequest& request;
    std::vector<config::ObjectPtr> objects;  // of the request
    ApplyReport report;
    model::Delta delta;
    std::vector<model::Change> inverse;

    void refuse(ApplyReport::Outcome outcome, std::vector<std::string> errors) {
        report.outcome = outcome;
        report.errors = std::move(errors);
    }
    std::string text_of(const config::Object& object) const { return source::document_text(request.documents, object); }
    state::HistoryRow history(std::string summary) const {
        return history_row(report.generation, peer_actor(request.peer.uid, request.peer.pid),
                           state::ChangeSource::kApply, std::move(summary), report.errors, request.message);
    }
};

}  // namespace sluice::daemon
