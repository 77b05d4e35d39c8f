// `sluice get`: lists.
#include "ctl/lists.h"

namespace sluice::ctl {

namespace {

struct Asked {
    std::string what, host;
};

void get(Session& session, const Asked& asked) {
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
    CLI::App* verb = app.add_subcommand("get", "List services, routes, subsets or endpoints");
    auto asked = std::make_shared<Asked>();
    verb->add_option("WHAT", asked->what, "services, routes, subsets or endpoints")
        ->required()
        ->check(CLI::IsMember({"services", "routes", "subsets", "endpoints"}));
    verb->add_option("HOST", asked->host, "Only this service: full or short name, or an address");
    verb->footer(
        "Examples:\n  sluice get routes\n  sluice get endpoints content-ranking -o json\n  sluice --config rules/ get "
        "services");
    verb->callback([&session, asked] { get(session, *asked); });
}

}  // namespace sluice::ctl
