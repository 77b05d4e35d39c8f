// One canary in the hands of the controller: brings the machine's decisions about. Private to this room.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rollout/controller.h"
#include "rollout/controller_records.h"
#include "rollout/rule_text.h"

namespace sluice::rollout {

constexpr std::size_t kStepsShown = 50;  // of one canary; the store keeps more

struct Moment {
    Time wall{};
    std::chrono::steady_clock::time_point steady{};
};

// What all canaries share. References outlive them.
struct Context {
    Host& host;
    Watches& watches;
    Records& records;
    std::function<Moment()> clock;
    std::function<void()> wake;  // tick() is to be called; any thread
};

// Not thread-safe: the controller's thread alone. A call that does not return (a test ends it by an exception) leaves
// what the end of the process would leave.
class Run {
  public:
    Run(const Context& context, config::ObjectKey key) : context_(context), key_(std::move(key)) {}
    // What is stored of it. `present`: the Canary object in force, or null.
    void take_up(State state, const config::ObjectPtr& present);

    // Looks, if it is time to or servers have answered, or at `changed` rules.
    void tick(const config::ObjectPtr& present, bool changed);
    Result<> command(const config::ObjectPtr& present, Command command, const std::string& who,
                     const std::string& message);
    // The wall clock was set: stored times move along.
    void shift(Time::duration by);

    // When tick() should be called again; empty: only for commands.
    std::optional<std::chrono::steady_clock::time_point> due() const;
    View view() const;

  private:
    // The rule as it is now; empty: there is none (or none that the canary could mean), `why` says so.
    struct Present {
        std::optional<RuleDocument> document;
        Part part;
        std::string why;
    };

    const config::Canary& spec() const { return std::get<config::Canary>(object_->spec); }
    bool ready(const config::ObjectPtr& present);
    bool find_spec(const config::ObjectPtr& present);
    bool take_lease();
    Result<Present> look_at_rule();
    Facts facts(const config::ObjectPtr& present, const Present& rule) const;
    void observe(const config::ObjectPtr& present, const Present& rule, bool look);
    Result<> allowed(const config::ObjectPtr& present, const Present& rule, Command command);
    Result<> take(Decision decision, const config::ObjectPtr& present, const Present& rule);
    Result<> adopt(State& next, const config::ObjectPtr& present, const Present& rule);
    Result<> plan(State& next, const Present& rule);
    Result<> give_up_start(const State& before, const std::string& why);

    // Towards state_.moving. False: not there yet, problem_ says why; or it paused.
    bool move();
    enum class Way { kThere, kStopped, kAgain, kBlocked };
    Way move_once();
    Way stop(const Present& rule);
    void arrive();
    void begin_watch();
    bool save_pending();
    Result<> save_and_enter(State next, std::vector<Step> steps, bool anyhow);
    void enter(State next, std::vector<Step> steps);
    void next_look(std::chrono::steady_clock::time_point now);

    const Context& context_;
    const config::ObjectKey key_;
    config::ObjectPtr object_;  // as it was started
    State state_;
    std::optional<std::shared_ptr<void>> lease_;  // empty: not held; the pointer itself may point to nothing
    std::atomic<bool> answered_ = false;          // what watch_ asked of servers
    std::unique_ptr<Watch> watch_;
    std::chrono::steady_clock::time_point due_{};
    bool unsaved_ = false;  // the store has an older state than state_, from which it would come to the same
    std::vector<Step> unsaved_steps_;

    std::vector<GateResult> results_, powers_;
    std::deque<Step> steps_;  // newest first
    std::map<std::string, std::uint64_t> transitions_;
    std::string held_by_, problem_;
    bool missing_ = false;
};

}  // namespace sluice::rollout
