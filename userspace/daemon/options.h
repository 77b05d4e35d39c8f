// The command line of sluiced.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "base/ip.h"
#include "bpf/kernel.h"
#include "io/loop.h"
#include "model/mesh.h"
#include "proxy/access_log.h"
#include "proxy/exposure_log.h"

namespace sluice::daemon {

// --listen ADDRESS:PORT=[HOST]:PORT: an outbound listener for one service port.
struct ListenOption {
    IpAddress address;
    std::uint16_t port = 0;
    std::string host;  // of the service that an unknown Host means; empty: none
    std::uint16_t service_port = 0;
    std::string text;  // as given
};

// --client NS[,LABEL=VALUE…]: who asks on these listeners.
struct ClientOption {
    std::string ns = "default";
    config::Labels labels;
};

struct Options {
    std::string config = "/etc/sluice";
    std::string state = "/var/lib/sluice";
    std::string run = "/run/sluice";
    std::string http = "127.0.0.1:15000";  // empty: no TCP port
    bpf::KernelOptions kernel;
    bool programs = true;      // false (--cgroup none): no BPF; only --listen brings traffic
    std::string cgroup_mount;  // of cgroup2: base of relative client cgroups
    model::Options mesh;
    std::vector<ListenOption> listen;
    ClientOption client;
    std::uint16_t capture_port = 15001;  // of loopback, where it is free; 0: any
    std::uint32_t workers = 0;           // of the proxy lane; 0: one a CPU
    io::Backend io = io::Backend::kAuto;
    bool shadow_suffix = false;          // --mirror-host-suffix on
    proxy::AccessLogOptions access_log;  // of the proxy lane
    proxy::ExposureLogOptions exposure_log;
    bool takeover = false;  // from the agent that runs in `run`
    bool uninstall = false;
};

// What the command line asks for instead of running: text to print and the exit code (0 for --help and --version).
struct Exit {
    int code = 0;
    std::string text;
};

std::expected<Options, Exit> parse_options(int argc, const char* const* argv);

// The rows of a table by its command-line name, or null.
std::uint32_t* capacity_of(bpf::Capacities& capacities, const std::string& name);

}  // namespace sluice::daemon
