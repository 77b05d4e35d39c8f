// What follows an apply: the audit history, what the operator is told, and the way back when writing failed.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/attempt.h"
#include "daemon/documents.h"
#include "daemon/texts.h"
#include "verify/effect.h"

namespace sluice::daemon {

namespace {

constexpr std::size_t kNotes = 20;
constexpr std::size_t kCompared = 1000;  // service ports of one change: comparing them costs as much as the change

}  // namespace

// After a write-back that failed: files that were written before the failing one are what the directory says now.
void Controller::resync(Attempt& attempt) {
    directory_.reset();
    if (auto opened = open_directory(); !opened) {
        attempt.report.errors.push_back(opened.error().text());
        return;
    }
    for (const auto& [key, object] : mesh_.objects()) {
        directory_->assume(*object);
    }
    LoadReport loaded = load(true, false);
    settle(loaded);
    attempt.report.generation = loaded.generation;
    attempt.report.errors.insert(attempt.report.errors.end(), loaded.errors.begin(), loaded.errors.end());
}

// What an earlier record lost is taken along, so that the store says what is in force again.
std::string Controller::remember(std::vector<state::ObjectChange> changes, state::HistoryRow row) {
    if (!unrecorded_.empty()) {
        row.summary += fmt::format("\nand what could not be recorded before: {} objects", unrecorded_.size());
        for (state::ObjectChange& change : changes) {
            unrecorded_.insert_or_assign(change.key, std::move(change));
        }
        changes.clear();
        for (const auto& [key, change] : unrecorded_) {
            changes.push_back(change);
        }
    }
    auto recorded = store_.record(changes, row);
    unrecorded_.clear();
    if (!recorded) {
        for (state::ObjectChange& change : changes) {
            unrecorded_.insert_or_assign(change.key, std::move(change));
        }
    }
    state_.state_error = recorded ? "" : recorded.error().text();
    return state_.state_error;
}

void Controller::record_apply(Attempt& attempt, std::span<const model::Change> changes) {
    std::vector<state::ObjectChange> rows;
    for (const model::Change& change : changes) {
        rows.push_back(change.object
                           ? state::ObjectChange{change.key, change.object->file, attempt.text_of(*change.object)}
                           : state::ObjectChange{change.key, {}, std::nullopt});
    }
    std::string text = summary(rows, [&](const config::ObjectKey& key) {
        auto was = std::ranges::find(attempt.inverse, key, &model::Change::key);
        return was != attempt.inverse.end() && was->object;
    });
    if (std::string error = remember(std::move(rows), attempt.history(std::move(text))); !error.empty()) {
        attempt.report.warnings.push_back("in force and written, but not recorded: " + error);
    }
}

// A dry run is no attempt to change anything.
void Controller::record_refused_apply(const Attempt& attempt) {
    if (attempt.request.dry_run) {
        return;
    }
    std::string objects;
    for (const config::ObjectPtr& object : attempt.objects) {
        objects += (objects.empty() ? "" : "\n") + object->key.text();
    }
    auto recorded = store_.record_refused(attempt.history(std::move(objects)));
    state_.state_error = recorded ? state_.state_error : recorded.error().text();
}

// `applied` is in the mesh; what was before is what taking it back would bring.
std::vector<std::string> Controller::effects_of(const model::Delta& applied) {
    if (const std::size_t touched = applied.changed.size() + applied.removed.size(); touched > kCompared) {
        return {fmt::format("{} service ports are touched: too many to compare one by one", touched)};
    }
    auto back = mesh_.preview(applied.undo);
    if (!back) {
        return {};
    }
    std::map<model::ServicePortKey, model::ServicePortPtr> before;
    for (const model::ServicePortPtr& service : back->changed) {
        before.emplace(model::ServicePortKey{service->scope, service->host, service->port}, service);
    }
    return verify::effects(verify::changes_of(before, applied)).text();
}

// Per service: how its weights count and how many connections still follow older ones.
void Controller::describe(std::span<const model::ServicePortPtr> changed, std::vector<std::string>& notes) const {
    std::size_t left_out = 0;
    for (const model::ServicePortPtr& service : changed) {
        if (service->route->destinations.size() < 2) {
            continue;
        }
        if (notes.size() == kNotes) {
            ++left_out;
            continue;
        }
        std::string weights;
        for (const model::Destination& destination : service->route->destinations) {
            weights += fmt::format(" {}={}", destination.text, destination.weight);
        }
        std::uint64_t current = 0, older = 0;
        for (std::uint32_t number : publisher_.service_numbers({service->scope, service->host, service->port})) {
            compile::ServiceConnections connections = publisher_.connections(number);
            current += connections.current;
            older += connections.older;
        }
        std::string note =
            fmt::format("{}:{}: weights count connections:{}; {} open connections follow an older generation",
                        service->host, service->port, weights, older);
        std::string coarse = admin::coarse_split(*service->route, current + older);
        notes.push_back(coarse.empty() ? note : note + "; " + coarse);
    }
    if (left_out > 0) {
        notes.push_back(fmt::format("and {} more services", left_out));
    }
}

}  // namespace sluice::daemon
