// The canary controller: a thread that takes every started canary through its machine.
//
// A canary's step is: save the state with `moving` -> put the rule in force -> save the state without. Whatever ends
// the agent in between, the next one compares the rule with what was saved and goes on: the rule always has the weights
// of one stage, or its former ones.
//
// Time. Holds run on the monotonic clock. What persists is wall-clock time, kept right while the agent runs: when the
// wall clock is set, the stored times are moved along, so a hold is as long as before. Only a clock that is set while
// no agent runs shifts a hold, by as much as it was set; a time that is then in the future counts as now.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "rollout/host.h"
#include "rollout/machine.h"
#include "state/store.h"

namespace sluice::rollout {

// One canary as people see it.
struct View {
    config::ObjectPtr canary;  // as it was started; of one that is not running, as it is in force
    State state;
    std::vector<GateResult> gates;   // of the last look
    std::vector<GateResult> powers;  // see gates.h
    std::vector<Step> steps;         // the newest, newest first
    std::string held_by;             // another controller; empty: nobody
    std::string problem;             // what keeps it from going on now; empty: nothing
    bool missing = false;            // the Canary object is not in force any more
    // How often a phase was entered since this controller began, by its name.
    std::map<std::string, std::uint64_t> transitions;
};

class Controller {
  public:
    // Takes up what the store knows: running canaries go on where they were. References must outlive it.
    static Result<std::unique_ptr<Controller>> start(Host& host, Watches& watches, state::Store& store);
    // Ends the thread, gives up what is being asked of servers, gives back the leases. Canaries stay as they are.
    virtual ~Controller() = default;

    // `canary`: NAME or NAMESPACE/NAME. Waits until the step is done (weights in force and recorded). Errors say what
    // is allowed, or why the step, although decided and recorded, is not in force yet (code EAGAIN: it is tried again
    // at each look). Any thread.
    virtual Result<View> command(const std::string& canary, Command command, const std::string& who,
                                 const std::string& message) = 0;
    // All (""), or one: those in force and those that were started. Code ENOENT: no such canary. Any thread.
    virtual Result<std::vector<View>> view(const std::string& canary) = 0;
    // The rules changed: look now. Any thread, at once, with no call back.
    virtual void changed() = 0;
};

}  // namespace sluice::rollout
