// `sluice validate`: everything that is wrong with a rules directory.
#include <fmt/format.h>

#include "ctl/offline.h"

namespace sluice::ctl {

namespace {

Json diagnostics_json(const Diagnostics& diagnostics) {
    Json out = Json::array();
    for (const Diagnostic& one : diagnostics.items) {
        out.push_back({{"severity", one.severity == Severity::kError ? "error" : "warning"},
                       {"file", one.file},
                       {"line", one.line},
                       {"column", one.column},
                       {"field", one.field},
                       {"message", one.message}});
    }
    return out;
}

void validate(Session& session, const std::string& directory) {
    auto read = read_directory(directory, session.references_warn);
    if (!read) {
        session.refuse(read.error());
        return;
    }
    const bool valid = !read->diagnostics.has_errors();
    session.code = valid ? kDone : kNo;
    if (session.format != Format::kTable) {
        session.print({{"valid", valid},
                       {"files", read->files},
                       {"objects", read->objects},
                       {"services", read->mesh.services().size()},
                       {"references_checked", read->references_checked},
                       {"diagnostics", diagnostics_json(read->diagnostics)}});
        return;
    }
    session.out << lines(read->diagnostics);
    if (!read->references_checked) {
        session.err << "sluice: references between rules were not checked, because documents with errors are missing\n";
    }
    if (valid) {
        session.out << fmt::format("{}: valid: {} files, {} objects, {} service ports\n", directory, read->files,
                                   read->objects, read->mesh.services().size());
    }
}

}  // namespace

void add_validate(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand("validate", "Check a rules directory; needs neither root nor an agent");
    auto directory = std::make_shared<std::string>();
    verb->add_option("DIR", *directory, "The directory; default: that of --config");
    verb->footer(
        "Prints FILE:LINE:COLUMN: FIELD: message for every error and warning; exit code 1 if there is an error.\n\n"
        "Example:\n  sluice validate rules/ --references warn");
    verb->callback([&session, directory] {
        const std::string& chosen = directory->empty() ? session.config : *directory;
        if (chosen.empty()) {
            session.refuse({kUsage, "validate needs a directory: sluice validate DIR"});
            return;
        }
        validate(session, chosen);
    });
}

}  // namespace sluice::ctl
