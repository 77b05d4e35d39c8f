// The documents of a former generation come back.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/attempt.h"
#include "daemon/texts.h"
#include "verify/effect.h"

namespace sluice::daemon {

namespace {

std::string named(const state::HistoryRow& row) {
    return fmt::format("generation {} of {}", row.generation, time_text(row.time));
}

// The row that put a generation in force, or that has the id; the error says what there is.
Result<state::HistoryRow> kept_row(const state::Store& store, std::uint64_t generation, std::int64_t entry) {
    state::HistoryQuery query{.limit = 1, .id = entry};
    if (entry == 0) {
        query.generation = generation;
    }
    auto rows = store.history(query);
    if (!rows) {
        return std::unexpected(rows.error());
    }
    if (!rows->empty() && rows->front().ok) {
        return std::move(rows->front());
    }
    if (!rows->empty()) {
        return fail(fmt::format("entry {} of the history was refused: it never was in force", entry));
    }
    auto kept = store.kept();
    if (!kept) {
        return std::unexpected(kept.error());
    }
    const std::string what = entry == 0 ? fmt::format("generation {}", generation) : fmt::format("entry {}", entry);
    return fail(!*kept ? "the history is empty: there is nothing to go back to"
                       : fmt::format("{} is not in the history, which goes from {} (entry {}) to {} (entry {}); "
                                     "see sluice history",
                                     what, named((*kept)->oldest), (*kept)->oldest.id, named((*kept)->newest),
                                     (*kept)->newest.id));
}

// What differs between the documents of two generations, or of one and those in force.
Result<std::vector<state::ObjectVersions>> between(const state::Store& store, const admin::CompareQuery& query) {
    std::map<config::ObjectKey, state::ObjectVersions> out;
    auto from = kept_row(store, query.from, 0);
    if (!from) {
        return std::unexpected(from.error());
    }
    auto then = store.since(from->id);
    if (!then) {
        return std::unexpected(then.error());
    }
    for (state::ObjectVersions& object : *then) {
        out[object.key] = std::move(object);
    }
    if (query.to) {
        auto to = kept_row(store, *query.to, 0);
        if (!to) {
            return std::unexpected(to.error());
        }
        auto later = store.since(to->id);
        if (!later) {
            return std::unexpected(later.error());
        }
        for (state::ObjectVersions& object : *later) {
            // What the first did not name was then as it is now.
            auto [place, fresh] = out.try_emplace(object.key, state::ObjectVersions{object.key, object.after, {}});
            place->second.after = std::move(object.before);
        }
    }
    std::vector<state::ObjectVersions> list;
    for (auto& [key, object] : out) {
        const bool same = object.before && object.after && object.before->bytes == object.after->bytes;
        if (!same && (object.before || object.after)) {
            list.push_back(std::move(object));
        }
    }
    return list;
}

}  // namespace

// Under the gate, when what the directory says is in force and recorded: fills the attempt with what has to change so
// that the documents are those after `to`. The reason why not, or nothing.
std::optional<std::string> Controller::go_back(Attempt& attempt, admin::ApplyRequest& request,
                                               const state::HistoryRow& to) {
    auto since = store_.since(to.id);
    auto documents = store_.documents();
    if (!since || !documents) {
        return (since ? documents.error() : since.error()).text();
    }
    attempt.objects.clear();
    attempt.removals.clear();
    attempt.files.clear();
    request.documents.clear();
    std::size_t then = *documents;
    for (const state::ObjectVersions& object : *since) {
        then += object.before && !object.after ? 1 : 0;
        then -= object.after && !object.before ? 1 : 0;
        if (!object.before) {
            if (mesh_.objects().contains(object.key)) {
                attempt.removals.push_back(object.key);
            }
        } else if (!object.after || object.before->bytes != object.after->bytes) {
            request.documents += (request.documents.empty() ? "" : "---\n") + object.before->bytes;
            request.documents += request.documents.ends_with('\n') ? "" : "\n";
            attempt.files[object.key] = object.before->file;
        }
    }
    if (then == 0) {
        return named(to) +
               " had no documents at all: going back to it would end everything that is in force; delete "
               "the files by hand if that is meant";
    }
    Diagnostics diagnostics;
    config::parse(request.documents, request.file, options_.limits.parse, attempt.objects, diagnostics);
    if (diagnostics.has_errors()) {
        return lines(texts(diagnostics, Severity::kError));
    }
    if (attempt.objects.empty() && attempt.removals.empty()) {
        return "nothing differs from " + named(to);
    }
    return std::nullopt;
}

ApplyReport Controller::rollback(const admin::RollbackRequest& wanted) {
    admin::ApplyRequest request{.documents = {},
                                .file = wanted.entry == 0 ? fmt::format("generation {}", wanted.generation)
                                                          : fmt::format("entry {}", wanted.entry),
                                .message = wanted.message,
                                .dry_run = wanted.dry_run,
                                .peer = wanted.peer};
    Attempt attempt{.request = request, .objects = {}, .report = {}, .delta = {}, .inverse = {}};
    attempt.source = state::ChangeSource::kRollback;
    Gate::Write lock(gate_);
    // Looked up before the directory is: what it brings is younger.
    auto row = kept_row(store_, wanted.generation, wanted.entry);
    bool impossible = false;
    attempt.refuses = [&]() -> std::optional<std::string> {
        auto why = go_back(attempt, request, *row);
        impossible = why.has_value();
        return why;
    };
    apply(attempt, row ? std::vector<std::string>() : std::vector{row.error().text()});
    if (impossible) {
        attempt.report.outcome =
            ApplyReport::Outcome::kInvalid;  // as rules that are wrong: trying again changes nothing
    }
    if (attempt.report.outcome == ApplyReport::Outcome::kDone) {
        // Numbers begin again now and then: it must be seen which one was meant.
        attempt.report.notes.insert(attempt.report.notes.begin(),
                                    fmt::format("back to {} (entry {})", named(*row), row->id));
    }
    return std::move(attempt.report);
}

// Under the gate: what going from the documents before to those after does. The mesh is as it was again then.
std::vector<std::string> Controller::effects_between(std::span<const state::ObjectVersions> versions) {
    std::vector<model::Change> from, to;
    Diagnostics diagnostics;
    for (const state::ObjectVersions& object : versions) {
        for (const auto& [version, changes] : {std::pair(&object.before, &from), std::pair(&object.after, &to)}) {
            std::vector<config::ObjectPtr> parsed;
            if (*version) {
                config::parse((*version)->bytes, (*version)->file, options_.limits.parse, parsed, diagnostics);
            }
            changes->push_back({object.key, parsed.empty() ? nullptr : parsed.front()});
        }
    }
    auto back = mesh_.apply(from);
    if (!back) {
        return {"the former documents are not valid today, so their effect cannot be said: " +
                lines(texts(back.error(), Severity::kError))};
    }
    auto forward = mesh_.preview(to);
    std::vector<std::string> out;
    if (forward) {
        out = verify::effects(verify::changes_of(mesh_.services(), *forward)).text();
    } else {
        out.push_back("the latter documents are not valid today, so their effect cannot be said: " +
                      lines(texts(forward.error(), Severity::kError)));
    }
    undo(back->undo);
    return out;
}

ApplyReport Controller::compare(const admin::CompareQuery& query) {
    ApplyReport report;
    const auto refuse = [&](std::string error) {
        report.outcome = ApplyReport::Outcome::kInvalid;
        report.errors.push_back(std::move(error));
        return report;
    };
    Gate::Write lock(gate_);  // the mesh is elsewhere for a moment
    report.generation = publisher_.generation();
    auto differing = between(store_, query);
    if (!differing) {
        return refuse(differing.error().text());
    }
    for (const state::ObjectVersions& object : *differing) {
        const auto text = [](const std::optional<state::Version>& version) {
            return version ? std::optional(version->bytes) : std::nullopt;
        };
        report.changes.push_back({object.key.text(),
                                  !object.after    ? "deleted"
                                  : !object.before ? "created"
                                                   : "replaced",
                                  object.after ? object.after->file : object.before->file, text(object.before),
                                  text(object.after)});
    }
    if (report.changes.empty()) {
        report.notes.push_back("nothing differs");
    } else {
        report.effects = effects_between(*differing);
    }
    return report;
}

}  // namespace sluice::daemon
