// The command line of sluiced.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "bpf/kernel.h"
#include "model/mesh.h"

namespace sluice::daemon {

struct Options {
    std::string config = "/etc/sluice";
    std::string state = "/var/lib/sluice";
    std::string run = "/run/sluice";
    std::string http = "127.0.0.1:15000";  // empty: no TCP port
    bpf::KernelOptions kernel;
    std::string cgroup_mount;  // of cgroup2: base of relative client cgroups
    model::Options mesh;
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
