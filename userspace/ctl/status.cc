// `sluice status`: what the agent serves, since when, and what is wrong.
#include "ctl/agent.h"

namespace sluice::ctl {

void add_status(CLI::App& app, Session& session) {
    CLI::App* verb =
        app.add_subcommand("status", "What the agent serves: generation, errors of the last load, lanes, capacities");
    verb->callback([&session] {
        if (session.offline()) {
            session.refuse(needs_agent("status"));
            return;
        }
        if (auto status = ask(session, "/v1/status")) {
            session.print(*status);
        } else {
            session.refuse(status.error());
        }
    });
}

}  // namespace sluice::ctl
