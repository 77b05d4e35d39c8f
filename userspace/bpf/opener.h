// How Kernel::open() comes from whatever is pinned to everything pinned and in force.
#pragma once

#include "bpf/kernel.h"
#include "bpf/pins.h"
#include "bpf/programs.h"

namespace sluice::bpf {

// The steps, in order. Each leaves the kernel as it was or one step nearer; a start that was killed between any two of
// them is completed by the next one. No step takes anything out of force.
struct Opener {
    const KernelOptions& options;
    Pins pins;
    Kernel kernel;
    std::map<std::string, Map> pinned;
    Fd cgroup;
    std::uint64_t cgroup_id = 0;
    bool new_maps = false;  // programs in force use other maps than those pinned now

    explicit Opener(const KernelOptions& o) : options(o), pins(o.bpffs) {}

    Result<Kernel> run();

  private:
    Result<> find_cgroup();
    Result<> find_maps();
    // Sizes of what is pinned, else as wished.
    Result<> settle_capacities();
    Result<> pin_maps(const Loaded& loaded);
    Result<> first_values();
    Result<> put_in_force(const Loaded& loaded);
    Result<> put_in_force(const Hook& hook, int program);
    Result<> ready_iterators(const Loaded& loaded);
    // From when on connections are watched, or no longer.
    Result<> stop_observing();
    void start_observing();
    Result<> attach(const Hook& hook, int program);
};

// Tag and id of a program; the tag is a hash of its instructions.
struct ProgramIdentity {
    std::uint32_t id = 0;
    std::array<std::uint8_t, BPF_TAG_SIZE> tag{};
};
Result<ProgramIdentity> program_identity(int fd);

}  // namespace sluice::bpf
