#include "daemon/controller.h"

#include <algorithm>

#include "daemon/clock.h"
#include "daemon/documents.h"
#include "daemon/table_live.h"
#include "daemon/texts.h"

namespace sluice::daemon {

namespace {

void append(std::vector<std::string>& to, std::vector<std::string> more) {
    to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

Controller::Controller(ControllerOptions options, compile::Publisher& publisher, state::Store& store)
    : options_(std::move(options)),
      publisher_(publisher),
      store_(store),
      mesh_(options_.mesh),
      shares_(publisher),
      clients_(options_.cgroup_mount) {}

Result<> Controller::open_directory() {
    auto opened = source::Directory::open(options_.directory, options_.limits);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    directory_.emplace(std::move(*opened));
    directory_loaded_ = false;
    return {};
}

LoadReport Controller::start() {
    Gate::Write lock(gate_);
    LoadReport report = load(true, true);
    if (report.outcome == LoadReport::Outcome::kRefused) {
        report = load_stored(std::move(report));
    }
    settle(report);
    return report;
}

LoadReport Controller::rescan(bool everything) {
    Gate::Write lock(gate_);
    LoadReport report = load(everything, false);
    settle(report);
    return report;
}

LoadReport Controller::load(bool everything, bool starting) {
    LoadReport report;
    report.generation = publisher_.generation();
    report.from_state = state_.from_state;
    auto refuse = [&](std::vector<std::string> errors) {
        report.outcome = LoadReport::Outcome::kRefused;
        report.errors = std::move(errors);
        return report;
    };
    if (!directory_) {
        if (auto opened = open_directory(); !opened) {
            return refuse({opened.error().text()});
        }
    }
    source::Scan scan = directory_->scan(everything);
    report.warnings = texts(scan.diagnostics, Severity::kWarning);
    if (scan.diagnostics.has_errors()) {
        return refuse(texts(scan.diagnostics, Severity::kError));
    }
    if (scan.changes.empty() && based_) {
        directory_->accept();
        directory_loaded_ = true;
        report.from_state = false;
        return report;
    }
    auto published = publish(scan.changes);
    if (!published) {
        return refuse(std::move(published.error().errors));
    }
    directory_->accept();
    directory_loaded_ = true;
    report.outcome = LoadReport::Outcome::kInForce;
    report.from_state = false;
    report.generation = published->generation;
    report.changes = scan.changes.size();
    append(report.warnings, texts(published->delta.warnings, Severity::kWarning));
    if (!state_.client_error.empty()) {
        report.warnings.push_back(state_.client_error);
    }
    if (starting) {
        auto difference = differences(store_, mesh_.objects());
        if (!difference) {
            report.warnings.push_back(difference.error().text());
            return report;
        }
        record_load(report, std::move(difference->changes), std::move(difference->summary), true);
    } else {
        std::vector<state::ObjectChange> changes = stored_changes(scan.changes);
        std::string text = summary(changes, [&](const config::ObjectKey& key) {
            return std::ranges::any_of(published->inverse,
                                       [&](const model::Change& was) { return was.key == key && was.object; });
        });
        record_load(report, std::move(changes), std::move(text), false);
    }
    return report;
}

LoadReport Controller::load_stored(LoadReport refused) {
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    auto loaded = store_.load([&](const state::StoredObject& stored) -> Result<> {
        config::parse(stored.bytes, stored.file, options_.limits.parse, objects, diagnostics);
        return {};
    });
    if (!loaded) {
        refused.errors.push_back(loaded.error().text());
        return refused;
    }
    if (objects.empty()) {
        return refused;
    }
    std::vector<model::Change> changes;
    changes.reserve(objects.size());
    for (const config::ObjectPtr& object : objects) {
        changes.push_back({object->key, object});
    }
    auto published = publish(changes);
    if (!published) {
        for (const std::string& error : published.error().errors) {
            refused.errors.push_back("the last good objects in the state database: " + error);
        }
        return refused;
    }
    refused.from_state = true;
    refused.generation = published->generation;
    refused.changes = changes.size();
    // From now on the directory is looked at as what differs from the database, so that its watch can bring it back.
    if (open_directory()) {
        for (const config::ObjectPtr& object : objects) {
            directory_->assume(*object);
        }
        LoadReport again = load(true, false);
        return again.outcome == LoadReport::Outcome::kRefused ? refused : again;
    }
    return refused;
}

// Takes a report into the state that status and metrics show.
void Controller::settle(const LoadReport& report) {
    const bool refused = report.outcome == LoadReport::Outcome::kRefused;
    if (refused && report.errors != state_.last_error) {
        state::HistoryRow row = history_row(report.generation, own_actor(), state::ChangeSource::kDirectory,
                                            "load of " + options_.directory, report.errors);
        row.file = options_.directory;
        auto recorded = store_.record_refused(row);
        state_.state_error = recorded ? "" : recorded.error().text();
    }
    state_.errors_total += refused ? 1 : 0;
    state_.last_success = !refused;
    state_.from_state = report.from_state;
    state_.last_error = report.errors;
    if (report.outcome == LoadReport::Outcome::kInForce) {
        state_.last_warnings = report.warnings;
    }
}

void Controller::record_load(LoadReport& report, std::vector<state::ObjectChange> changes, std::string text,
                             bool starting) {
    Result<std::uint64_t> known = store_.generation();
    if (starting && changes.empty() && known && *known == report.generation) {
        return;  // a restart on what was in force
    }
    std::vector<std::string> files;
    for (const state::ObjectChange& change : changes) {
        if (!change.file.empty() && (files.empty() || files.back() != change.file)) {
            files.push_back(change.file);
        }
    }
    const auto source = starting ? state::ChangeSource::kStart : state::ChangeSource::kDirectory;
    state::HistoryRow row =
        history_row(report.generation, starting ? own_actor() : owner_actor(files), source, std::move(text), {});
    row.file = files.size() == 1 ? files.front() : options_.directory;
    if (std::string error = remember(std::move(changes), std::move(row)); !error.empty()) {
        report.warnings.push_back("in force, but not recorded in the state database: " + error);
    }
}

int Controller::watch_fd() {
    Gate::Read lock(gate_);
    return directory_ ? directory_->fd() : -1;
}

bool Controller::watch_due() {
    Gate::Write lock(gate_);
    return directory_ && directory_->due();
}

LoadState Controller::load_state() {
    Gate::Read lock(gate_);
    return state_;
}

std::vector<model::ServicePortPtr> Controller::services() {
    Gate::Read lock(gate_);
    std::vector<model::ServicePortPtr> out;
    out.reserve(mesh_.services().size());
    for (const auto& [key, service] : mesh_.services()) {
        out.push_back(service);
    }
    return out;
}

void Controller::view(const std::function<void(const model::Mesh&, const admin::ViewContext&)>& look) {
    Gate::Read lock(gate_);
    TableLive live(publisher_, shares_, monotonic_ns());
    admin::ViewContext context{.live = &live};
    context.where = [this](const config::Object& object) {
        std::optional<source::Location> found = directory_ ? directory_->locate(object.key) : std::nullopt;
        return found ? admin::Where{found->file, found->line} : admin::Where{object.file, object.place.line};
    };
    look(mesh_, context);
}

}  // namespace sluice::daemon
