// `sluice history`: who changed what, when, and with which result.
#include "ctl/agent.h"

namespace sluice::ctl {

namespace {

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

void history(Session& session, std::size_t limit) {
    if (session.offline()) {
        session.refuse(needs_agent("history"));
        return;
    }
    auto rows = ask(session, target("/v1/history", {{"limit", std::to_string(limit)}}));
    if (!rows) {
        session.refuse(rows.error());
        return;
    }
    if (session.format == Format::kTable) {
        Json table = Json::array();
        for (const Json& row : *rows) {
            Json& line = table.emplace_back(Json::object());
            for (const char* name : {"generation", "time", "actor", "source", "result"}) {
                line[name] = row.value(name, Json());
            }
            const std::string errors = row.value("errors", "");
            line["summary"] = first_line(errors.empty() ? row.value("summary", "") : errors);
            line["message"] = first_line(row.value("message", ""));
        }
        *rows = std::move(table);
    }
    session.print(*rows);
}

}  // namespace

void add_history(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand("history", "Who changed what, when, and with which result; newest first");
    auto limit = std::make_shared<std::size_t>(20);
    verb->add_option("-n,--limit", *limit, "Entries to show")->capture_default_str()->check(CLI::Range(1, 10'000));
    verb->footer("Whole texts: sluice history -o json");
    verb->callback([&session, limit] { history(session, *limit); });
}

}  // namespace sluice::ctl
