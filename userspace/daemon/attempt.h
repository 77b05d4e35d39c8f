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
    std::vector<config::ObjectKey> removals{};         // objects that go
    std::map<config::ObjectKey, std::string> files{};  // where those go that no file defines; else one of their own
    state::ChangeSource source = state::ChangeSource::kApply;
    std::optional<state::Actor> actor{};  // absent: the peer of the request
    // Asked under the gate when the directory was looked at, before anything is changed: why the attempt must not go
    // on.
    std::function<std::optional<std::string>()> refuses{};

    void refuse(ApplyReport::Outcome outcome, std::vector<std::string> errors) {
        report.outcome = outcome;
        report.errors = std::move(errors);
    }
    std::string text_of(const config::Object& object) const { return source::document_text(request.documents, object); }
    source::Edit edit(const model::Change& change) const {
        auto file = files.find(change.key);
        return {change.key, change.object ? std::optional(text_of(*change.object)) : std::nullopt,
                file == files.end() ? "" : file->second};
    }
    state::HistoryRow history(std::string summary) const {
        state::HistoryRow row =
            history_row(report.generation, actor ? *actor : peer_actor(request.peer.uid, request.peer.pid), source,
                        std::move(summary), report.errors, request.message);
        row.file = request.file;
        return row;
    }
};

}  // namespace sluice::daemon
