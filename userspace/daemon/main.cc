// sluiced: the agent. Wires the rooms together; decides nothing itself.
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "admin/server.h"
#include "base/version.h"
#include "bpf/kernel.h"
#include "daemon/agent.h"
#include "daemon/capture.h"
#include "daemon/controller.h"
#include "daemon/drain.h"
#include "daemon/drain_tools.h"
#include "daemon/handover.h"
#include "daemon/instance.h"
#include "daemon/loop.h"
#include "daemon/memory.h"
#include "daemon/options.h"
#include "daemon/privileges.h"
#include "daemon/proxy_lane.h"
#include "daemon/rollout_canaries.h"
#include "state/store.h"

namespace sluice::daemon {
namespace {

constexpr std::chrono::seconds kSuccessorStarts(60);
constexpr std::chrono::seconds kSuccessorEnds(10);
// Longer than any turn of a worker of the agent before us, whose turns we cannot see.
constexpr std::chrono::milliseconds kPredecessorTurn(20);

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

// What was opened while the agent had every privilege.
struct Opened {
    Fd instance;
    state::Store store;
    bpf::Kernel kernel;
    Wake wake;
    std::vector<Listening> listeners;
    std::optional<Predecessor> predecessor;  // serves until it is released
    HandoverDoor handover;
};

Result<admin::Server> start_admin(const Options& options, Agent& agent) {
    return admin::Server::start({.socket = options.run + "/sluiced.sock", .http = options.http}, agent);
}

void start_canaries(Canaries& canaries) {
    if (auto started = canaries.start(); !started) {
        spdlog::error("canaries: {}; those under way stay as they are", started.error().text());
    }
}

// Tries for a while.
template <typename Try>
auto with_patience(Try attempt) {
    const auto deadline = std::chrono::steady_clock::now() + kSuccessorEnds;
    for (;;) {
        auto result = attempt();
        if (result || std::chrono::steady_clock::now() > deadline) {
            return result;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

// A successor asks for what is ours. True: it serves now, and all that is left is to finish. False: nothing came of it,
// and everything is as before. An error: nor can it be as before.
Result<bool> hand_over(const Options& options, Opened& opened, const std::vector<Inherited>& listeners, Agent& agent,
                       Canaries& canaries, const compile::Publisher& publisher, std::optional<admin::Server>& server) {
    auto successor = opened.handover.accept();
    if (!successor || !successor->send(listeners)) {
        return false;
    }
    spdlog::info("a successor takes over");
    server.reset();
    canaries.stop();
    opened.kernel.give_up_lock();
    opened.instance.reset();
    if (successor->give() && successor->listens(kSuccessorStarts)) {
        successor->keep();
        return true;
    }
    successor.reset();
    if (sl_load(&publisher.tables().control->generation) != publisher.generation()) {
        return fail("the successor failed after it had published a generation that is not known here");
    }
    spdlog::error("the successor failed to start; this agent goes on");
    // It is ending: what it holds is free in a moment.
    auto instance = with_patience([&] { return take_instance(options.run); });
    auto locked = with_patience([&] { return opened.kernel.take_lock(options.kernel); });
    auto handover = HandoverDoor::open(options.run);
    auto restarted = with_patience([&] { return start_admin(options, agent); });
    for (const Error* error : {instance ? nullptr : &instance.error(), locked ? nullptr : &locked.error(),
                               handover ? nullptr : &handover.error(), restarted ? nullptr : &restarted.error()}) {
        if (error != nullptr) {
            return std::unexpected(*error);
        }
    }
    opened.instance = std::move(*instance);
    opened.handover = std::move(*handover);
    server.emplace(std::move(*restarted));
    start_canaries(canaries);
    return false;
}

// Everything that serves, from start to the end of the loop.
int serve(const Options& options, Opened opened) {
    bpf::Kernel& kernel = opened.kernel;
    const Wake& wake = opened.wake;
    EventQueue events([&wake] { wake.notify(); });
    const sl_tables tables = kernel.tables();  // the lane refers to it
    std::optional<Capture> capture;
    std::unique_ptr<ProxyLane> lane;
    if (std::ranges::find(options.mesh.lanes, model::Lane::kProxy) != options.mesh.lanes.end()) {
        if (kernel.loaded()) {
            capture.emplace(kernel, options);
        }
        auto started = ProxyLane::start(options, tables, events, capture ? &*capture : nullptr);
        if (!started) {
            return give_up("the proxy lane (--lanes direct goes without)", started.error());
        }
        lane = std::move(*started);
    }
    compile::Publisher publisher(tables, kernel.identities(), kernel.services(), kernel.clients(), [&] {
        if (kernel.loaded()) {
            static_cast<void>(bpf::grace_period());
        }
        if (lane) {
            lane->engine().quiesce();
        }
        if (opened.predecessor && !opened.predecessor->gone()) {
            std::this_thread::sleep_for(kPredecessorTurn);
        }
    });
    if (kernel.adopted()) {
        if (auto adopted = publisher.adopt(); !adopted) {
            return give_up("adopting the pinned tables (sluiced --uninstall removes them)", adopted.error());
        }
        spdlog::info("generation {} was in force already and stays so", publisher.generation());
    }
    ControllerOptions control{.directory = options.config,
                              .mesh = options.mesh,
                              .limits = {},
                              .cgroup_mount = options.cgroup_mount,
                              .check = {},
                              .published = {},
                              .clients = {},
                              .step = {}};
    Canaries* followers = nullptr;
    if (lane) {
        control.check = [&](const model::Delta& delta) { return lane->check(delta); };
    }
    control.published = [&](const model::Mesh& mesh) {
        if (lane) {
            lane->publish(mesh, publisher);
        }
        if (followers != nullptr) {
            followers->changed();
        }
    };
    if (capture) {
        control.clients = [&](const ClientPaths::Resolved& clients) { capture->book().set_clients(clients); };
    }
    Controller controller(std::move(control), publisher, opened.store);
    LogBudget budget(100, 20);
    Agent agent(options, controller, publisher, kernel, lane.get(), budget, [&wake] { wake.notify(); });
    KernelDrainTools drain_tools(kernel);
    DrainBook drain_book(controller, publisher);  // of what an earlier agent left, before the start changes it
    Drainer drainer(drain_tools, drain_book);
    agent.set_drain_facts([&drainer] { return drainer.facts(); });
    std::vector<std::string> errors;
    log_load(controller.start(), "start", errors);
    drainer.look_at_rules();
    Canaries canaries(controller, agent, opened.store, options.config, [&wake] { wake.notify(); });
    followers = &canaries;
    agent.set_canaries(canaries);
    start_canaries(canaries);
    give_memory_back();
    auto listeners = copies(opened.listeners);
    if (!listeners) {
        return give_up("the proxy lane", listeners.error());
    }
    if (lane) {
        if (auto listening = lane->listen(std::move(opened.listeners), options.client); !listening) {
            return give_up("the proxy lane", listening.error());
        }
    }
    auto started = start_admin(options, agent);
    if (!started) {
        return give_up("the admin API", started.error());
    }
    std::optional<admin::Server> server(std::move(*started));
    if (server->http_port() != 0) {
        spdlog::info("http://{} serves /metrics, /healthz, /readyz and the API read-only (port {})", options.http,
                     server->http_port());
    }
    if (opened.predecessor) {
        opened.predecessor->release();
    }
    std::string why;
    while (why.empty()) {
        auto ended = run_loop({controller, agent, publisher, kernel, options.kernel, events, budget, wake, drainer,
                               capture ? &*capture : nullptr, opened.handover.fd(), errors});
        if (!ended) {
            return give_up("the control loop", ended.error());
        }
        if (*ended != 0) {
            why = ::strsignal(*ended);
            break;
        }
        auto handed = hand_over(options, opened, *listeners, agent, canaries, publisher, server);
        if (!handed) {
            return give_up("handover", handed.error());
        }
        why = *handed ? "a successor serves" : "";
    }
    canaries.stop();
    listeners->clear();
    if (lane) {
        spdlog::info("{}: requests under way may end", why);
        if (capture) {
            capture->end();
        }
        lane->engine().drain();
    }
    spdlog::info(
        "{}: ending{}", why,
        kernel.loaded() ? fmt::format("; generation {} stays in force in the kernel", publisher.generation()) : "");
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
    auto predecessor = options.takeover ? Predecessor::ask(options.run) : Result<std::optional<Predecessor>>();
    if (!predecessor) {
        return give_up("--takeover", predecessor.error());
    }
    auto instance = take_instance(options.run);
    if (!instance) {
        return give_up("--run", instance.error());
    }
    auto handover = HandoverDoor::open(options.run);
    if (!handover) {
        return give_up("--run", handover.error());
    }
    auto store = state::Store::open(options.state);
    if (!store) {
        return give_up("--state", store.error());
    }
    if (store->recovered) {
        spdlog::error("{}", store->recovered->text());
    }
    auto kernel = options.programs ? bpf::Kernel::open(options.kernel)
                                   : Result<bpf::Kernel>(bpf::Kernel::without_programs(options.kernel.capacities));
    if (!kernel) {
        return give_up("loading into the kernel (sluice check tells what is missing)", kernel.error());
    }
    auto listeners =
        open_listeners(options, *predecessor ? (*predecessor)->take_listeners() : std::vector<Inherited>());
    if (!listeners) {
        return give_up("start", listeners.error());
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
    return serve(options, {std::move(*instance), std::move(store->store), std::move(*kernel), std::move(*wake),
                           std::move(*listeners), std::move(*predecessor), std::move(*handover)});
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
