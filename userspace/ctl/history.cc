// `sluice history`: who changed what, when, why, from where, and with which result.
#include <fmt/format.h>

#include "admin/backend.h"
#include "ctl/changes.h"
#include "ctl/moment.h"

namespace sluice::ctl {

namespace {

constexpr std::size_t kExportPage = 50;  // entries with all their documents, asked for at once

struct Asked {
    std::string generation, object, since;
    std::size_t limit = 20;
    std::int64_t entry = 0;
    bool limited = false;
    bool objects = false, refused = false, exported = false;
};

// One line an entry: the first line of each text, and how many more there are.
std::string first_line(const std::string& text) {
    const std::size_t end = text.find('\n');
    if (end == std::string::npos) {
        return text;
    }
    const auto more = std::count(text.begin() + static_cast<std::ptrdiff_t>(end) + 1, text.end(), '\n') +
                      (text.ends_with('\n') ? 0 : 1);
    return text.substr(0, end) + (more > 0 ? " (and " + std::to_string(more) + " more)" : "");
}

Answer<Query> filters(const Asked& asked) {
    Query query{{"object", asked.object},
                {"refused", asked.refused ? "1" : ""},
                {"generation", asked.generation},
                {"id", asked.entry == 0 ? "" : std::to_string(asked.entry)}};
    if (!asked.since.empty()) {
        const auto since = moment(asked.since, std::chrono::system_clock::now());
        if (!since) {
            return std::unexpected(Failure{kUsage,
                                           "--since: expected a time such as 2026-11-21T10:00Z, or how long ago, "
                                           "such as 2h or 7d; found '" +
                                               asked.since + "'"});
        }
        query.emplace_back("since", std::to_string(*since));
    }
    return query;
}

Answer<Json> entries(Session& session, Query query, std::size_t limit, bool objects, std::int64_t before = 0) {
    query.emplace_back("limit", std::to_string(limit));
    query.emplace_back("objects", objects ? "1" : "");
    query.emplace_back("before", before == 0 ? "" : std::to_string(before));
    return ask(session, target("/v1/history", query));
}

void print_table(Session& session, const Json& rows) {
    Json table = Json::array();
    for (const Json& row : rows) {
        Json& line = table.emplace_back(Json::object());
        for (const char* name : {"generation", "time", "actor", "source", "result"}) {
            line[name] = row.value(name, Json());
        }
        const std::string errors = row.value("errors", "");
        line["summary"] = first_line(errors.empty() ? row.value("summary", "") : errors);
        line["message"] = first_line(row.value("message", ""));
    }
    session.print(table);
}

std::string text_of(const Json& version) {
    return version.is_object() ? version.value("text", "") : "";
}

// Who, when, why, from where; then what differs, document by document.
void print_entry(Session& session, const Json& entry, bool texts) {
    session.out << fmt::format("generation {}, entry {}: {}\n", entry.value("generation", Json()).dump(),
                               entry.value("id", Json()).dump(), entry.value("result", ""));
    const auto line = [&](const char* name, const std::string& text) {
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t end = std::min(text.find('\n', at), text.size());
            session.out << fmt::format("  {:<8} {}\n", at == 0 ? name : "", printable(text.substr(at, end - at)));
            at = end + 1;
        }
    };
    line("when", entry.value("time", ""));
    line("who", fmt::format("{} (uid {}{})", entry.value("actor", ""), entry.value("uid", Json()).dump(),
                            entry.value("pid", -1) < 0 ? "" : ", pid " + entry.value("pid", Json()).dump()));
    line("source", entry.value("source", ""));
    line("from", entry.value("file", ""));
    line("why", entry.value("message", ""));
    line("what", entry.value("summary", ""));
    line("errors", entry.value("errors", ""));
    for (const Json& change : texts ? entry.value("changes", Json::array()) : Json::array()) {
        const Json before = change.value("before", Json()), after = change.value("after", Json());
        const Json& placed = after.is_object() ? after : before;
        session.out << fmt::format("\n{} {} ({})\n", printable(change.value("action", "")),
                                   printable(change.value("object", "")), printable(placed.value("file", "")));
        session.out << unified_diff(text_of(before), text_of(after));
    }
}

void export_lines(Session& session, const Asked& asked, const Query& query) {
    std::int64_t before = 0;
    for (std::size_t left = asked.limited ? asked.limit : SIZE_MAX; left > 0;) {
        auto page = entries(session, query, std::min(left, kExportPage), true, before);
        if (!page) {
            session.refuse(page.error());
            return;
        }
        for (const Json& entry : *page) {
            session.out << entry.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
        }
        // One page is all that a generation or an entry can be.
        if (page->size() < std::min(left, kExportPage) || !asked.generation.empty() || asked.entry != 0) {
            return;
        }
        left -= page->size();
        before = page->back().value("id", std::int64_t{0});
    }
}

void history(Session& session, const Asked& asked) {
    if (session.offline()) {
        session.refuse(needs_agent("history"));
        return;
    }
    auto query = filters(asked);
    if (!query) {
        session.refuse(query.error());
        return;
    }
    if (asked.exported) {
        export_lines(session, asked, *query);
        return;
    }
    const bool one = !asked.generation.empty() || asked.entry != 0;
    const bool objects = one || asked.objects;
    if (objects && asked.limit > admin::kHistoryObjectsMax) {
        session.refuse({kUsage, fmt::format("--objects shows at most {} entries; --export writes all of them",
                                            admin::kHistoryObjectsMax)});
        return;
    }
    auto rows = entries(session, *query, asked.limit, objects);
    if (!rows) {
        session.refuse(rows.error());
        return;
    }
    if (one && rows->empty()) {
        session.refuse(
            {kNo, (asked.entry != 0 ? fmt::format("entry {}", asked.entry) : "generation " + asked.generation) +
                      " is not in the history"});
        return;
    }
    if (session.format != Format::kTable) {
        session.print(one ? rows->front() : *rows);
    } else if (objects) {
        for (const Json& entry : *rows) {
            session.out << (&entry == &rows->front() ? "" : "\n");
            print_entry(session, entry, true);
        }
    } else {
        print_table(session, *rows);
    }
}

}  // namespace

void add_history(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand("history", "Who changed what, when, why, and with which result; newest first");
    auto asked = std::make_shared<Asked>();
    verb->add_option("GEN", asked->generation, "This generation alone, with what it changed in every document")
        ->check(CLI::NonNegativeNumber);
    CLI::Option* limit = verb->add_option("-n,--limit", asked->limit, "Entries to show")
                             ->capture_default_str()
                             ->check(CLI::Range(std::size_t{1}, admin::kHistoryMax));
    verb->add_option("--id", asked->entry, "This entry alone, as --export and JSON number them: refused ones too")
        ->check(CLI::PositiveNumber);
    verb->add_flag("--objects", asked->objects, "With the difference in every document");
    verb->add_option("--object", asked->object, "Only what changed KIND/NAMESPACE/NAME");
    verb->add_option("--since", asked->since, "Only since then: 2026-11-21T10:00Z, or 2h, 7d ago");
    verb->add_flag("--refused", asked->refused, "Only what was refused");
    verb->add_flag("--export", asked->exported,
                   "Everything, as JSON lines with every document before and after; newest first");
    verb->footer(
        "Whole texts: sluice history -o json\n\nExamples:\n  sluice history --since 2h\n  sluice history 17\n"
        "  sluice history --object VirtualService/ml-serving/content-ranking --objects\n"
        "  sluice history --export > history.jsonl");
    verb->callback([&session, asked, limit] {
        asked->limited = limit->count() > 0;
        history(session, *asked);
    });
}

}  // namespace sluice::ctl
