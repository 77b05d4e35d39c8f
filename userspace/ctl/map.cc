// `sluice map`: the kernel's tables as they are.
#include "ctl/agent.h"

namespace sluice::ctl {

namespace {

void show(Session& session, const std::string& path, const char* rows_of) {
    if (session.offline()) {
        session.refuse(needs_agent("map"));
        return;
    }
    auto found = ask(session, path);
    if (!found) {
        session.refuse(found.error());
        return;
    }
    const bool lines =
        session.format == Format::kTable && rows_of != nullptr && found->is_object() && found->contains(rows_of);
    session.print(lines ? (*found)[rows_of] : *found);
}

}  // namespace

void add_map(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand("map", "The kernel's tables: list them, or dump one");
    verb->require_subcommand(1);
    verb->fallthrough();
    verb->add_subcommand("list", "Name, type, sizes and use of every map")->callback([&session] {
        show(session, "/v1/maps", nullptr);
    });
    CLI::App* dump = verb->add_subcommand("dump", "The used rows of one map");
    auto name = std::make_shared<std::string>();
    dump->add_option("NAME", *name, "As `sluice map list` names it")->required();
    dump->callback([&session, name] { show(session, "/v1/maps/" + encoded(*name), "rows"); });
}

}  // namespace sluice::ctl
