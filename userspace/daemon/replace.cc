// Documents as they stand in their files, and applies that hold only for what was seen there.
#include <fstream>
#include <sstream>

#include "daemon/attempt.h"
#include "daemon/texts.h"

namespace sluice::daemon {

// The text of the document that defines `key` in its file now; empty: none does.
std::optional<std::string> Controller::present(const config::ObjectKey& key) const {
    const std::optional<source::Location> location = directory_ ? directory_->locate(key) : std::nullopt;
    if (!location) {
        return std::nullopt;
    }
    std::ifstream in(location->file, std::ios::binary);
    std::ostringstream bytes;
    bytes << in.rdbuf();
    std::vector<config::ObjectPtr> objects;
    Diagnostics ignored;
    const std::string text = std::move(bytes).str();
    config::parse(text, location->file, options_.limits.parse, objects, ignored);
    for (const config::ObjectPtr& object : objects) {
        if (object->key == key) {
            return source::document_text(text, *object);
        }
    }
    return std::nullopt;
}

Result<Controller::Document> Controller::document(const config::ObjectKey& key) {
    Gate::Read lock(gate_);
    const auto found = mesh_.objects().find(key);
    if (found == mesh_.objects().end()) {
        return fail_errno(ENOENT, "no " + key.text() + " is in force");
    }
    std::optional<std::string> text = present(key);
    if (!text) {
        return fail("no file in " + options_.directory + " defines " + key.text() + " now");
    }
    if (found->second->list_item) {
        return fail(key.text() + " is an item of a List, whose text is not kept; give it a document of its own");
    }
    if (auto writable = source::WriteBack::check_writable(*directory_); !writable) {
        return std::unexpected(std::move(writable.error()));
    }
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(*text, found->second->file, options_.limits.parse, objects, diagnostics);
    if (objects.size() != 1) {
        return fail("the document of " + key.text() +
                    " is not sound now: " + lines(texts(diagnostics, Severity::kError)));
    }
    return Document{objects.front(), std::move(*text), publisher_.generation()};
}

std::vector<config::ObjectPtr> Controller::objects(config::Kind kind) {
    Gate::Read lock(gate_);
    std::vector<config::ObjectPtr> out;
    for (auto it = mesh_.objects().lower_bound({kind, "", ""}); it != mesh_.objects().end() && it->first.kind == kind;
         ++it) {
        out.push_back(it->second);
    }
    return out;
}

Controller::ReplaceReport Controller::replace(const ReplaceRequest& request) {
    ReplaceReport report;
    Attempt attempt{.request = request.request, .objects = {}, .report = {}, .delta = {}, .inverse = {}};
    attempt.source = request.source;
    attempt.actor = request.actor;
    Diagnostics diagnostics;
    config::parse(request.request.documents, request.request.file, options_.limits.parse, attempt.objects, diagnostics);
    std::vector<std::string> errors = texts(diagnostics, Severity::kError);
    if (errors.empty() && (attempt.objects.size() != 1 || attempt.objects.front()->key != request.key)) {
        errors.push_back(request.request.file + ": expected one document, " + request.key.text());
    }
    attempt.report.warnings = texts(diagnostics, Severity::kWarning);
    attempt.refuses = [&]() -> std::optional<std::string> {
        report.moved = present(request.key) != request.expected;
        return report.moved ? std::optional("the document of " + request.key.text() + " was changed meanwhile")
                            : std::nullopt;
    };
    Gate::Write lock(gate_);
    apply(attempt, std::move(errors));
    report.apply = std::move(attempt.report);
    return report;
}

}  // namespace sluice::daemon
