// The way of an apply through the pipeline.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/attempt.h"
#include "daemon/documents.h"
#include "daemon/texts.h"

namespace sluice::daemon {

namespace {

constexpr int kAttempts = 3;

std::vector<std::string> twice(const std::vector<config::ObjectPtr>& objects) {
    std::vector<std::string> errors;
    std::map<config::ObjectKey, const config::Object*> seen;
    for (const config::ObjectPtr& object : objects) {
        auto [first, fresh] = seen.emplace(object->key, object.get());
        if (!fresh) {
            Diagnostic twice{
                Severity::kError,
                object->file,
                object->place.line,
                object->place.column,
                "metadata.name",
                fmt::format("{} is given twice, first at line {}", object->key.text(), first->second->place.line)};
            errors.push_back(twice.text());
        }
    }
    return errors;
}

}  // namespace

void Controller::step(const char* name) const {
    if (options_.step) {
        options_.step(name);
    }
}

ApplyReport Controller::apply(const admin::ApplyRequest& request) {
    Attempt attempt{.request = request, .objects = {}, .report = {}, .delta = {}, .inverse = {}};
    Diagnostics diagnostics;
    config::parse(request.documents, request.file, options_.limits.parse, attempt.objects, diagnostics);
    std::vector<std::string> errors = texts(diagnostics, Severity::kError);
    if (errors.empty() && attempt.objects.empty()) {
        errors.push_back(request.file + ": has no document");
    }
    if (errors.empty()) {
        errors = twice(attempt.objects);
    }
    attempt.report.warnings = texts(diagnostics, Severity::kWarning);
    Gate::Write lock(gate_);
    apply(attempt, std::move(errors));
    return std::move(attempt.report);
}

// `errors`: of the request itself.
void Controller::apply(Attempt& attempt, std::vector<std::string> errors) {
    attempt.report.generation = publisher_.generation();
    if (!errors.empty()) {
        attempt.refuse(ApplyReport::Outcome::kInvalid, std::move(errors));
    } else {
        for (int i = 0; i < kAttempts && !this->attempt(attempt); ++i) {
        }
    }
    if (attempt.report.outcome == ApplyReport::Outcome::kDone) {
        state_.applies_done += attempt.request.dry_run ? 0 : 1;
    } else {
        ++state_.applies_refused;
        record_refused_apply(attempt);
    }
}

// One try; false: the directory was changed meanwhile, try again. The report then says so already.
bool Controller::attempt(Attempt& attempt) {
    using Outcome = ApplyReport::Outcome;
    attempt.report.outcome = Outcome::kDone;
    attempt.report.errors.clear();
    attempt.report.changes.clear();
    // Validation is against what the directory says now, not against what it said at the last scan.
    LoadReport loaded = load(false, false);
    settle(loaded);
    attempt.report.generation = loaded.generation;
    if (!directory_loaded_) {
        loaded.errors.insert(loaded.errors.begin(),
                             "the directory could not be loaded, so nothing can be written to it");
        attempt.refuse(Outcome::kFailed, std::move(loaded.errors));
        return true;
    }
    if (attempt.refuses) {
        if (std::optional<std::string> why = attempt.refuses()) {
            attempt.refuse(Outcome::kConflict, {std::move(*why)});
            return true;
        }
    }
    std::vector<model::Change> changes = wanted_changes(attempt);
    if (attempt.request.dry_run) {
        dry_run(attempt, changes);
        return true;
    }
    if (changes.empty()) {
        return true;
    }
    std::vector<source::Edit> edits;
    for (const model::Change& change : changes) {
        edits.push_back(attempt.edit(change));
    }
    auto writer = source::WriteBack::prepare(*directory_, std::move(edits));
    if (writer) {
        for (const source::Written& planned : writer->plan()) {
            auto change = std::ranges::find(changes, planned.key, &model::Change::key);
            if (!change->object) {
                continue;
            }
            auto placed = std::make_shared<config::Object>(*change->object);
            placed->file = planned.file;
            change->object = placed;
        }
    }
    attempt.inverse = inverse_of(changes);
    auto delta = advance(changes);
    if (!delta) {
        attempt.refuse(Outcome::kInvalid, std::move(delta.error().errors));
        return true;
    }
    if (!writer) {
        undo(attempt.inverse);
        const bool conflict = source::is_conflict(writer.error());
        attempt.refuse(conflict ? Outcome::kConflict : Outcome::kFailed, {writer.error().text()});
        attempt.report.errors.insert(attempt.report.errors.end(), loaded.errors.begin(), loaded.errors.end());
        return !conflict;
    }
    attempt.delta = std::move(*delta);
    return finish(attempt, std::move(*writer), changes);
}

std::vector<model::Change> Controller::wanted_changes(Attempt& attempt) const {
    std::vector<model::Change> changes;
    for (const config::ObjectPtr& object : attempt.objects) {
        auto present = mesh_.objects().find(object->key);
        const bool exists = present != mesh_.objects().end();
        auto location = directory_->locate(object->key);
        AppliedChange& row = attempt.report.changes.emplace_back();
        row.object = object->key.text();
        row.action = exists ? "replaced" : "created";
        row.file = location ? location->file : "";
        if (exists && !object->list_item && !present->second->list_item && present->second->digest == object->digest) {
            row.action = "unchanged";
            continue;
        }
        changes.push_back({object->key, object});
    }
    for (const config::ObjectKey& key : attempt.removals) {
        auto location = directory_->locate(key);
        attempt.report.changes.push_back({key.text(), "deleted", location ? location->file : "", {}, {}});
        changes.push_back({key, nullptr});
    }
    return changes;
}

void Controller::dry_run(Attempt& attempt, std::span<const model::Change> changes) {
    const std::vector<model::Change> inverse = inverse_of(changes);
    auto delta = advance(changes);
    if (!delta) {
        attempt.refuse(ApplyReport::Outcome::kInvalid, std::move(delta.error().errors));
        return;
    }
    describe(delta->changed, attempt.report.notes);
    attempt.report.effects = effects_of(*delta);
    std::vector<std::string> warnings = texts(delta->warnings, Severity::kWarning);
    attempt.report.warnings.insert(attempt.report.warnings.end(), warnings.begin(), warnings.end());
    undo(inverse);
    for (const model::Change& change : changes) {
        auto row = std::ranges::find(attempt.report.changes, change.key.text(), &AppliedChange::object);
        row->before = present(change.key);
        row->after = change.object ? std::optional(attempt.text_of(*change.object)) : std::nullopt;
    }
}

// Publishes what the mesh has already taken, writes it back and records it.
bool Controller::finish(Attempt& attempt, std::optional<source::WriteBack> writer,
                        std::span<const model::Change> changes) {
    using Outcome = ApplyReport::Outcome;
    auto generation = put_in_force(attempt.delta);
    if (!generation) {
        undo(attempt.inverse);
        attempt.refuse(Outcome::kFailed, {generation.error().text()});
        return true;
    }
    step("published");
    auto written = writer->commit(options_.step);
    if (!written) {
        const bool conflict = source::is_conflict(written.error());
        attempt.refuse(conflict ? Outcome::kConflict : Outcome::kFailed,
                       {"not written, so what was in force before is again: " + written.error().text()});
        if (auto back = publish(attempt.inverse); !back) {
            attempt.report.errors.push_back("going back failed too: " + lines(back.error().errors));
        }
        writer.reset();  // before the directory that it writes to
        resync(attempt);
        return !conflict;
    }
    step("written");
    attempt.report.generation = *generation;
    for (const source::Written& file : *written) {
        auto row = std::ranges::find(attempt.report.changes, file.key.text(), &AppliedChange::object);
        row->action = source::action_name(file.action);
        row->file = file.file;
    }
    std::vector<std::string> warnings = texts(attempt.delta.warnings, Severity::kWarning);
    attempt.report.warnings.insert(attempt.report.warnings.end(), warnings.begin(), warnings.end());
    describe(attempt.delta.changed, attempt.report.notes);
    attempt.report.effects = effects_of(attempt.delta);
    if (!state_.client_error.empty()) {
        attempt.report.warnings.push_back(state_.client_error);
    }
    record_apply(attempt, changes);
    step("recorded");
    return true;
}

}  // namespace sluice::daemon
