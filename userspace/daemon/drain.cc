#include "daemon/drain.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "daemon/clock.h"

namespace sluice::daemon {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kConnections = 262'144;  // that one pass looks at
constexpr std::size_t kAtOnce = 4'096;         // gates closed before their connections end
constexpr auto kGateSafe = 800ms;              // a gate opens again by itself after SL_GATE_NS
constexpr auto kUnreachable = 5s;              // until a namespace is looked for again
// Between passes that nobody asked for: at first, at most where nothing moves, and where a pass takes long.
constexpr std::chrono::steady_clock::duration kAgain = 200ms, kLongest = 5s, kSlowed = 1s;
constexpr auto kShortest = 5ms;  // between any two

bool is_marked(const sl_connection& connection) {
    return (connection.gate & (SL_GATE_WANTED | SL_GATE_CLOSED)) != 0;
}

std::string reason_of(const Error& error) {
    switch (error.code) {
        case EOPNOTSUPP:
            return "not_supported";
        case EPERM:
            return "not_permitted";
        case EACCES:
            return "namespace_not_permitted";
        case ESRCH:
            return "namespace_not_found";
        default:
            return "other";
    }
}

}  // namespace

Drainer::Drainer(DrainTools& tools, DrainBook& book) : tools_(tools), book_(book), thread_([this] { run(); }) {}

Drainer::~Drainer() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void Drainer::look_at_rules() {
    {
        std::lock_guard lock(mutex_);
        rules_asked_ = true;
    }
    changed_.notify_all();
}

void Drainer::look_at_connections() {
    {
        std::lock_guard lock(mutex_);
        look_asked_ = true;
    }
    changed_.notify_all();
}

DrainFacts Drainer::facts() const {
    std::lock_guard lock(mutex_);
    return facts_;
}

bool Drainer::stopping() const {
    std::lock_guard lock(mutex_);
    return stop_;
}

// One pass at a time; what is asked meanwhile is one pass more. Passes take half of the thread's time at most.
void Drainer::run() {
    Clock::duration quiet = kAgain;
    std::unique_lock lock(mutex_);
    auto asked = [this] { return stop_ || rules_asked_ || look_asked_; };
    while (!stop_) {
        if (again_) {
            changed_.wait_for(lock, quiet, asked);
        } else {
            changed_.wait(lock, asked);
        }
        const bool woken = asked();
        const bool rules = std::exchange(rules_asked_, false);
        look_asked_ = false;
        if (stop_) {
            return;
        }
        lock.unlock();
        const Clock::time_point begun = Clock::now();
        const std::size_t waited = waiting_;
        pass(rules);
        const Clock::duration took = Clock::now() - begun;
        lock.lock();
        facts_.waiting = waiting_;
        facts_.unwatched = unwatched_;
        const bool progress = woken || waiting_ != waited || book_.settling();
        quiet = std::max(progress ? kAgain : std::min<Clock::duration>(quiet * 2, kLongest),
                         std::min<Clock::duration>(10 * took, kSlowed));
        changed_.wait_for(lock, std::max<Clock::duration>(took, kShortest), [this] { return stop_; });
    }
}

void Drainer::pass(bool rules) {
    const Clock::time_point now = Clock::now();
    if (rules) {
        book_.read();
    }
    const bool idle = book_.empty() && waiting_ == 0;
    again_ = false;
    waiting_ = unwatched_ = 0;
    if (idle || !facts().off.empty()) {
        return;
    }
    const DrainView view = book_.view(monotonic_ns());
    std::vector<sl_connection> connections;
    if (!list_connections(view, connections)) {
        again_ = true;
        return;
    }
    std::vector<Victim> victims = choose_victims(view, std::move(connections), now);
    // A listing may miss connections that come and go beside it: looked at until nobody is found.
    again_ = again_ || rules || !victims.empty();
    book_.settle(now);
    leave_unreachable(victims, now);
    try_out(victims);
    std::span<const Victim> left = victims;
    while (!left.empty() && !stopping() && facts().off.empty()) {
        end_some(left.first(std::min(left.size(), kAtOnce)));
        left = left.subspan(std::min(left.size(), kAtOnce));
    }
    tools_.release();
    again_ = again_ || book_.settling() || !unreachable_.empty();
}

// Those that may have to end, without those that this thread has dealt with.
bool Drainer::list_connections(const DrainView& view, std::vector<sl_connection>& out) {
    std::unordered_map<std::uint64_t, bpf::Ended> still;
    std::size_t not_found = 0;
    auto listed = tools_.list([&](const sl_connection& connection) {
        const DrainService* service = book_.find(connection.service);
        if (connection.established_ns == 0 || (!service && !is_marked(connection))) {
            // One that is still connecting by old rules comes later.
            again_ = again_ || (service && (connection.generation < service->weights.back().generation ||
                                            view.state(connection.endpoint) != EndpointState::kIn));
            return;
        }
        auto ended = ended_.find(connection.cookie);
        if (ended == ended_.end()) {
            if (out.size() < kConnections) {
                out.push_back(connection);
            } else {
                again_ = true;
            }
            return;
        }
        // A socket that its application has not closed yet; or the kernel did not find it under its addresses.
        not_found += ended->second == bpf::Ended::kBefore ? 1 : 0;
        still.emplace(connection.cookie, bpf::Ended::kNow);
    });
    ended_ = std::move(still);
    if (not_found > 0) {
        fail("not_found", not_found, Error{0, "connections that the kernel lists, but does not find to end them"});
    }
    if (!listed) {
        fail("other", 1, listed.error());
    }
    return listed.has_value();
}

std::vector<Drainer::Victim> Drainer::choose_victims(const DrainView& view, std::vector<sl_connection> connections,
                                                     Clock::time_point now) {
    std::ranges::sort(connections, {}, &sl_connection::service);
    std::vector<Victim> victims;
    for (std::span<const sl_connection> rest = connections; !rest.empty();) {
        const std::uint32_t number = rest.front().service;
        auto end = std::ranges::upper_bound(rest, number, {}, &sl_connection::service);
        const auto theirs = rest.first(static_cast<std::size_t>(end - rest.begin()));
        rest = rest.subspan(theirs.size());
        const DrainService* service = book_.find(number);
        if (!service) {
            // Asked to end by rules that are gone: a gate that closes must find its end.
            for (const sl_connection& connection : theirs) {
                victims.push_back({connection, SL_DRAIN_IDLE});
            }
            continue;
        }
        const DrainChoice choice = choose(*service, theirs, view);
        for (const DrainChoice::Chosen& chosen : choice.chosen) {
            victims.push_back({theirs[chosen.index], chosen.mode});
        }
        unwatched_ += choice.unwatched;
        book_.chosen(number, theirs.size(), choice.for_shares, now);
    }
    return victims;
}

// A gate that nobody can follow up would only make its client wait.
void Drainer::leave_unreachable(std::vector<Victim>& victims, Clock::time_point now) {
    std::erase_if(unreachable_, [&](const auto& entry) { return entry.second <= now; });
    std::set<bpf::NetnsName> names;
    for (const Victim& victim : victims) {
        if (!unreachable_.contains(victim.connection.netns_cookie)) {
            names.insert(bpf::NetnsName{victim.connection.netns_cookie, victim.connection.netns_inode});
        }
    }
    const std::vector<bpf::NetnsName> wanted(names.begin(), names.end());
    for (const auto& [cookie, error] : tools_.reach(wanted)) {
        const auto count =
            std::ranges::count(victims, cookie, [](const Victim& victim) { return victim.connection.netns_cookie; });
        unreachable_[cookie] = now + kUnreachable;
        fail(reason_of(error), static_cast<std::uint64_t>(count), error);
    }
    std::erase_if(victims, [&](const Victim& victim) { return unreachable_.contains(victim.connection.netns_cookie); });
}

// Once, before the first gate is closed: whether this kernel ends connections at all.
void Drainer::try_out(std::span<const Victim> victims) {
    if (tried_ || victims.empty()) {
        return;
    }
    tried_ = true;
    sl_connection nobody = victims.front().connection;
    nobody.cookie = ~nobody.cookie;
    if (auto tried = tools_.destroy(nobody); !tried && tried.error().code == EOPNOTSUPP) {
        fail(reason_of(tried.error()), victims.size(), tried.error());
        switch_off(tried.error());
    }
}

// Closes gates, and ends those whose gate is closed.
void Drainer::end_some(std::span<const Victim> victims) {
    std::vector<std::pair<std::uint64_t, sl_drain_mode>> gates;
    std::unordered_map<std::uint64_t, std::uint32_t> closed;  // cookie -> gate, of the idle ones
    for (const Victim& victim : victims) {
        gates.emplace_back(victim.connection.cookie, victim.mode);
        if (victim.mode == SL_DRAIN_IDLE) {
            closed.emplace(victim.connection.cookie, 0);
        }
    }
    const Clock::time_point begun = Clock::now();
    auto done = tools_.close_gates(gates);
    if (done && !closed.empty()) {
        // Looked at first: every gate seen closed was so before the wait.
        done = tools_.list([&](const sl_connection& connection) {
            if (auto found = closed.find(connection.cookie); found != closed.end()) {
                found->second = connection.gate;
            }
        });
        tools_.settle();
    }
    if (!done) {
        fail("other", victims.size(), done.error());
    }
    for (const Victim& victim : victims) {
        const bool now = victim.mode == SL_DRAIN_NOW;
        const bool may = now || (done && (closed[victim.connection.cookie] & SL_GATE_CLOSED) != 0 &&
                                 Clock::now() - begun < kGateSafe);
        if (may) {
            end_one(victim);
        } else {
            ++waiting_;
        }
    }
}

void Drainer::end_one(const Victim& victim) {
    auto ended = tools_.destroy(victim.connection);
    if (!ended) {
        fail(reason_of(ended.error()), 1, ended.error());
        if (ended.error().code == EPERM) {
            switch_off(ended.error());
        }
        return;
    }
    ended_[victim.connection.cookie] = *ended;
    if (*ended == bpf::Ended::kNow) {
        std::lock_guard lock(mutex_);
        ++(victim.mode == SL_DRAIN_NOW ? facts_.drained_now : facts_.drained_idle);
    }
}

void Drainer::switch_off(const Error& error) {
    std::lock_guard lock(mutex_);
    facts_.off = error.text();
}

void Drainer::fail(const std::string& reason, std::uint64_t connections, const Error& error) {
    bool first = false;
    {
        std::lock_guard lock(mutex_);
        auto known = std::ranges::find(facts_.failures, reason, &std::pair<std::string, std::uint64_t>::first);
        first = known == facts_.failures.end();
        if (first) {
            known = facts_.failures.insert(known, {reason, 0});
        }
        known->second += connections;
        facts_.last_error = error.text();
    }
    if (first) {
        spdlog::error("sluice.dev/drain: {} (further failures of this kind are counted, not logged)", error.text());
    }
}

}  // namespace sluice::daemon
