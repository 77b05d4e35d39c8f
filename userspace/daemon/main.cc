// sluiced: the agent. Wires the rooms together; decides nothing itself.
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <string.h>

#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "admin/server.h"
#include "base/version.h"
#include "bpf/kernel.h"
#include "daemon/agent.h"
#include "daemon/controller.h"
#include "daemon/drain.h"
#include "daemon/drain_tools.h"
#include "daemon/instance.h"
#include "daemon/loop.h"
#include "daemon/memory.h"
#include "daemon/options.h"
#include "daemon/privileges.h"
#include "state/store.h"

namespace sluice::daemon {
namespace {

int give_up(const std::string& what, const Error& error) {
    spdlog::critical("{}: {}", what, error.text());
    return 1;
}

int uninstall(const Options& options) {
    if (auto done = bpf::Kernel::uninstall(options.kernel); !done) {
        return give_up("--uninstall", done.error());
    }
    spdlog::info("every program, link, map and pin of Sluice under {} is removed", options.kernel.bpffs);
    return 0;
}

// Everything that serves, from start to the end of the loop.
int serve(const Options& options, bpf::Kernel& kernel, state::Store& store, const Wake& wake) {
    compile::Publisher publisher(kernel.tables(), kernel.identities(), kernel.services(), kernel.clients(),
                                 [] { static_cast<void>(bpf::grace_period()); });
    if (kernel.adopted()) {
        if (auto adopted = publisher.adopt(); !adopted) {
            return give_up("adopting the pinned tables (sluiced --uninstall removes them)", adopted.error());
        }
        spdlog::info("generation {} was in force already and stays so", publisher.generation());
    }
    Controller controller({.directory = options.config,
                           .mesh = options.mesh,
                           .limits = {},
                           .cgroup_mount = options.cgroup_mount,
                           .step = {}},
                          publisher, store);
    LogBudget budget(100, 20);
    Agent agent(options, controller, publisher, kernel, budget, [&wake] { wake.notify(); });
    KernelDrainTools drain_tools(kernel);
    DrainBook drain_book(controller, publisher);  // of what an earlier agent left, before the start changes it
    Drainer drainer(drain_tools, drain_book);
    agent.set_drain_facts([&drainer] { return drainer.facts(); });
    std::vector<std::string> errors;
    log_load(controller.start(), "start", errors);
    drainer.look_at_rules();
    give_memory_back();
    auto server = admin::Server::start({.socket = options.run + "/sluiced.sock", .http = options.http}, agent);
    if (!server) {
        return give_up("the admin API", server.error());
    }
    if (server->http_port() != 0) {
        spdlog::info("http://{} serves /metrics, /healthz, /readyz and the API read-only (port {})", options.http,
                     server->http_port());
    }
    auto ended = run_loop({controller, agent, publisher, kernel, budget, wake, drainer, std::move(errors)});
    if (!ended) {
        return give_up("the control loop", ended.error());
    }
    spdlog::info("{}: ending; generation {} stays in force in the kernel", ::strsignal(*ended), publisher.generation());
    return 0;
}

int run(const Options& options) {
    if (auto blocked = block_signals(); !blocked) {
        return give_up("start", blocked.error());
    }
    if (options.uninstall) {
        return uninstall(options);
    }
    prepare_memory();
    auto instance = take_instance(options.run);
    if (!instance) {
        return give_up("--run", instance.error());
    }
    auto store = state::Store::open(options.state);
    if (!store) {
        return give_up("--state", store.error());
    }
    if (store->recovered) {
        spdlog::error("{}", store->recovered->text());
    }
    auto kernel = bpf::Kernel::open(options.kernel);
    if (!kernel) {
        return give_up("loading into the kernel (sluice check tells what is missing)", kernel.error());
    }
    auto wake = Wake::make();
    if (!wake) {
        return give_up("start", wake.error());
    }
    if (auto dropped = drop_privileges(); !dropped) {
        return give_up("giving up privileges", dropped.error());
    }
    spdlog::info("sluiced {} on cgroup {}, capabilities: {}", kVersion, options.kernel.cgroup,
                 fmt::join(effective_capabilities(), " "));
    return serve(options, *kernel, store->store, *wake);
}

}  // namespace
}  // namespace sluice::daemon

int main(int argc, char** argv) {
    auto options = sluice::daemon::parse_options(argc, argv);
    if (!options) {
        std::fputs(options.error().text.c_str(), options.error().code == 0 ? stdout : stderr);
        return options.error().code;
    }
    spdlog::set_default_logger(spdlog::stderr_logger_mt("sluiced"));
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    return sluice::daemon::run(*options);
}
