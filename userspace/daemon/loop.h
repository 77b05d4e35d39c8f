// The control thread: signals, the directory's watch, the event ring, and the clock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "bpf/kernel.h"
#include "daemon/agent.h"
#include "daemon/capture.h"
#include "daemon/controller.h"
#include "daemon/drain.h"
#include "daemon/event_log.h"
#include "daemon/event_queue.h"

namespace sluice::daemon {

// Writes what a load did to the log. `last`: errors already written, so that a directory that stays broken is reported
// once; updated.
void log_load(const LoadReport& report, const std::string& what, std::vector<std::string>& last);

// Wakes the loop from other threads.
class Wake {
  public:
    static Result<Wake> make();
    void notify() const;
    void drain() const;
    int fd() const { return fd_.get(); }

  private:
    explicit Wake(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

struct LoopParts {
    Controller& controller;
    Agent& agent;
    compile::Publisher& publisher;
    bpf::Kernel& kernel;
    const bpf::KernelOptions& kernel_options;
    EventQueue& events;
    LogBudget& budget;
    const Wake& wake;
    Drainer& drainer;
    Capture* capture;                      // null: there is none
    int handover_fd = -1;                  // readable: a successor asks; -1: none can
    std::vector<std::string> last_errors;  // of the start, already logged
};

// Blocks the signals that the loop takes by a descriptor, for this thread and those it starts. Call first of all.
Result<> block_signals();

// Until SIGTERM or SIGINT, whose number it returns, or 0: a successor asks. Leaves everything in force.
Result<int> run_loop(LoopParts parts);

}  // namespace sluice::daemon
