// All canaries of an agent, without the thread: who calls it decides when. Private to this room.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "rollout/controller_run.h"

namespace sluice::rollout {

// One thread calls all but view().
class Core {
  public:
    // References must outlive it.
    // `wake`: tick() is to be called, for servers have answered; any thread.
    Core(Host& host, Watches& watches, Records& records, std::function<Moment()> clock, std::function<void()> wake);
    // Takes up what is stored.
    Result<> load();

    // Looks at every canary that is due, or at all when the rules have changed. When it wants to be called again;
    // empty: not before a command or a change.
    std::optional<std::chrono::steady_clock::time_point> tick(bool changed);
    Result<View> command(const std::string& canary, Command command, const std::string& who,
                         const std::string& message);
    // Any thread.
    Result<std::vector<View>> view(const std::string& canary) const;

  private:
    using Objects = std::map<config::ObjectKey, config::ObjectPtr>;
    Objects objects() const;
    Moment now() const;
    void follow_clock();
    void publish(const config::ObjectKey& key, const Run& run);
    View shown(View view, const Objects& objects, const config::ObjectKey& key) const;

    const std::function<Moment()> clock_;
    Moment base_;  // when wall and monotonic clock were last brought together
    const Context context_;
    std::map<config::ObjectKey, Run> runs_;
    mutable std::mutex mutex_;
    std::map<config::ObjectKey, View> views_;  // under mutex_
};

}  // namespace sluice::rollout
