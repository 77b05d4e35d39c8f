// `sluice get`: lists.
#include "admin/backend.h"
#include "ctl/agent.h"
#include "ctl/lists.h"

namespace sluice::ctl {

namespace {

struct Asked {
    std::string what, host;
    std::size_t limit = admin::kConnectionsDefault;
};

// The open connections; whole in JSON and YAML, in tables the rows and below them what is not shown.
void connections(Session& session, const Asked& asked) {
    if (session.offline()) {
        session.refuse(needs_agent("get connections"));
        return;
    }
    auto found =
        ask(session, target("/v1/connections", {{"host", asked.host}, {"limit", std::to_string(asked.limit)}}));
    if (!found) {
        session.refuse(found.error());
        return;
    }
    if (session.format != Format::kTable) {
        session.print(*found);
        return;
    }
    const Json rows = found->value("connections", Json::array());
    const auto total = found->value("total", std::size_t{0});
    if (!rows.empty()) {
        session.print(rows);
    }
    if (total == 0) {
        session.err << "no connections" << (asked.host.empty() ? "" : " to " + asked.host) << '\n';
    } else if (rows.size() < total) {
        session.err << "shown " << rows.size() << " of " << total << " connections; --limit shows more\n";
    }
}

void get(Session& session, const Asked& asked) {
    if (asked.what == "connections") {
        connections(session, asked);
        return;
    }
    auto rows = list_rows(session, asked.what, asked.host);
    if (!rows) {
        session.refuse(rows.error());
        return;
    }
    if (rows->empty() && session.format == Format::kTable) {
        session.err << "no " << asked.what << (asked.host.empty() ? "" : " of " + asked.host) << '\n';
        return;
    }
    session.print(*rows);
}

}  // namespace

void add_get(CLI::App& app, Session& session) {
    CLI::App* verb =
        app.add_subcommand("get", "List services, routes, subsets, endpoints, experiments or open connections");
    auto asked = std::make_shared<Asked>();
    verb->add_option("WHAT", asked->what, "services, routes, subsets, endpoints, experiments or connections")
        ->required()
        ->check(CLI::IsMember({"services", "routes", "subsets", "endpoints", "experiments", "connections"}));
    verb->add_option("HOST", asked->host, "Only this service: full or short name, or an address");
    verb->add_option("--limit", asked->limit, "Connections to show")
        ->capture_default_str()
        ->check(CLI::Range(std::size_t{1}, admin::kConnectionsMax));
    verb->footer(
        "Examples:\n  sluice get routes\n  sluice get connections content-ranking --limit 100\n  sluice get endpoints "
        "content-ranking -o json\n  sluice get experiments\n  sluice --config rules/ get "
        "services");
    verb->callback([&session, asked] { get(session, *asked); });
}

}  // namespace sluice::ctl
