// Looks and commands.
#include "rollout/controller_run.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "config/parse.h"

namespace sluice::rollout {

namespace {

// Between tries of what does not depend on the canary's own interval.
constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::milliseconds kShortestWait{10};

config::ObjectPtr parsed(const std::string& document) {
    std::vector<config::ObjectPtr> objects;
    Diagnostics ignored;
    config::parse(document, "the state database", {}, objects, ignored);
    const bool one = objects.size() == 1 && std::holds_alternative<config::Canary>(objects.front()->spec);
    return one ? objects.front() : nullptr;
}

}  // namespace

void Run::take_up(State state, const config::ObjectPtr& present) {
    state_ = std::move(state);
    const Moment now = context_.clock();
    state_.since = std::min(state_.since, now.wall);
    // What is seen begins anew, and so does the time to wait for it.
    state_.data_missing.reset();
    due_ = now.steady;
    if (auto steps = context_.records.steps(key_, kStepsShown)) {
        steps_.assign(steps->begin(), steps->end());
    }
    find_spec(present);
}

// The object that was started: the one in force if it is that, else from its stored document.
bool Run::find_spec(const config::ObjectPtr& present) {
    if (object_ == nullptr) {
        object_ = present != nullptr && present->digest == state_.digest ? present : parsed(state_.spec);
    }
    if (object_ == nullptr) {
        problem_ = "the Canary object as it was started cannot be read from the state database";
    }
    return object_ != nullptr;
}

bool Run::take_lease() {
    if (!lease_) {
        auto lease = context_.host.lease(*object_);
        if (!lease) {
            held_by_ = lease.error().text();
            return false;
        }
        lease_ = std::move(*lease);
    }
    held_by_.clear();
    return true;
}

bool Run::save_pending() {
    if (unsaved_) {
        if (auto saved = context_.records.save(key_, state_, unsaved_steps_); !saved) {
            problem_ = "its state cannot be recorded: " + saved.error().text();
            return false;
        }
        unsaved_ = false;
        unsaved_steps_.clear();
    }
    return true;
}

bool Run::ready(const config::ObjectPtr& present) {
    if (!find_spec(present) || !take_lease() || !save_pending()) {
        return false;
    }
    if (running(state_.phase) && !state_.moving && watch_ == nullptr) {
        begin_watch();
    }
    return true;
}

void Run::begin_watch() {
    if (watch_ == nullptr) {
        watch_ = context_.watches.watch(object_, [this] {
            answered_ = true;
            context_.wake();
        });
    }
    watch_->begin(state_.phase == Phase::kMirror);
    answered_ = false;
    next_look(context_.clock().steady);
}

void Run::next_look(std::chrono::steady_clock::time_point now) {
    using std::chrono::nanoseconds;
    if (object_ == nullptr) {
        due_ = now + kPatience;
        return;
    }
    nanoseconds wait = spec().interval;
    const nanoseconds left = hold(spec(), state_) - (context_.clock().wall - state_.since);
    if (running(state_.phase) && left.count() > 0) {
        wait = std::min(wait, left);
    }
    due_ = now + std::max<nanoseconds>(wait, kShortestWait);
}

void Run::tick(const config::ObjectPtr& present, bool changed) {
    const auto now = context_.clock().steady;
    missing_ = present == nullptr;
    if (!active(state_)) {
        if (unsaved_ && now >= due_) {
            save_pending();
            due_ = now + kPatience;
        }
        return;
    }
    // A change that did not succeed is tried again when it is time to: its failing may itself look like a change.
    const bool answered = answered_.exchange(false);
    const bool look = now >= due_ || answered;
    if (!look && (!changed || state_.moving)) {
        return;
    }
    problem_.clear();
    if (!ready(present)) {
        return next_look(now);
    }
    if (state_.moving) {
        if (move() || !state_.moving) {
            return;
        }
        next_look(now);
    }
    auto rule = look_at_rule();
    if (!rule) {
        problem_ = "its rule cannot be read: " + rule.error().text();
        return next_look(now);
    }
    observe(present, *rule, look);
}

Result<Run::Present> Run::look_at_rule() {
    auto document = context_.host.rule(*object_);
    if (!document) {
        if (document.error().code != ENOENT) {
            return std::unexpected(std::move(document.error()));
        }
        return Present{{}, {}, document.error().message};
    }
    auto part = part_of(*object_, document->text);
    if (!part) {
        return Present{{}, {}, part.error().text()};
    }
    return Present{std::move(*document), *part, ""};
}

Facts Run::facts(const config::ObjectPtr& present, const Present& rule) const {
    Facts out;
    out.now = context_.clock().wall;
    if (!rule.document) {
        out.edited = true;
        out.edit = "its rule is gone: " + rule.why;
    } else if (rule.part != state_.part) {
        out.edited = true;
        out.edit = difference_text(spec(), state_.part, rule.part);
    }
    if (present != nullptr) {
        out.present = &std::get<config::Canary>(present->spec);
        out.digest = present->digest;
    }
    return out;
}

void Run::observe(const config::ObjectPtr& present, const Present& rule, bool look) {
    Facts known = facts(present, rule);
    const bool undisturbed = !known.edited && present != nullptr && present->digest == state_.digest;
    if (look && undisturbed && running(state_.phase) && !state_.moving) {
        const bool mirror = state_.phase == Phase::kMirror;
        known.seen = watch_->look(mirror ? 0 : state_.stage + 1, state_.in_force.weight);
        if (known.seen) {
            powers_ = powers(spec(), *known.seen, looks(spec(), state_.phase, state_.stage));
            known.now = context_.clock().wall;
        }
    }
    Decision decision = advance(spec(), state_, known);
    if (known.seen) {
        results_ = decision.results;
    }
    if (look) {
        next_look(context_.clock().steady);
    }
    if (auto taken = take(std::move(decision), present, rule); !taken) {
        problem_ = taken.error().message;
    }
}

// Of commands, before the machine is asked: what must be there for them.
Result<> Run::allowed(const config::ObjectPtr& present, const Present& rule, Command command) {
    if (command != Command::kStart) {
        return {};
    }
    if (!rule.document) {
        return fail("cannot start: " + rule.why);
    }
    auto can = startable(*present, rule.document->text);
    if (can) {
        can = context_.host.startable(*present, *rule.document);
    }
    return can ? can : std::unexpected(std::move(can.error()).within("cannot start"));
}

Result<> Run::command(const config::ObjectPtr& present, Command command, const std::string& who,
                      const std::string& message) {
    missing_ = present == nullptr;
    const bool begins = command == Command::kStart && !active(state_);
    if (begins && present == nullptr) {
        return fail("cannot start: no such Canary object is in force");
    }
    const config::ObjectPtr was = object_;
    const State before = state_;
    if (begins) {
        object_ = present;
    } else if (object_ == nullptr && !active(state_)) {
        object_ = present;  // never started: the machine says what is allowed
    }
    if (object_ == nullptr) {
        return fail(problem_);
    }
    auto done = [&]() -> Result<> {
        problem_.clear();
        Present rule;
        if (begins || active(state_)) {
            const bool can = begins ? take_lease() && save_pending() : ready(present);
            if (!can) {
                return fail(held_by_.empty() ? problem_ : held_by_);
            }
            auto now = look_at_rule();
            if (!now && command != Command::kPause) {
                return std::unexpected(std::move(now.error()).within("its rule cannot be read"));
            }
            // What cannot be read counts as it was: a pause changes nothing.
            rule = now ? std::move(*now) : Present{RuleDocument{}, state_.part, ""};
            if (state_.moving && rule.document && same_text(rule.document->text, state_.writing)) {
                arrive();
            }
        }
        Facts known = facts(present, rule);
        known.command = command;
        known.who = who;
        known.message = message;
        Decision decision = advance(spec(), state_, known);
        if (!decision.refused.empty()) {
            return fail(decision.refused);
        }
        if (auto can = allowed(present, rule, command); !can) {
            return can;
        }
        const Phase to = decision.next.phase;
        auto taken = take(std::move(decision), present, rule);
        if (taken && state_.phase != to) {
            return fail(state_.reason);
        }
        if (!taken && state_.moving && !begins) {
            return fail("decided, but not in force yet (it is tried again at each look): " + taken.error().message);
        }
        return taken;
    }();
    if (!done && begins) {
        object_ = was;
        if (auto back = give_up_start(before, done.error().message); !back) {
            problem_ = back.error().message;
        }
    }
    return done;
}

// A start is all or nothing.
Result<> Run::give_up_start(const State& before, const std::string& why) {
    lease_.reset();
    watch_.reset();
    if (state_ == before) {
        return {};
    }
    Step step{context_.clock().wall, state_.phase, before.phase, 0, 0, "controller", "could not start: " + why};
    State next = before;
    next.reason = step.reason;
    return save_and_enter(std::move(next), {std::move(step)}, true);
}

void Run::shift(Time::duration by) {
    state_.since += by;
    if (state_.data_missing) {
        *state_.data_missing += by;
    }
    if (active(state_)) {
        unsaved_ = true;
        save_pending();
    }
}

std::optional<std::chrono::steady_clock::time_point> Run::due() const {
    return active(state_) || unsaved_ ? std::optional(due_) : std::nullopt;
}

View Run::view() const {
    View out;
    out.canary = object_;
    out.state = state_;
    out.gates = results_;
    out.powers = powers_;
    out.steps.assign(steps_.begin(), steps_.end());
    out.held_by = held_by_;
    out.problem = problem_;
    out.missing = missing_;
    out.transitions = transitions_;
    return out;
}

}  // namespace sluice::rollout
