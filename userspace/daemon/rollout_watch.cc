#include "daemon/rollout_watch.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "rollout/questions.h"

namespace sluice::daemon {

namespace {

using Clock = std::chrono::steady_clock;

// A worker keeps 1,024 samples between two pulls: 20,000 a second.
constexpr std::chrono::milliseconds kPullEvery{50};

// One version's requests since a beginning, out of counters that may begin anew.
class Tally {
  public:
    void begin() {
        sum_ = {};
        beginning_ = true;
    }
    // All sources as they stand now.
    void take(const std::map<std::uint64_t, admin::ClusterRequests>& now) {
        for (const auto& [source, counts] : now) {
            if (beginning_) {
                continue;
            }
            const auto known = last_.find(source);
            const bool anew = known == last_.end() || known->second.requests > counts.requests;
            const admin::ClusterRequests before = anew ? admin::ClusterRequests{} : known->second;
            sum_.requests += counts.requests - before.requests;
            sum_.failed += counts.failed - std::min(before.failed, counts.failed);
        }
        last_ = now;
        beginning_ = false;
    }
    rollout::Errors errors() const { return {sum_.requests, std::min(sum_.failed, sum_.requests)}; }

  private:
    std::map<std::uint64_t, admin::ClusterRequests> last_;
    admin::ClusterRequests sum_;
    bool beginning_ = true;
};

}  // namespace

class VersionWatches::Watch final : public rollout::Watch {
  public:
    Watch(VersionWatches& hub, config::ObjectPtr object, std::function<void()> answered)
        : hub_(hub),
          object_(std::move(object)),
          canary_(std::get<config::Canary>(object_->spec)),
          answered_(std::move(answered)) {
        std::lock_guard lock(hub_.mutex_);
        hub_.watches_.push_back(this);
        hub_.changed_.notify_all();
    }
    ~Watch() override {
        std::lock_guard lock(hub_.mutex_);
        std::erase(hub_.watches_, this);
    }

    void begin(bool mirror) override {
        asking_ = {};
        answers_.reset();
        since_ = Clock::now();
        const VersionPlace place = hub_.source_.place(*object_);
        for (Tally* tally : {&champion_, &challenger_, &copies_}) {
            tally->begin();
        }
        if (!canary_.metrics_from_prometheus) {
            static_cast<void>(hub_.source_.pull_answers());  // what is told of before is not of this stage
            static_cast<void>(count(place.host));
        }
        std::lock_guard lock(hub_.mutex_);
        host_ = place.host;
        mirror_ = mirror;
        champion_seconds_ = rollout::Durations();
        challenger_seconds_ = rollout::Durations();
    }

    std::optional<rollout::Seen> look(std::size_t stage, std::uint32_t weight) override {
        const VersionPlace place = hub_.source_.place(*object_);
        std::optional<Answers> answers;
        if (asks_servers()) {
            answers = take_answers();
            if (!answers) {
                ask(place, {.service = place.host, .stage = stage, .weight = weight, .mirror = mirror_});
                return std::nullopt;
            }
        }
        rollout::Seen seen;
        seen.asked = answers ? std::move(answers->asked) : std::vector<rollout::Seen::Asked>(canary_.gates.size());
        if (!canary_.metrics_from_prometheus) {
            look_here(place, seen);
            return seen;
        }
        rollout::FromMetrics& from = answers->metrics;
        seen.champion_errors = from.champion_errors;
        seen.challenger_errors = from.challenger_errors;
        seen.champion_durations = std::move(from.champion_durations);
        seen.challenger_durations = std::move(from.challenger_durations);
        for (std::size_t i = 0; i < seen.asked.size() && !from.problem.empty(); ++i) {
            using Kind = config::Gate::Kind;
            if (canary_.gates[i].kind == Kind::kErrorRate || canary_.gates[i].kind == Kind::kLatency) {
                seen.asked[i].problem = from.problem;
            }
        }
        return seen;
    }

    // Under the hub's mutex.
    void hear(const VersionAnswer& answer) {
        if (answer.host != host_) {
            return;
        }
        if (answer.subset == canary_.champion && !answer.mirror) {
            champion_seconds_.add(answer.seconds);
        } else if (answer.subset == canary_.challenger && answer.mirror == mirror_) {
            challenger_seconds_.add(answer.seconds);
        }
    }

  private:
    // What servers say; each look that has none asks anew.
    struct Answers {
        rollout::FromMetrics metrics;
        std::vector<rollout::Seen::Asked> asked;
    };

    bool asks_servers() const {
        return canary_.metrics_from_prometheus || std::ranges::any_of(canary_.gates, [](const config::Gate& gate) {
                   return gate.kind == config::Gate::Kind::kQuery || gate.kind == config::Gate::Kind::kWebhook;
               });
    }
    std::optional<Answers> take_answers() {
        std::lock_guard lock(answers_mutex_);
        return std::exchange(answers_, std::nullopt);
    }
    void ask(const VersionPlace& place, rollout::Moment moment) {
        {
            std::lock_guard lock(answers_mutex_);
            if (std::exchange(asks_, true)) {
                return;
            }
        }
        asking_ = std::jthread([this, place, moment = std::move(moment), since = since_](const std::stop_token& stop) {
            Answers answers;
            if (canary_.metrics_from_prometheus) {
                const auto window = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since);
                answers.metrics = rollout::ask_metrics(rollout::Prometheus(canary_.prometheus, stop), place.host,
                                                       place.names, canary_.challenger, moment.mirror, window);
            }
            answers.asked = rollout::ask_gates(*object_, place.names, moment, stop);
            {
                std::lock_guard lock(answers_mutex_);
                asks_ = false;
                answers_ = std::move(answers);
            }
            answered_();
        });
    }

    Result<> count(const std::string& host) {
        std::map<std::uint64_t, admin::ClusterRequests> champion, challenger, copies;
        auto counted = hub_.source_.count_versions(host, [&](const VersionCount& version) {
            if (version.mirror) {
                if (version.subset == canary_.challenger) {
                    copies[version.source] = version.counts;
                }
            } else if (version.subset == canary_.champion) {
                champion[version.source] = version.counts;
            } else if (version.subset == canary_.challenger) {
                challenger[version.source] = version.counts;
            }
        });
        if (counted) {
            champion_.take(champion);
            challenger_.take(challenger);
            copies_.take(copies);
        }
        return counted;
    }

    void look_here(const VersionPlace& place, rollout::Seen& seen) {
        const bool pulled = hub_.source_.pull_answers().has_value();
        if (count(place.host)) {
            seen.champion_errors = champion_.errors();
            seen.challenger_errors = mirror_ ? copies_.errors() : challenger_.errors();
        }
        if (pulled) {
            std::lock_guard lock(hub_.mutex_);
            host_ = place.host;
            seen.champion_durations = champion_seconds_;
            seen.challenger_durations = challenger_seconds_;
        }
    }

    VersionWatches& hub_;
    const config::ObjectPtr object_;
    const config::Canary& canary_;
    bool mirror_ = false;  // changed under the hub's mutex
    Clock::time_point since_ = Clock::now();
    Tally champion_, challenger_, copies_;
    // Under the hub's mutex.
    std::string host_;
    rollout::Durations champion_seconds_, challenger_seconds_;

    const std::function<void()> answered_;
    std::mutex answers_mutex_;
    bool asks_ = false;  // these two under answers_mutex_
    std::optional<Answers> answers_;
    std::jthread asking_;  // last: it uses all the others
};

VersionWatches::VersionWatches(VersionSource& source) : source_(source) {
    source_.listen_to_answers([this](const VersionAnswer& answer) { hear(answer); });
    puller_ = std::thread([this] { pull(); });
}

VersionWatches::~VersionWatches() {
    {
        std::lock_guard lock(mutex_);
        ending_ = true;
    }
    changed_.notify_all();
    puller_.join();
    source_.listen_to_answers({});
}

std::unique_ptr<rollout::Watch> VersionWatches::watch(const config::ObjectPtr& canary, std::function<void()> answered) {
    return std::make_unique<Watch>(*this, canary, std::move(answered));
}

void VersionWatches::hear(const VersionAnswer& answer) {
    std::lock_guard lock(mutex_);
    for (Watch* watch : watches_) {
        watch->hear(answer);
    }
}

void VersionWatches::pull() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return ending_ || !watches_.empty(); });
        if (ending_) {
            return;
        }
        lock.unlock();
        static_cast<void>(source_.pull_answers());  // a look tells of what cannot be read
        lock.lock();
        changed_.wait_for(lock, kPullEvery, [this] { return ending_; });
    }
}

}  // namespace sluice::daemon
