// What the controller needs of the agent that it is part of. daemon/ implements it; tests fake it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/objects.h"
#include "rollout/gates.h"

namespace sluice::rollout {

// The VirtualService that a canary moves.
struct RuleDocument {
    config::ObjectPtr object;
    std::string text;  // its document
    std::uint64_t generation = 0;
};

// Calls come from the controller's thread unless said otherwise.
class Host {
  public:
    virtual ~Host() = default;
    // All Canary objects in force. Any thread.
    virtual std::vector<config::ObjectPtr> canaries() = 0;
    // The document of one of them.
    virtual Result<std::string> text(const config::Object& canary) = 0;
    // The VirtualService that holds a canary's rule, as its document says now. `canary` may be one that was removed
    // since, made from its stored document. Code ENOENT: there is none; any other code: it cannot be read or written
    // as things are, but may be later.
    virtual Result<RuleDocument> rule(const config::Object& canary) = 0;
    // What in the mesh speaks against a start of it (an Experiment with arms of its own splits the rule, say); asked
    // before each start. The rule's own text is looked at by the controller.
    virtual Result<> startable(const config::Object& /*canary*/, const RuleDocument& /*rule*/) { return {}; }
    // Puts `text` in force in place of `expected`, in one generation, and writes it into its file. `message` and `who`
    // go into the history. An error with code ECANCELED: the document is not `expected` any more; nothing was changed.
    // Nor was it with any other error.
    virtual Result<std::uint64_t> put(const config::Object& canary, const std::string& expected,
                                      const std::string& text, const std::string& message, const std::string& who) = 0;
    // One controller a service, also among agents that share a rules directory: held until the lease is destroyed.
    // Error: who else has it. Asked again each interval.
    virtual Result<std::shared_ptr<void>> lease(const config::Object& canary) = 0;
};

// Collects what versions do, from begin() on. One a running canary. No call waits for a server.
class Watch {
  public:
    virtual ~Watch() = default;
    // A stage begins: forget what was seen, and give up what is being asked. `mirror`: the challenger's copies count,
    // not what clients asked of it.
    virtual void begin(bool mirror) = 0;
    // What was seen since. Empty: servers (Prometheus, webhooks) are being asked for it, each within its gate's
    // timeout; a call after `answered` has it. `stage` and `weight` are for webhooks; stages count from 1, the mirror
    // stage is 0.
    virtual std::optional<Seen> look(std::size_t stage, std::uint32_t weight) = 0;
};

// Where Watches come from: the agent's own counters and samples, or Prometheus, as the canary says.
class Watches {
  public:
    virtual ~Watches() = default;
    // `answered`: called, from any thread, when a look that was empty is to be had. Not after the Watch is gone; it may
    // not call the Watch.
    virtual std::unique_ptr<Watch> watch(const config::ObjectPtr& canary, std::function<void()> answered) = 0;
};

}  // namespace sluice::rollout
