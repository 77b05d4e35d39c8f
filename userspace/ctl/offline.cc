#include "ctl/offline.h"

#include <set>

#include "source/directory.h"

namespace sluice::ctl {

Answer<Offline> read_directory(const std::string& path, bool references_warn) {
    auto loaded = source::load(path);
    if (!loaded) {
        return std::unexpected(Failure{kUsage, loaded.error().text()});
    }
    const bool complete = !loaded->diagnostics.has_errors();
    // A document that could not be read is missing, not dangling: what names it is no error of its own.
    Offline out{.mesh = model::Mesh({.references_warn = references_warn || !complete, .lanes = {model::Lane::kDirect}}),
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

Answer<model::Mesh> sound_mesh(Session& session) {
    auto read = read_directory(session.config, session.references_warn);
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
