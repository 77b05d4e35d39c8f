#include "daemon/rollout_watch.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <map>

#include "tests/unit/rollout/http_stub.h"

namespace sluice::daemon {
namespace {

using namespace std::chrono_literals;

// Counters and samples by hand.
class FakeSource final : public VersionSource {
  public:
    Result<> count_versions(const std::string& host, const std::function<void(const VersionCount&)>& call) override {
        std::lock_guard lock(mutex_);
        if (broken) {
            return fail("broken");
        }
        for (const auto& [who, counts] : counts_) {
            if (host == "ranker") {
                call({.source = std::get<0>(who),
                      .subset = std::get<1>(who),
                      .mirror = std::get<2>(who),
                      .counts = counts});
            }
        }
        return {};
    }
    void listen_to_answers(std::function<void(const VersionAnswer&)> listener) override {
        std::lock_guard lock(mutex_);
        listener_ = std::move(listener);
    }
    Result<> pull_answers() override {
        std::lock_guard lock(mutex_);
        ++pulls;
        for (const auto& [host, subset, mirror, seconds] : std::exchange(waiting_, {})) {
            listener_({.host = host, .subset = subset, .mirror = mirror, .seconds = seconds});
        }
        return broken ? fail("broken") : Result<>();
    }
    VersionPlace place(const config::Object&) override { return {"ranker", {"v1", "v2"}}; }

    void set(std::uint64_t source, const std::string& subset, std::uint64_t requests, std::uint64_t failed,
             bool mirror = false) {
        std::lock_guard lock(mutex_);
        admin::ClusterRequests& counts = counts_[{source, subset, mirror}];
        counts.requests = requests;
        counts.failed = failed;
    }
    void answered(const std::string& subset, double seconds, bool mirror = false, const std::string& host = "ranker") {
        std::lock_guard lock(mutex_);
        waiting_.emplace_back(host, subset, mirror, seconds);
    }

    std::atomic<bool> broken = false;
    std::atomic<int> pulls = 0;

  private:
    std::mutex mutex_;
    std::map<std::tuple<std::uint64_t, std::string, bool>, admin::ClusterRequests> counts_;
    std::vector<std::tuple<std::string, std::string, bool, double>> waiting_;
    std::function<void(const VersionAnswer&)> listener_;
};

class WatchTest : public testing::Test {
  protected:
    WatchTest() {
        auto object = std::make_shared<config::Object>();
        object->key = {config::Kind::kCanary, "ml", "ranker-v2"};
        config::Canary canary;
        canary.champion = "v1";
        canary.challenger = "v2";
        canary.gates.resize(2);
        object->spec = canary;
        canary_ = object;
    }
    FakeSource source_;
    VersionWatches watches_{source_};
    config::ObjectPtr canary_;
};

TEST_F(WatchTest, counts_what_came_since_the_stage_began) {
    source_.set(1, "v1", 1000, 10);
    source_.set(2, "v2", 50, 5);
    auto watch = watches_.watch(canary_, [] {});
    watch->begin(false);
    source_.set(1, "v1", 1100, 11);
    source_.set(2, "v2", 60, 7);
    source_.set(7, "v2", 4, 1);  // another source of the same version, new
    const rollout::Seen seen = watch->look(1, 5).value();
    EXPECT_EQ(seen.champion_errors.value().requests, 100u);
    EXPECT_EQ(seen.champion_errors.value().failed, 1u);
    EXPECT_EQ(seen.challenger_errors.value().requests, 14u);
    EXPECT_EQ(seen.challenger_errors.value().failed, 3u);
    EXPECT_EQ(seen.asked.size(), 2u);
    watch->begin(false);
    EXPECT_EQ(watch->look(1, 5)->challenger_errors.value().requests, 0u);
}

TEST_F(WatchTest, no_traffic_is_zero_requests_and_an_unreadable_source_is_no_data) {
    auto watch = watches_.watch(canary_, [] {});
    watch->begin(false);
    EXPECT_EQ(watch->look(1, 5)->challenger_errors.value().requests, 0u);
    source_.broken = true;
    const rollout::Seen seen = watch->look(1, 5).value();
    EXPECT_FALSE(seen.champion_errors || seen.challenger_errors || seen.champion_durations ||
                 seen.challenger_durations);
}

TEST_F(WatchTest, counters_that_begin_anew_are_counted_from_zero) {
    source_.set(1, "v2", 100, 4);
    auto watch = watches_.watch(canary_, [] {});
    watch->begin(false);
    source_.set(1, "v2", 130, 5);
    EXPECT_EQ(watch->look(1, 5)->challenger_errors.value().requests, 30u);
    source_.set(1, "v2", 7, 2);
    const rollout::Seen seen = watch->look(1, 5).value();
    EXPECT_EQ(seen.challenger_errors.value().requests, 37u);
    EXPECT_EQ(seen.challenger_errors.value().failed, 3u);
}

TEST_F(WatchTest, durations_are_of_the_stage_the_host_and_the_version) {
    auto watch = watches_.watch(canary_, [] {});
    source_.answered("v2", 9);  // ended before the stage began
    watch->begin(false);
    source_.answered("v1", 1);
    source_.answered("v2", 2);
    source_.answered("v2", 3, true);
    source_.answered("v2", 4, false, "other");
    source_.answered("v3", 5);
    const rollout::Seen seen = watch->look(1, 5).value();
    EXPECT_EQ(seen.champion_durations.value().count(), 1u);
    ASSERT_EQ(seen.challenger_durations.value().count(), 1u);
    EXPECT_DOUBLE_EQ(seen.challenger_durations->quantile(0.5).value(), 2);
}

TEST_F(WatchTest, a_mirror_stage_judges_copies) {
    source_.set(1, "v2", 100, 50);
    auto watch = watches_.watch(canary_, [] {});
    watch->begin(true);
    source_.set(1, "v2", 200, 90);
    source_.set(1, "v2", 30, 2, true);
    source_.set(1, "v1", 20, 1, true);  // copies to the champion are not its requests
    source_.answered("v2", 2);
    source_.answered("v2", 3, true);
    source_.answered("v1", 1);
    const rollout::Seen seen = watch->look(0, 0).value();
    EXPECT_EQ(seen.challenger_errors.value().requests, 30u);
    EXPECT_EQ(seen.challenger_errors.value().failed, 2u);
    EXPECT_EQ(seen.champion_errors.value().requests, 0u);
    EXPECT_DOUBLE_EQ(seen.challenger_durations.value().quantile(0.5).value(), 3);
    EXPECT_EQ(seen.champion_durations.value().count(), 1u);
}

TEST_F(WatchTest, samples_are_pulled_while_somebody_watches_and_only_then) {
    const auto pulled = [&](int more) {
        const int before = source_.pulls;
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (source_.pulls < before + more && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(1ms);
        }
        return source_.pulls >= before + more;
    };
    {
        auto watch = watches_.watch(canary_, [] {});
        EXPECT_TRUE(pulled(3));
    }
    const int after = source_.pulls;
    std::this_thread::sleep_for(300ms);
    EXPECT_LE(source_.pulls, after + 1) << "one may have been under way";
}

// A canary with a webhook at `url`.
config::ObjectPtr asking(const config::ObjectPtr& canary, const std::string& url) {
    auto object = std::make_shared<config::Object>(*canary);
    config::Gate& gate = std::get<config::Canary>(object->spec).gates[1];
    gate.kind = config::Gate::Kind::kWebhook;
    gate.url = url;
    gate.timeout = 60s;
    return object;
}

TEST_F(WatchTest, servers_are_asked_beside_and_their_answers_are_had_by_the_next_look) {
    rollout::HttpStub stub([](const std::string&) { return rollout::HttpStub::reply(200, "{}"); });
    std::promise<void> answered;
    auto watch = watches_.watch(asking(canary_, stub.url()), [&] { answered.set_value(); });
    watch->begin(false);
    EXPECT_FALSE(watch->look(1, 5));
    ASSERT_EQ(answered.get_future().wait_for(10s), std::future_status::ready);
    const auto seen = watch->look(1, 5);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->asked.at(1).approved, true);
    EXPECT_TRUE(seen->challenger_errors) << "and what the agent itself counts";
    EXPECT_THAT(stub.requests(), testing::ElementsAre(testing::HasSubstr("\"stage\":1,\"weight\":5")));
}

TEST_F(WatchTest, a_server_that_does_not_answer_holds_nobody_up) {
    rollout::HttpStub stub([](const std::string&) { return std::string(); });
    const auto asked = [&](std::size_t times) {
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (stub.requests().size() < times && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(1ms);
        }
        return stub.requests().size() == times;
    };
    const auto begin = std::chrono::steady_clock::now();
    auto watch = watches_.watch(asking(canary_, stub.url()), [] {});
    watch->begin(false);
    EXPECT_FALSE(watch->look(1, 5));
    EXPECT_TRUE(asked(1));
    EXPECT_FALSE(watch->look(1, 5)) << "still the same question";
    EXPECT_TRUE(asked(1));
    watch->begin(false);
    EXPECT_FALSE(watch->look(2, 10)) << "a new stage has questions of its own";
    EXPECT_TRUE(asked(2));
    watch.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
}

}  // namespace
}  // namespace sluice::daemon
