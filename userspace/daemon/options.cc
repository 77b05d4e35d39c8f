#include "daemon/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <sstream>

#include "base/cgroup.h"
#include "base/version.h"
#include "sluice/abi/base.h"

namespace sluice::daemon {

namespace {

struct NamedCapacity {
    const char* name;
    std::uint32_t bpf::Capacities::*rows;
};

constexpr NamedCapacity kCapacities[] = {
    {"services", &bpf::Capacities::services},
    {"routes", &bpf::Capacities::routes},
    {"destinations", &bpf::Capacities::destinations},
    {"clusters", &bpf::Capacities::clusters},
    {"cluster_rows", &bpf::Capacities::cluster_rows},
    {"endpoint_list", &bpf::Capacities::endpoint_list},
    {"endpoints", &bpf::Capacities::endpoints},
    {"hash_entries", &bpf::Capacities::hash_entries},
    {"identities", &bpf::Capacities::identities},
    {"flows", &bpf::Capacities::flows},
    {"limits", &bpf::Capacities::limits},
    {"clients", &bpf::Capacities::clients},
    {"requests", &bpf::Capacities::requests},
};

constexpr std::uint32_t kRowsMax = 1u << 24;

std::string capacity_names() {
    std::string names;
    for (const NamedCapacity& capacity : kCapacities) {
        names += (names.empty() ? "" : ", ") + std::string(capacity.name);
    }
    return names;
}

// Empty when good.
std::string take_capacity(bpf::Capacities& capacities, const std::string& text) {
    std::size_t equals = text.find('=');
    std::uint32_t* rows = capacity_of(capacities, text.substr(0, equals));
    if (!rows) {
        return "no table '" + text.substr(0, equals) + "'; there are " + capacity_names();
    }
    std::uint32_t value = 0;
    const char* begin = equals == std::string::npos ? text.data() + text.size() : text.data() + equals + 1;
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(begin, end, value);
    if (error != std::errc() || stop != end || value == 0 || value > kRowsMax) {
        return "'" + text + "': expected NAME=ROWS with 1.." + std::to_string(kRowsMax) + " rows";
    }
    *rows = value;
    return {};
}

}  // namespace

std::uint32_t* capacity_of(bpf::Capacities& capacities, const std::string& name) {
    for (const NamedCapacity& capacity : kCapacities) {
        if (name == capacity.name) {
            return &(capacities.*capacity.rows);
        }
    }
    return nullptr;
}

std::expected<Options, Exit> parse_options(int argc, const char* const* argv) {
    Options options;
    options.cgroup_mount = cgroup2_mount();
    options.kernel.cgroup = options.cgroup_mount;
    CLI::App app{"Sluice's agent: Istio rules steer connections in the kernel.", "sluiced"};
    app.set_version_flag("--version",
                         std::string("sluiced ") + kVersion + ", table ABI " + std::to_string(SL_ABI_VERSION));
    app.add_option("--config", options.config, "directory of rules (YAML); it is watched")->capture_default_str();
    app.add_option("--state", options.state, "directory of the state database")->capture_default_str();
    app.add_option("--run", options.run, "directory of the admin socket and the instance lock")->capture_default_str();
    app.add_option("--http", options.http, "ADDRESS:PORT for metrics and read-only API; 'none' for no port")
        ->capture_default_str();
    app.add_option("--cgroup", options.kernel.cgroup, "cgroup2 directory whose processes are steered")
        ->capture_default_str();
    app.add_option("--bpffs", options.kernel.bpffs, "BPF file system for the pins")->capture_default_str();
    std::string observe = "on";
    app.add_option("--observe", observe, "watch requests and answers of HTTP connections; off: no packet is looked at")
        ->check(CLI::IsMember({"on", "off"}))
        ->capture_default_str();
    std::vector<std::string> lanes{"direct"};
    app.add_option("--lanes", lanes, "lanes that may be used")
        ->delimiter(',')
        ->check(CLI::IsMember({"direct"}))
        ->capture_default_str();
    std::string references = "error";
    app.add_option("--references", references, "what a rule that names a missing host or subset is")
        ->check(CLI::IsMember({"error", "warn"}))
        ->capture_default_str();
    std::vector<std::string> capacities;
    app.add_option("--capacity", capacities, "NAME=ROWS of a table made anew (" + capacity_names() + ")")
        ->allow_extra_args(false)
        ->take_all();
    app.add_flag("--uninstall", options.uninstall, "remove every program, link, map and pin, and exit");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        std::ostringstream out, err;
        int code = app.exit(error, out, err);
        return std::unexpected(Exit{code == 0 ? 0 : 2, out.str() + err.str()});
    }
    for (const std::string& text : capacities) {
        if (std::string why = take_capacity(options.kernel.capacities, text); !why.empty()) {
            return std::unexpected(Exit{2, "--capacity: " + why + "\n"});
        }
    }
    options.kernel.observe = observe == "on";
    options.mesh.references_warn = references == "warn";
    if (options.http == "none") {
        options.http.clear();
    }
    return options;
}

}  // namespace sluice::daemon
