// `sluice rollback`: the documents of a former generation come back.
#include <fmt/format.h>

#include "ctl/changes.h"

namespace sluice::ctl {

namespace {

struct Asked {
    std::string generation, before, message;
    std::int64_t entry = 0;
    bool dry_run = false;
};

// The entry that was in force before a generation came.
Answer<std::int64_t> entry_before(Session& session, const std::string& generation) {
    auto rows = ask(session, target("/v1/history", {{"generation", generation}}));
    if (!rows) {
        return std::unexpected(rows.error());
    }
    if (rows->empty()) {
        return std::unexpected(Failure{kNo, "generation " + generation + " is not in the history"});
    }
    std::int64_t before = rows->front().value("id", std::int64_t{0});
    for (;;) {
        auto older = ask(session, target("/v1/history", {{"before", std::to_string(before)}, {"limit", "100"}}));
        if (!older) {
            return std::unexpected(older.error());
        }
        if (older->empty()) {
            return std::unexpected(Failure{kNo, "what was before generation " + generation + " is no longer kept"});
        }
        for (const Json& row : *older) {
            if (row.value("result", "") == "in force") {
                return row.value("id", std::int64_t{0});
            }
            before = row.value("id", std::int64_t{0});
        }
    }
}

void rollback(Session& session, Asked asked) {
    if (session.offline()) {
        session.refuse(needs_agent("rollback"));
        return;
    }
    if ((asked.generation.empty() ? 0 : 1) + (asked.before.empty() ? 0 : 1) + (asked.entry == 0 ? 0 : 1) != 1) {
        session.refuse({kUsage, "rollback needs one of GEN, --before GEN and --id ENTRY; see sluice history"});
        return;
    }
    if (!asked.before.empty()) {
        auto entry = entry_before(session, asked.before);
        if (!entry) {
            session.refuse(entry.error());
            return;
        }
        asked.entry = *entry;
    }
    auto done = post(session, "/v1/rollback",
                     {{"generation", asked.generation},
                      {"id", asked.entry == 0 ? "" : std::to_string(asked.entry)},
                      {"message", asked.message},
                      {"dry_run", asked.dry_run ? "1" : ""}});
    if (!done) {
        session.refuse(done.error());
        return;
    }
    print_applied(session, {}, *done);
}

}  // namespace

void add_rollback(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand(
        "rollback", "Put the documents of a former generation in force again, as a new one, and into their files");
    auto asked = std::make_shared<Asked>();
    verb->add_option("GEN", asked->generation, "The generation to go back to; see sluice history")
        ->check(CLI::NonNegativeNumber);
    verb->add_option("--before", asked->before, "Go back to what was in force before this generation")
        ->check(CLI::NonNegativeNumber);
    verb->add_option("--id", asked->entry, "Go back to what was in force after this entry of the history")
        ->check(CLI::PositiveNumber);
    verb->add_option("-m,--message", asked->message, "Why; kept in the history");
    verb->add_flag("--dry-run", asked->dry_run, "Only say what it would change, and which requests go elsewhere");
    verb->footer(
        "Documents that did not exist then are deleted, those deleted since come back into their files. Numbers of "
        "generations begin again after a reboot: the newest one is meant; --id is exact.\n\n"
        "Examples:\n  sluice rollback 17 -m 'v47 is slow'\n  sluice rollback --before 18 --dry-run");
    verb->callback([&session, asked] { rollback(session, *asked); });
}

}  // namespace sluice::ctl
