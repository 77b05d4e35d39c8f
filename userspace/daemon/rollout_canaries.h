// The canaries of this agent: their controller with all that it needs, for as long as this agent is the one that acts.
#pragma once

#include <functional>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "daemon/controller.h"
#include "daemon/rollout_host.h"
#include "daemon/rollout_watch.h"
#include "rollout/controller.h"
#include "state/store.h"

namespace sluice::daemon {

// Thread-safe. References must outlive it.
class Canaries {
  public:
    // `directory`: of the rules. `changed`: called after a canary published a generation.
    Canaries(Controller& controller, VersionSource& source, state::Store& store, std::string directory,
             std::function<void()> changed);
    ~Canaries();

    // Running canaries go on where the database says that they are.
    Result<> start();
    // Waits until no step is under way. Nothing acts any more then, and other agents may. start() may follow.
    void stop();

    // The rules changed. Never waits, so it may be called under the pipeline's gate.
    void changed();
    // As rollout::Controller; errors while stopped.
    Result<rollout::View> command(const std::string& canary, rollout::Command command, const std::string& who,
                                  const std::string& message);
    Result<std::vector<rollout::View>> view(const std::string& canary);

  private:
    RolloutHost host_;
    VersionSource& source_;
    state::Store& store_;
    std::shared_mutex mutex_;  // the pointers
    std::unique_ptr<VersionWatches> watches_;
    std::unique_ptr<rollout::Controller> controller_;  // null: stopped
};

}  // namespace sluice::daemon
