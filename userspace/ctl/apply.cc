// `sluice apply`: puts documents in force and into the rules directory.
#include <iostream>

#include "ctl/changes.h"

namespace sluice::ctl {

namespace {

struct Asked {
    std::vector<std::string> files;
    std::string message;
    bool dry_run = false;
};

void apply(Session& session, const Asked& asked) {
    if (session.offline()) {
        session.refuse(needs_agent("apply"));
        return;
    }
    auto documents = read_documents(asked.files, std::cin);
    if (!documents) {
        session.refuse(documents.error());
        return;
    }
    auto applied = post_apply(
        session, {{"file", documents->name}, {"message", asked.message}, {"dry_run", asked.dry_run ? "1" : ""}},
        documents->body);
    if (!applied) {
        session.refuse(applied.error());
        return;
    }
    print_applied(session, *documents, *applied);
}

}  // namespace

void add_apply(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand(
        "apply", "Validate documents against everything, put them in force, write them into the rules directory");
    auto asked = std::make_shared<Asked>();
    verb->add_option("FILE", asked->files, "YAML files; - is the standard input. All take effect together")->required();
    verb->add_option("-m,--message", asked->message, "Why; kept in the history");
    verb->add_flag("--dry-run", asked->dry_run, "Only say what it would change");
    verb->footer("Example:\n  sluice apply canary-25.yaml -m 'canary to 25%'");
    verb->callback([&session, asked] { apply(session, *asked); });
}

}  // namespace sluice::ctl
