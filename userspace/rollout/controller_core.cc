#include "rollout/controller_core.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include <fmt/format.h>

namespace sluice::rollout {

namespace {

// How far the clocks may part before stored times are moved.
constexpr std::chrono::milliseconds kSet{500};
constexpr std::size_t kNamesShown = 10;

std::string joined(const std::vector<config::ObjectKey>& keys) {
    std::string out;
    for (std::size_t i = 0; i < std::min(keys.size(), kNamesShown); ++i) {
        out += (i == 0 ? "" : ", ") + keys[i].ns + "/" + keys[i].name;
    }
    return keys.size() > kNamesShown ? out + ", …" : out;
}

// NAME or NAMESPACE/NAME, among those that are known. Code ENOENT: none is called so.
Result<config::ObjectKey> resolve(const std::string& name, const std::set<config::ObjectKey>& known) {
    std::vector<config::ObjectKey> found;
    for (const config::ObjectKey& key : known) {
        if (name == key.name || name == key.ns + "/" + key.name) {
            found.push_back(key);
        }
    }
    if (found.size() == 1) {
        return found.front();
    }
    if (found.size() > 1) {
        return fail(fmt::format("there are several Canaries {}: {}", name, joined(found)));
    }
    if (known.empty()) {
        return fail_errno(ENOENT, fmt::format("no Canary {}: there is none at all", name));
    }
    return fail_errno(ENOENT, fmt::format("no Canary {}; there is {}", name, joined({known.begin(), known.end()})));
}

}  // namespace

Core::Core(Host& host, Watches& watches, Records& records, std::function<Moment()> clock, std::function<void()> wake)
    : clock_(std::move(clock)),
      base_(clock_()),
      context_{host, watches, records, [this] { return now(); }, std::move(wake)} {}

// Wall-clock time that goes as the monotonic clock does.
Moment Core::now() const {
    const auto steady = clock_().steady;
    return {base_.wall + std::chrono::duration_cast<Time::duration>(steady - base_.steady), steady};
}

Core::Objects Core::objects() const {
    Objects out;
    for (const config::ObjectPtr& object : context_.host.canaries()) {
        out.emplace(object->key, object);
    }
    return out;
}

Result<> Core::load() {
    auto stored = context_.records.load();
    if (!stored) {
        return std::unexpected(std::move(stored.error()));
    }
    const Objects present = objects();
    for (Record& record : *stored) {
        const auto object = present.find(record.key);
        Run& run = runs_.try_emplace(record.key, context_, record.key).first->second;
        run.take_up(std::move(record.state), object == present.end() ? nullptr : object->second);
        publish(record.key, run);
    }
    return {};
}

// Stored times are wall-clock times: when the wall clock is set, they move along. Slow drift adds up and is followed
// too.
void Core::follow_clock() {
    const Moment real = clock_();
    const Time::duration jump = real.wall - now().wall;
    if (std::chrono::abs(jump) < kSet) {
        return;
    }
    base_ = real;
    for (auto& [key, run] : runs_) {
        run.shift(jump);
    }
}

std::optional<std::chrono::steady_clock::time_point> Core::tick(bool changed) {
    follow_clock();
    const Objects present = objects();
    std::optional<std::chrono::steady_clock::time_point> next;
    for (auto& [key, run] : runs_) {
        const auto object = present.find(key);
        run.tick(object == present.end() ? nullptr : object->second, changed);
        publish(key, run);
        if (const auto due = run.due(); due && (!next || *due < *next)) {
            next = due;
        }
    }
    return next;
}

Result<View> Core::command(const std::string& canary, Command command, const std::string& who,
                           const std::string& message) {
    follow_clock();
    const Objects present = objects();
    std::set<config::ObjectKey> known;
    for (const auto& [key, object] : present) {
        known.insert(key);
    }
    for (const auto& [key, run] : runs_) {
        known.insert(key);
    }
    auto key = resolve(canary, known);
    if (!key) {
        return std::unexpected(std::move(key.error()));
    }
    const auto object = present.find(*key);
    Run& run = runs_.try_emplace(*key, context_, *key).first->second;
    auto done = run.command(object == present.end() ? nullptr : object->second, command, who, message);
    publish(*key, run);
    if (!done) {
        return std::unexpected(std::move(done.error()));
    }
    return shown(run.view(), present, *key);
}

void Core::publish(const config::ObjectKey& key, const Run& run) {
    View view = run.view();
    const std::lock_guard lock(mutex_);
    views_[key] = std::move(view);
}

View Core::shown(View view, const Objects& objects, const config::ObjectKey& key) const {
    const auto object = objects.find(key);
    view.missing = object == objects.end();
    if (!view.missing && (view.canary == nullptr || !active(view.state))) {
        view.canary = object->second;
    }
    return view;
}

Result<std::vector<View>> Core::view(const std::string& canary) const {
    const Objects present = objects();
    std::map<config::ObjectKey, View> all;
    {
        const std::lock_guard lock(mutex_);
        all = views_;
    }
    std::set<config::ObjectKey> known;
    for (const auto& [key, object] : present) {
        all.try_emplace(key);
    }
    for (auto& [key, view] : all) {
        view = shown(std::move(view), present, key);
        if (view.canary != nullptr) {
            known.insert(key);
        }
    }
    std::vector<View> out;
    if (!canary.empty()) {
        auto key = resolve(canary, known);
        if (!key) {
            return std::unexpected(std::move(key.error()));
        }
        out.push_back(std::move(all.at(*key)));
        return out;
    }
    for (const config::ObjectKey& key : known) {
        out.push_back(std::move(all.at(key)));
    }
    return out;
}

}  // namespace sluice::rollout
