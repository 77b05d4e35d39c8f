#include "ctl/offline.h"

#include <cstdio>
#include <set>

#include "proxy/table.h"
#include "source/directory.h"

namespace sluice::ctl {

namespace {

// "FILE:LINE:COLUMN: FIELD: message" taken apart; what is not of that form is all message.
Diagnostic diagnostic_of(const std::string& text) {
    Diagnostic out;
    out.message = text;
    for (std::size_t colon = text.find(':'); colon != std::string::npos; colon = text.find(':', colon + 1)) {
        int line = 0, column = 0, used = 0;
        if (std::sscanf(text.c_str() + colon, ":%d:%d: %n", &line, &column, &used) != 2 || used == 0) {
            continue;
        }
        const std::size_t field = colon + static_cast<std::size_t>(used);
        const std::size_t end = text.find(": ", field);
        if (end == std::string::npos) {
            break;
        }
        return {Severity::kError, text.substr(0, colon),           line,
                column,           text.substr(field, end - field), text.substr(end + 2)};
    }
    return out;
}

}  // namespace

Answer<Offline> read_directory(const std::string& path, bool references_warn,
                               std::vector<std::string> client_namespaces) {
    auto loaded = source::load(path);
    if (!loaded) {
        return std::unexpected(Failure{kUsage, loaded.error().text()});
    }
    const bool complete = !loaded->diagnostics.has_errors();
    // A document that could not be read is missing, not dangling: what names it is no error of its own.
    Offline out{.mesh = model::Mesh({.references_warn = references_warn || !complete,
                                     .lanes = {model::Lane::kDirect, model::Lane::kProxy},
                                     .client_namespaces = std::move(client_namespaces)}),
                .diagnostics = std::move(loaded->diagnostics),
                .files = loaded->files,
                .objects = loaded->objects.size(),
                .references_checked = complete || references_warn};
    std::vector<model::Change> changes;
    changes.reserve(loaded->objects.size());
    std::set<config::ObjectKey> seen;
    for (config::ObjectPtr& object : loaded->objects) {
        if (seen.insert(object->key).second) {  // the scan has reported the others
            changes.push_back({object->key, std::move(object)});
        }
    }
    auto delta = out.mesh.apply(changes);
    Diagnostics found = delta ? std::move(delta->warnings) : std::move(delta.error());
    for (const std::string& error : delta ? proxy::Table::check(delta->changed) : std::vector<std::string>()) {
        found.add(diagnostic_of(error));
    }
    for (Diagnostic& diagnostic : found.items) {
        if (complete || diagnostic.severity == Severity::kError) {
            out.diagnostics.add(std::move(diagnostic));
        }
    }
    return out;
}

std::string lines(const Diagnostics& diagnostics) {
    std::string out;
    for (const Diagnostic& diagnostic : diagnostics.items) {
        out += printable(diagnostic.text()) + "\n";
    }
    return out;
}

Answer<model::Mesh> sound_mesh(Session& session, std::vector<std::string> client_namespaces) {
    auto read = read_directory(session.config, session.references_warn, std::move(client_namespaces));
    if (!read) {
        return std::unexpected(read.error());
    }
    session.err << lines(read->diagnostics);
    if (read->diagnostics.has_errors()) {
        return std::unexpected(
            Failure{kNo, session.config + " has errors; nothing can be said about what it would do"});
    }
    return std::move(read->mesh);
}

}  // namespace sluice::ctl
