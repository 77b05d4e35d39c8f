// From objects to a generation, and back.
#include "daemon/controller.h"
#include "daemon/texts.h"

namespace sluice::daemon {

std::vector<model::Change> Controller::inverse_of(std::span<const model::Change> changes) const {
    std::vector<model::Change> inverse;
    inverse.reserve(changes.size());
    for (const model::Change& change : changes) {
        auto found = mesh_.objects().find(change.key);
        inverse.push_back({change.key, found == mesh_.objects().end() ? nullptr : found->second});
    }
    return inverse;
}

std::expected<model::Delta, Controller::Refused> Controller::advance(std::span<const model::Change> changes) {
    auto delta = mesh_.apply(changes);
    if (!delta) {
        return std::unexpected(Refused{true, texts(delta.error(), Severity::kError)});
    }
    if (options_.check) {
        if (std::vector<std::string> errors = options_.check(*delta); !errors.empty()) {
            undo(delta->undo);
            return std::unexpected(Refused{true, std::move(errors)});
        }
    }
    return std::move(*delta);
}

void Controller::undo(std::span<const model::Change> inverse) {
    // What was valid before is valid again, so this cannot fail.
    static_cast<void>(mesh_.apply(inverse));
}

Result<std::uint64_t> Controller::put_in_force(const model::Delta& delta) {
    Result<std::uint64_t> generation = based_ ? publisher_.publish(delta) : publisher_.publish_all(mesh_);
    if (!generation) {
        return generation;
    }
    if (based_) {
        shares_.removed(delta.removed);
        shares_.changed(delta.changed, *generation);
    } else {
        shares_.begin(delta.changed, *generation);
    }
    based_ = true;
    state_.loaded_at = std::chrono::system_clock::now();
    if (delta.clients_changed) {
        clients_.set_clients(mesh_.clients());
        resolve();
    }
    if (options_.published) {
        options_.published(mesh_);
    }
    return generation;
}

std::expected<Controller::Published, Controller::Refused> Controller::publish(std::span<const model::Change> changes) {
    Published published{0, inverse_of(changes), {}};
    auto delta = advance(changes);
    if (!delta) {
        return std::unexpected(std::move(delta.error()));
    }
    published.delta = std::move(*delta);
    auto generation = put_in_force(published.delta);
    if (!generation) {
        undo(published.inverse);
        return std::unexpected(Refused{false, {generation.error().text()}});
    }
    published.generation = *generation;
    return published;
}

void Controller::resolve() {
    std::optional<ClientPaths::Resolved> resolved = clients_.resolve();
    state_.clients = clients_.count();
    state_.clients_unresolved = clients_.unresolved();
    if (resolved) {
        if (options_.clients) {
            options_.clients(*resolved);
        }
        auto set = publisher_.set_clients(*resolved);
        state_.client_error = set ? "" : "clients: " + set.error().text();
    }
}

std::string Controller::resolve_clients() {
    Gate::Write lock(gate_);
    resolve();
    return state_.client_error;
}

}  // namespace sluice::daemon
