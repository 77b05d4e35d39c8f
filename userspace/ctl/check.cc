// `sluice check`: whether this machine can carry the direct lane, and what to do where it cannot.
#include "base/cgroup.h"
#include "bpf/kernel.h"
#include "ctl/session.h"

namespace sluice::ctl {

namespace {

void check(Session& session, const bpf::KernelOptions& options) {
    Json rows = Json::array();
    bool all = true;
    for (const bpf::Probe& probe : bpf::probe(options)) {
        all = all && probe.ok;
        rows.push_back({{"check", probe.name}, {"ok", probe.ok}, {"found", probe.found}, {"remedy", probe.remedy}});
    }
    session.print(rows);
    session.code = all ? kDone : kNo;
}

}  // namespace

void add_check(CLI::App& app, Session& session) {
    CLI::App* verb = app.add_subcommand(
        "check",
        "Pre-flight: kernel, capabilities, cgroup2, bpffs, every hook tried; with the remedy for what is missing");
    auto options = std::make_shared<bpf::KernelOptions>();
    options->cgroup = cgroup2_mount();
    verb->add_option("--cgroup", options->cgroup, "Directory on cgroup2 whose processes would be steered")
        ->capture_default_str();
    verb->add_option("--bpffs", options->bpffs, "Where programs and maps would be pinned")->capture_default_str();
    verb->footer("Run it with the agent's capabilities. Exit code 1 if anything is missing.");
    verb->callback([&session, options] { check(session, *options); });
}

}  // namespace sluice::ctl
