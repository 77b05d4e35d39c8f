// `sluice validate`: everything that is wrong with a rules directory, and what is hardly meant.
#include <fmt/format.h>

#include <algorithm>

#include "ctl/knowledge.h"
#include "ctl/offline.h"
#include "verify/advice.h"

namespace sluice::ctl {

namespace {

struct Asked {
    std::string directory;
    bool strict = false;
};

// A diagnostic with the code of its page; empty: it has none.
struct Remark {
    Diagnostic diagnostic;
    std::string_view code;
};

Json remarks_json(const std::vector<Remark>& remarks) {
    Json out = Json::array();
    for (const auto& [one, code] : remarks) {
        out.push_back({{"severity", one.severity == Severity::kError ? "error" : "warning"},
                       {"file", one.file},
                       {"line", one.line},
                       {"column", one.column},
                       {"field", one.field},
                       {"message", one.message},
                       {"code", code.empty() ? Json() : Json(code)}});
    }
    return out;
}

std::vector<Remark> remarks_of(const Diagnostics& diagnostics) {
    std::vector<Remark> out;
    for (const Diagnostic& one : diagnostics.items) {
        Remark& remark = out.emplace_back(one, verify::code_of(one));
        if (!remark.code.empty()) {
            remark.diagnostic.message.append(" [").append(remark.code).append("]");
        }
    }
    return out;
}

// Advice joins the warnings at its place. What the mesh itself warned of there under the same code is said once.
void add_advice(std::vector<verify::Advice> advice, std::vector<Remark>& remarks) {
    const std::size_t own = remarks.size();
    for (verify::Advice& one : advice) {
        const bool known =
            std::any_of(remarks.begin(), remarks.begin() + static_cast<std::ptrdiff_t>(own), [&](const Remark& r) {
                return r.code == one.code && r.diagnostic.file == one.diagnostic.file &&
                       r.diagnostic.line == one.diagnostic.line;
            });
        if (!known) {
            remarks.push_back({std::move(one.diagnostic), one.code});
        }
    }
    std::ranges::stable_sort(remarks, {}, [](const Remark& remark) {
        return std::tie(remark.diagnostic.file, remark.diagnostic.line, remark.diagnostic.column);
    });
}

void print_text(Session& session, const std::string& directory, const Offline& read, const std::vector<Remark>& remarks,
                bool valid) {
    bool pages = false;
    for (const Remark& remark : remarks) {
        session.out << printable(remark.diagnostic.text()) << '\n';
        pages = pages || !remark.code.empty();
    }
    if (!read.references_checked) {
        session.err << "sluice: references between rules were not checked, because documents with errors are missing\n";
    }
    if (pages) {
        session.err << "sluice: `sluice explain CODE` explains what is in brackets\n";
    }
    if (valid) {
        session.out << fmt::format("{}: valid: {} files, {} objects, {} service ports\n", directory, read.files,
                                   read.objects, read.mesh.services().size());
    }
}

void validate(Session& session, const std::string& directory, bool strict) {
    auto read = read_directory(directory, session.references_warn);
    if (!read) {
        session.refuse(read.error());
        return;
    }
    const bool valid = !read->diagnostics.has_errors();
    std::vector<Remark> remarks = remarks_of(read->diagnostics);
    if (valid) {
        add_advice(verify::advise(read->mesh, knowledge(session)), remarks);
    }
    session.code = valid && !(strict && !remarks.empty()) ? kDone : kNo;
    if (session.format != Format::kTable) {
        session.print({{"valid", valid},
                       {"files", read->files},
                       {"objects", read->objects},
                       {"services", read->mesh.services().size()},
                       {"references_checked", read->references_checked},
                       {"diagnostics", remarks_json(remarks)}});
        return;
    }
    print_text(session, directory, *read, remarks, valid);
}

}  // namespace

void add_validate(CLI::App& app, Session& session) {
    CLI::App* verb =
        app.add_subcommand("validate", "Check a rules directory, with advice; needs neither root nor an agent");
    auto asked = std::make_shared<Asked>();
    verb->add_option("DIR", asked->directory, "The directory; default: that of --config");
    verb->add_flag("--strict", asked->strict, "Warnings and advice fail too");
    verb->footer(
        "Prints FILE:LINE:COLUMN: FIELD: message for every error and warning; exit code 1 if there is an error.\n"
        "Advice has a code in brackets: `sluice explain CODE` prints its page. Where the agent of --run can be asked, "
        "time-outs are compared with what requests take.\n\n"
        "Example:\n  sluice validate rules/ --references warn");
    verb->callback([&session, asked] {
        const std::string& chosen = asked->directory.empty() ? session.config : asked->directory;
        if (chosen.empty()) {
            session.refuse({kUsage, "validate needs a directory: sluice validate DIR"});
            return;
        }
        validate(session, chosen, asked->strict);
    });
}

}  // namespace sluice::ctl
