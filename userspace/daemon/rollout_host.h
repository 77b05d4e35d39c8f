// The agent as canaries see it: their rules by the one pipeline, and a lock that agents share.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/controller.h"
#include "rollout/host.h"

namespace sluice::daemon {

class RolloutHost final : public rollout::Host {
  public:
    // `directory`: of the rules. `changed`: called after each put that published. The controller must outlive this.
    RolloutHost(Controller& controller, std::string directory, std::function<void()> changed);

    std::vector<config::ObjectPtr> canaries() override;
    Result<std::string> text(const config::Object& canary) override;
    // The VirtualService that clients of the canary's namespace follow for its host.
    Result<rollout::RuleDocument> rule(const config::Object& canary) override;
    // Not where an Experiment splits the rule by arms of its own: the rule's weights then mean nothing.
    Result<> startable(const config::Object& canary, const rollout::RuleDocument& rule) override;
    Result<std::uint64_t> put(const config::Object& canary, const std::string& expected, const std::string& text,
                              const std::string& message, const std::string& who) override;
    // flock(2) on DIRECTORY/.sluice-canary-HOST.lock, a hidden file that no scan reads and that holds who has it. The
    // file goes away with the lease; one that a killed agent left is taken over.
    Result<std::shared_ptr<void>> lease(const config::Object& canary) override;

  private:
    Result<config::ObjectKey> rule_key(const config::Object& canary);

    Controller& controller_;
    const std::string directory_;
    const std::function<void()> changed_;
};

}  // namespace sluice::daemon
