// How a decision is brought about: saved, put in force, saved.
#include <cerrno>

#include <fmt/format.h>

#include "rollout/controller_run.h"

namespace sluice::rollout {

namespace {

constexpr int kTries = 3;  // while others change the same document

// What the history of the rules says of it.
std::string put_message(const config::ObjectKey& key, const config::Canary& canary, const State& state) {
    std::string what = "the former weights";
    if (state.moving->what == Wanted::What::kMirror) {
        what = "copies to " + canary.challenger;
    } else if (state.moving->what == Wanted::What::kWeight) {
        what = fmt::format("{} at {}%", canary.challenger, state.moving->weight);
    }
    return fmt::format("canary {}: {}: {}", key.name, what, state.reason);
}

}  // namespace

// In memory what is about to be true, or has become true.
void Run::enter(State next, std::vector<Step> steps) {
    for (Step& step : steps) {
        transitions_[phase_name(step.to)] += step.from != step.to || step.to == Phase::kStage ? 1 : 0;
        steps_.push_front(std::move(step));
    }
    if (steps_.size() > kStepsShown) {
        steps_.resize(kStepsShown);
    }
    state_ = std::move(next);
    if (!running(state_.phase) && !state_.moving) {
        watch_.reset();
    }
    if (!active(state_)) {
        lease_.reset();
    }
}

// `anyhow`: the state is true whether it can be stored or not; it is stored later then.
Result<> Run::save_and_enter(State next, std::vector<Step> steps, bool anyhow) {
    std::vector<Step> unsaved = unsaved_steps_;
    unsaved.insert(unsaved.end(), steps.begin(), steps.end());
    auto saved = context_.records.save(key_, next, unsaved);
    if (!saved && !anyhow) {
        return fail("its state cannot be recorded, so nothing was changed: " + saved.error().text());
    }
    unsaved_ = !saved;
    unsaved_steps_ = saved ? std::vector<Step>{} : std::move(unsaved);
    enter(std::move(next), std::move(steps));
    return saved ? Result<>() : fail("its state cannot be recorded: " + saved.error().text());
}

Result<> Run::take(Decision decision, const config::ObjectPtr& present, const Present& rule) {
    if (decision.next == state_) {
        return {};
    }
    State& next = decision.next;
    const bool moves = next.moving && !decision.steps.empty();
    const config::ObjectPtr was = object_;
    Result<> ready;
    if (decision.adopt) {
        ready = adopt(next, present, rule);
    }
    if (ready && moves) {
        ready = plan(next, rule);
        for (Step& step : decision.steps) {
            step.reason = next.reason;
        }
    }
    if (!next.moving) {
        next.writing.clear();
    }
    if (ready) {
        ready = save_and_enter(std::move(next), std::move(decision.steps), false);
    }
    if (!ready) {
        object_ = was;
        return ready;
    }
    if (!state_.moving || !moves || move()) {
        return {};
    }
    return fail(state_.moving ? problem_ : state_.reason);
}

// The object in force is what counts from now on.
Result<> Run::adopt(State& next, const config::ObjectPtr& present, const Present& rule) {
    auto text = context_.host.text(*present);
    if (!text) {
        return std::unexpected(std::move(text.error()).within("the Canary object cannot be read"));
    }
    object_ = present;
    watch_.reset();
    next.spec = std::move(*text);
    if (next.former.empty() && rule.document) {  // a start
        next.former = rule.document->text;
        next.written = rule.document->text;
    }
    return {};
}

// The texts of the change that was decided.
Result<> Run::plan(State& next, const Present& rule) {
    if (!rule.document) {
        if (next.phase != Phase::kAborted) {
            return fail("its rule is gone: " + rule.why);
        }
        next.moving.reset();
        next.in_force = {};
        next.reason += "; its rule is gone, so nothing was taken back: " + rule.why;
        return {};
    }
    auto part = part_of(*object_, rule.document->text);
    if (!part) {
        return std::unexpected(part.error());
    }
    auto texts = edited(*object_, next.former, next.written, rule.document->text, *next.moving);
    if (!texts) {
        return std::unexpected(std::move(texts.error()).within("its rule cannot be changed"));
    }
    next.part = *part;
    next.former = std::move(texts->former);
    next.writing = std::move(texts->text);
    return {};
}

bool Run::move() {
    for (int i = 0; i < kTries; ++i) {
        switch (move_once()) {
            case Way::kThere:
                arrive();
                return true;
            case Way::kStopped:
            case Way::kBlocked:
                return false;
            case Way::kAgain:
                break;
        }
    }
    problem_ = "its rule is being changed by others again and again";
    return false;
}

Run::Way Run::move_once() {
    auto rule = look_at_rule();
    if (!rule) {
        problem_ = "its rule cannot be read: " + rule.error().text();
        return Way::kBlocked;
    }
    if (!rule->document) {
        return stop(*rule);
    }
    const std::string& present = rule->document->text;
    if (same_text(present, state_.writing)) {
        return Way::kThere;
    }
    if (rule->part != state_.part) {
        // Others wrote behind our change, if that is in it; else instead of it.
        auto target = part_of(*object_, state_.writing);
        return target && rule->part == *target ? Way::kThere : stop(*rule);
    }
    auto texts = edited(*object_, state_.former, state_.written, present, *state_.moving);
    if (!texts) {
        problem_ = "its rule cannot be changed: " + texts.error().text();
        return Way::kBlocked;
    }
    if (texts->text != state_.writing || texts->former != state_.former) {
        State next = state_;
        next.former = std::move(texts->former);
        next.writing = std::move(texts->text);
        if (auto saved = save_and_enter(std::move(next), {}, false); !saved) {
            problem_ = saved.error().message;
            return Way::kBlocked;
        }
    }
    if (same_text(present, state_.writing)) {
        return Way::kThere;
    }
    auto put = context_.host.put(*object_, present, state_.writing, put_message(key_, spec(), state_), state_.who);
    if (put) {
        return Way::kThere;
    }
    if (put.error().code == ECANCELED) {
        return Way::kAgain;
    }
    problem_ = "its rule could not be changed: " + put.error().text();
    return Way::kBlocked;
}

// Others have changed the same weights while we were about to.
Run::Way Run::stop(const Present& rule) {
    Facts known = facts(nullptr, rule);
    Decision decision = advance(spec(), state_, known);
    decision.next.writing.clear();
    if (auto saved = save_and_enter(std::move(decision.next), std::move(decision.steps), true); !saved) {
        problem_ = saved.error().message;
    }
    return Way::kStopped;
}

void Run::arrive() {
    State next = arrived(state_, context_.clock().wall);
    if (auto part = part_of(*object_, state_.writing)) {
        next.part = *part;
    }
    next.written = std::exchange(next.writing, {});
    problem_.clear();
    if (auto saved = save_and_enter(std::move(next), {}, true); !saved) {
        problem_ = saved.error().message;
    }
    if (running(state_.phase)) {
        begin_watch();
    }
}

}  // namespace sluice::rollout
