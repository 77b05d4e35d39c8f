#include "daemon/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>
#include <string_view>

#include "base/cgroup.h"
#include "base/version.h"
#include "daemon/access_log.h"
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
    {"request_slots", &bpf::Capacities::request_slots},
    {"requests", &bpf::Capacities::requests},
    {"doors", &bpf::Capacities::doors},
    {"captures", &bpf::Capacities::captures},
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

template <typename Number>
bool whole(std::string_view text, Number& out) {
    auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && stop == text.data() + text.size();
}

// "HOST:PORT" cut at the last colon; HOST without brackets. False: no port from 1 to 65535.
bool cut_port(std::string_view text, std::string_view& host, std::uint16_t& port) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || !whole(text.substr(colon + 1), port) || port == 0) {
        return false;
    }
    host = text.substr(0, colon);
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    }
    return true;
}

// Empty when good.
std::string take_listen(std::vector<ListenOption>& out, const std::string& text) {
    const std::size_t equals = text.find('=');
    const std::string_view all = text;
    std::string_view address, host;
    ListenOption listen;
    listen.text = text;
    std::optional<IpAddress> ip;
    if (equals != std::string::npos && cut_port(all.substr(0, equals), address, listen.port) &&
        cut_port(all.substr(equals + 1), host, listen.service_port)) {
        ip = IpAddress::parse(address);
    }
    if (!ip) {
        return "'" + text +
               "': expected ADDRESS:PORT=[HOST]:PORT, as in 127.0.0.1:18080=ranker.default.svc.cluster.local:80";
    }
    listen.address = *ip;
    listen.host = host;
    out.push_back(std::move(listen));
    return {};
}

// Empty when good.
std::string take_client(ClientOption& out, const std::string& text) {
    std::istringstream parts(text);
    std::getline(parts, out.ns, ',');
    for (std::string part; std::getline(parts, part, ',');) {
        const std::size_t equals = part.find('=');
        if (equals == std::string::npos || equals == 0) {
            return "'" + part + "': expected LABEL=VALUE";
        }
        out.labels[part.substr(0, equals)] = part.substr(equals + 1);
    }
    return out.ns.empty() ? "'" + text + "': expected NAMESPACE[,LABEL=VALUE…]" : "";
}

// What CLI11 cannot check by itself. Empty when good.
std::string check_together(const Options& options) {
    const bool proxy = std::ranges::find(options.mesh.lanes, model::Lane::kProxy) != options.mesh.lanes.end();
    if (!options.listen.empty() && !proxy) {
        return "--listen needs the proxy lane in --lanes";
    }
    if (!options.programs && !proxy) {
        return "--cgroup none leaves only the proxy lane, which --lanes does not name";
    }
    // Two writers would cut each other's lines.
    const std::string& exposures = options.exposure_log.path;
    if (!exposures.empty() && exposures == options.access_log.path) {
        return "--exposure-log and --access-log cannot both write to " + exposures;
    }
    if (!exposures.empty() && !proxy) {
        return "--exposure-log needs the proxy lane in --lanes";
    }
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
    app.add_option("--cgroup", options.kernel.cgroup,
                   "cgroup2 directory whose processes are steered; none: load nothing into the kernel")
        ->capture_default_str();
    app.add_option("--bpffs", options.kernel.bpffs, "BPF file system for the pins")->capture_default_str();
    std::string observe = "on";
    app.add_option("--observe", observe, "watch requests and answers of HTTP connections; off: no packet is looked at")
        ->check(CLI::IsMember({"on", "off"}))
        ->capture_default_str();
    std::vector<std::string> lanes{"direct", "proxy"};
    app.add_option("--lanes", lanes, "lanes that may be used")
        ->delimiter(',')
        ->check(CLI::IsMember({"direct", "proxy"}))
        ->capture_default_str();
    std::vector<std::string> listen;
    app.add_option("--listen", listen,
                   "ADDRESS:PORT=[HOST]:PORT: take requests for that service port here; Host picks the service, an "
                   "unknown one means HOST")
        ->allow_extra_args(false)
        ->take_all();
    std::string client;
    app.add_option("--client", client, "NAMESPACE[,LABEL=VALUE…]: who asks on --listen addresses");
    app.add_option("--capture-port", options.capture_port,
                   "port of loopback, in each network namespace, where the proxy lane takes connections; one that is "
                   "free when it is taken, or 0")
        ->capture_default_str();
    app.add_option("--workers", options.workers, "threads of the proxy lane; 0: one a CPU")
        ->check(CLI::Range(0, 1024))
        ->capture_default_str();
    std::string io = "auto";
    app.add_option("--io", io, "how the proxy lane waits for sockets")
        ->check(CLI::IsMember({"auto", "io_uring", "epoll"}))
        ->capture_default_str();
    add_access_log_options(app, options.access_log);
    add_exposure_log_option(app, options.exposure_log);
    std::string suffix = "off";
    app.add_option("--mirror-host-suffix", suffix,
                   "on: mirrored requests get -shadow behind their Host, as before Istio 1.28")
        ->check(CLI::IsMember({"on", "off"}))
        ->capture_default_str();
    std::string references = "error";
    app.add_option("--references", references, "what a rule that names a missing host or subset is")
        ->check(CLI::IsMember({"error", "warn"}))
        ->capture_default_str();
    std::vector<std::string> capacities;
    app.add_option("--capacity", capacities, "NAME=ROWS of a table made anew (" + capacity_names() + ")")
        ->allow_extra_args(false)
        ->take_all();
    app.add_flag("--takeover", options.takeover,
                 "take over from the agent that runs with this --run: its listeners go on, its requests end in it");
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
    for (const std::string& text : listen) {
        if (std::string why = take_listen(options.listen, text); !why.empty()) {
            return std::unexpected(Exit{2, "--listen: " + why + "\n"});
        }
    }
    if (!client.empty()) {
        if (std::string why = take_client(options.client, client); !why.empty()) {
            return std::unexpected(Exit{2, "--client: " + why + "\n"});
        }
    }
    if (!options.listen.empty()) {
        options.mesh.client_namespaces.push_back(options.client.ns);
    }
    options.programs = options.kernel.cgroup != "none";
    options.io = io == "epoll" ? io::Backend::kEpoll : io == "io_uring" ? io::Backend::kIoUring : io::Backend::kAuto;
    options.mesh.lanes.clear();
    for (const std::string& lane : lanes) {
        // Without programs there is no direct lane.
        if (lane == "proxy") {
            options.mesh.lanes.push_back(model::Lane::kProxy);
        } else if (options.programs) {
            options.mesh.lanes.push_back(model::Lane::kDirect);
        }
    }
    if (std::string why = check_together(options); !why.empty()) {
        return std::unexpected(Exit{2, why + "\n"});
    }
    options.shadow_suffix = suffix == "on";
    options.kernel.observe = observe == "on";
    options.mesh.references_warn = references == "warn";
    if (options.http == "none") {
        options.http.clear();
    }
    return options;
}

}  // namespace sluice::daemon
