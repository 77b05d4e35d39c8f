// The drain at work: rules through the pipeline, connections and their gates in memory.
#include "daemon/drain.h"

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "tests/unit/daemon/fixture.h"

namespace sluice::daemon {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

bool eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

// Connections whose gates behave as those of the programs.
class FakeTools : public DrainTools {
  public:
    Result<> list(const std::function<void(const sl_connection&)>& fn) override {
        ++lists;
        std::lock_guard lock(mutex);
        const std::uint64_t miss = hidden.exchange(0);
        for (const auto& [cookie, connection] : open) {
            if (cookie != miss) {
                fn(connection);
            }
        }
        return {};
    }
    Result<> close_gates(Gates connections) override {
        std::lock_guard lock(mutex);
        for (const auto& [cookie, mode] : connections) {
            ++gates;
            if (auto found = open.find(cookie); found != open.end()) {
                std::uint32_t& gate = found->second.gate;
                const bool idle = mode == SL_DRAIN_NOW || (gate & SL_GATE_BUSY) == 0;
                gate = idle ? gate | SL_GATE_CLOSED : gate | SL_GATE_WANTED;
            }
        }
        return {};
    }
    void settle() override { std::this_thread::sleep_for(slow.exchange(0ms)); }
    std::map<std::uint64_t, Error> reach(std::span<const bpf::NetnsName> names) override {
        std::map<std::uint64_t, Error> out;
        for (const bpf::NetnsName& name : names) {
            if (name.cookie == kFar) {
                out.emplace(name.cookie, Error{EACCES, "namespace 7: may not be looked at"});
            }
        }
        return out;
    }
    Result<bpf::Ended> destroy(const sl_connection& connection) override {
        std::lock_guard lock(mutex);
        if (refuses != 0) {
            return fail_errno(refuses, "SOCK_DESTROY");
        }
        if (!open.contains(connection.cookie)) {
            return bpf::Ended::kBefore;
        }
        EXPECT_EQ(connection.netns_cookie, open.at(connection.cookie).netns_cookie);
        ended.insert(connection.cookie);
        if (!lingers) {
            open.erase(connection.cookie);
        }
        return bpf::Ended::kNow;
    }
    void release() override { ++releases; }

    std::size_t left() {
        std::lock_guard lock(mutex);
        return open.size();
    }
    std::size_t count_ended() {
        std::lock_guard lock(mutex);
        return ended.size();
    }
    // The answer is whole; a gate that is wanted closes.
    void answer(std::uint64_t cookie) {
        std::lock_guard lock(mutex);
        std::uint32_t& gate = open.at(cookie).gate;
        gate = (gate & SL_GATE_WANTED) != 0 ? SL_GATE_CLOSED : 0;
    }

    static constexpr std::uint64_t kFar = 7;
    std::atomic<int> lists = 0, releases = 0, gates = 0, refuses = 0;
    std::atomic<std::uint64_t> hidden = 0;  // the next listing misses it
    std::atomic<bool> lingers = false;      // what ended is listed still, as until its application closes it
    std::atomic<std::chrono::milliseconds> slow = 0ms;
    std::mutex mutex;
    std::map<std::uint64_t, sl_connection> open;
    std::multiset<std::uint64_t> ended;
};

class DrainTest : public PipelineTest {
  protected:
    ~DrainTest() override { drainer_.reset(); }

    static std::string split(int v1, int v2, const std::string& drain) {
        std::string text = weights("ranking", v1, v2);
        const std::string at = "namespace: ml}";
        return text.replace(text.find(at), at.size(), "namespace: ml, annotations: {sluice.dev/drain: " + drain + "}}");
    }
    void begin(const std::string& rules) {
        put("service.yaml", service("ranking", "127.9.0.1"));
        put("split.yaml", rules);
        ASSERT_EQ(start().outcome, LoadReport::Outcome::kInForce);
        watch();
    }
    void watch() {
        drainer_.reset();
        book_ = std::make_unique<DrainBook>(controller(), running_->publisher);
        drainer_ = std::make_unique<Drainer>(tools_, *book_);
        drainer_->look_at_rules();
    }
    void apply(const std::string& rules) {
        ASSERT_EQ(controller().apply(request(rules)).outcome, ApplyReport::Outcome::kDone);
        drainer_->look_at_rules();
    }
    std::uint32_t cluster(const std::string& subset) {
        for (std::uint32_t number : running_->publisher.cluster_numbers()) {
            if (running_->publisher.cluster(number)->subset == subset) {
                return number;
            }
        }
        return SL_NONE;
    }
    // Connections that the rules in force placed; returns the first one's cookie.
    std::uint64_t open(std::size_t count, const std::string& subset, std::uint32_t gate = 0, std::uint64_t netns = 1) {
        std::lock_guard lock(tools_.mutex);
        const std::uint64_t first = cookie_;
        for (std::size_t i = 0; i < count; ++i) {
            sl_connection made{};
            made.cookie = cookie_++;
            made.netns_cookie = netns;
            made.generation = generation();
            made.established_ns = 1;
            made.service = tables_.find(*IpAddress::parse("127.9.0.1"), 80);
            made.cluster = cluster(subset);
            made.endpoint = running_->publisher.endpoints(made.cluster).front();
            made.gate = gate;
            tools_.open[made.cookie] = made;
        }
        return first;
    }
    // The endpoint of a connection.
    void eject(std::uint64_t cookie) {
        sl_store(&tables_.tables().health[tools_.open.at(cookie).endpoint].ejected_until, ~0ull);
        drainer_->look_at_connections();
    }
    // Nothing is looked at any more: no pass for twice as long as between two.
    bool rests() {
        return eventually([&] {
            const int before = tools_.lists;
            std::this_thread::sleep_for(450ms);
            return tools_.lists == before;
        });
    }
    DrainFacts facts() { return drainer_->facts(); }
    // One more pass has been made.
    void look() {
        const int before = tools_.lists;
        drainer_->look_at_connections();
        ASSERT_TRUE(eventually([&] { return tools_.lists > before; }));
    }

    FakeTools tools_;
    std::unique_ptr<DrainBook> book_;
    std::unique_ptr<Drainer> drainer_;
    std::uint64_t cookie_ = 100;
};

TEST_F(DrainTest, WithoutTheAnnotationNothingRuns) {
    begin(weights("ranking", 50, 50));
    open(4, "v2");
    apply(weights("ranking", 100, 0));
    drainer_->look_at_connections();
    drainer_.reset();
    EXPECT_EQ(tools_.lists, 0);
    EXPECT_EQ(tools_.open.size(), 4u);
}

TEST_F(DrainTest, IdleOnesGoAtOnceAndBusyOnesAfterTheirAnswer) {
    begin(split(50, 50, "idle"));
    open(5, "v1");
    open(5, "v2");
    const std::uint64_t busy = open(1, "v2", SL_GATE_BUSY);
    apply(split(100, 0, "idle"));
    ASSERT_TRUE(eventually([&] { return facts().drained_idle == 5; }));
    ASSERT_TRUE(eventually([&] { return facts().waiting == 1; }));
    EXPECT_EQ(tools_.left(), 6u);
    tools_.answer(busy);
    drainer_->look_at_connections();
    EXPECT_TRUE(eventually([&] { return facts().drained_idle == 6 && facts().waiting == 0; }));
    EXPECT_FALSE(tools_.open.contains(busy));
    EXPECT_EQ(facts().drained_now, 0u);
    EXPECT_THAT(facts().failures, IsEmpty());
    EXPECT_GT(tools_.releases, 0) << "namespaces are not held";
}

TEST_F(DrainTest, AClosedGateIsFoundWithoutAnEventToo) {
    begin(split(50, 50, "idle"));
    ASSERT_TRUE(rests());
    const std::uint64_t busy = open(1, "v2", SL_GATE_BUSY);
    eject(busy);
    ASSERT_TRUE(eventually([&] { return facts().waiting == 1; }));
    tools_.answer(busy);
    EXPECT_TRUE(eventually([&] { return tools_.left() == 0; }));
}

TEST_F(DrainTest, WhatWasConnectingOrMissedIsFoundLater) {
    begin(split(50, 50, "idle"));
    ASSERT_TRUE(rests());
    open(1, "v2");
    const std::uint64_t connecting = open(1, "v2");
    const std::uint64_t missed = open(1, "v2");
    tools_.open.at(connecting).established_ns = 0;
    tools_.hidden = missed;
    eject(missed);
    ASSERT_TRUE(eventually([&] { return tools_.count_ended() == 2; }));
    {
        std::lock_guard lock(tools_.mutex);
        tools_.open.at(connecting).established_ns = 1;
    }
    EXPECT_TRUE(eventually([&] { return facts().drained_idle == 3; }));
}

TEST_F(DrainTest, ItComesToRest) {
    begin(split(50, 50, "idle"));
    open(5, "v1");
    open(5, "v2");
    apply(split(100, 0, "idle"));
    ASSERT_TRUE(eventually([&] { return facts().drained_idle == 5; }));
    EXPECT_TRUE(rests());
}

TEST_F(DrainTest, NowEndsBusyOnesToo) {
    begin(split(50, 50, "now"));
    open(3, "v2", SL_GATE_BUSY);
    apply(split(100, 0, "now"));
    EXPECT_TRUE(eventually([&] { return facts().drained_now == 3; }));
    EXPECT_EQ(tools_.left(), 0u);
}

TEST_F(DrainTest, WeightsLoweredTogetherWithTheAnnotationEndTheirExcess) {
    begin(weights("ranking", 50, 50));
    open(20, "v1");
    open(20, "v2");
    apply(split(80, 20, "idle"));
    ASSERT_TRUE(eventually([&] { return facts().drained_idle == 12; }));
    // Looking again ends nobody else; they are dialled again elsewhere, and still nobody goes.
    look();
    open(12, "v1");
    look();
    EXPECT_EQ(tools_.count_ended(), 12u);
}

TEST_F(DrainTest, OldWeightsAreRememberedFromTheTablesOnlyAsTheyAre) {
    begin(split(50, 50, "idle"));
    open(20, "v1");
    open(20, "v2");
    // Another agent comes; the directory says what is in force, and a weight of zero beside it.
    put("split.yaml", split(50, 50, "idle"));
    drainer_.reset();
    ASSERT_NE(start().outcome, LoadReport::Outcome::kRefused);
    watch();
    look();
    EXPECT_EQ(tools_.count_ended(), 0u) << "the same weights: nothing was lowered";
    apply(split(80, 20, "idle"));
    EXPECT_TRUE(eventually([&] { return facts().drained_idle == 12; }));
}

TEST_F(DrainTest, AnEjectedEndpointsConnectionsEnd) {
    begin(split(50, 50, "idle"));
    open(2, "v1");
    const std::uint64_t first = open(2, "v2");
    look();
    EXPECT_EQ(tools_.left(), 4u);
    eject(first);
    EXPECT_TRUE(eventually([&] { return facts().drained_idle == 2; }));
    EXPECT_FALSE(tools_.open.contains(first));
}

TEST_F(DrainTest, APanicKeepsThem) {
    std::string rules = service("ranking", "127.9.0.1");
    const std::string at = "  subsets:";
    rules.replace(rules.find(at), at.size(),
                  "  trafficPolicy: {outlierDetection: {minHealthPercent: 100}}\n  subsets:");
    begin(split(50, 50, "idle"));
    apply(rules);
    const std::uint64_t first = open(2, "v2");
    const sl_tables t = tables_.tables();
    sl_store(&t.health[tools_.open.at(first).endpoint].ejected_until, ~0ull);
    sl_store(&t.clusters[tools_.open.at(first).cluster].ejected, 1u);
    look();
    look();
    EXPECT_EQ(tools_.left(), 2u) << "they would be placed there again";
}

TEST_F(DrainTest, WhereTheNamespaceCannotBeEnteredGatesStayOpen) {
    begin(split(50, 50, "idle"));
    open(3, "v2");
    open(2, "v2", 0, FakeTools::kFar);
    apply(split(100, 0, "idle"));
    ASSERT_TRUE(eventually([&] { return facts().drained_idle == 3; }));
    EXPECT_EQ(tools_.gates, 3);
    EXPECT_THAT(facts().failures, ElementsAre(Pair("namespace_not_permitted", 2)));
    EXPECT_THAT(facts().last_error, HasSubstr("may not be looked at"));
    look();
    EXPECT_THAT(facts().failures, ElementsAre(Pair("namespace_not_permitted", 2))) << "not looked for all the time";
}

TEST_F(DrainTest, AKernelThatCannotEndConnectionsIsSaidSo) {
    tools_.refuses = EOPNOTSUPP;
    begin(split(50, 50, "idle"));
    open(3, "v2");
    apply(split(100, 0, "idle"));
    ASSERT_TRUE(eventually([&] { return !facts().off.empty(); }));
    EXPECT_THAT(facts().failures, ElementsAre(Pair("not_supported", 3)));
    EXPECT_EQ(tools_.gates, 0) << "a gate that nobody follows up only makes its client wait";
}

TEST_F(DrainTest, WhatEndedIsEndedOnce) {
    tools_.lingers = true;
    begin(split(50, 50, "now"));
    open(3, "v2");
    apply(split(100, 0, "now"));
    ASSERT_TRUE(eventually([&] { return facts().drained_now == 3; }));
    look();
    look();
    EXPECT_EQ(facts().drained_now, 3u);
    EXPECT_EQ(tools_.count_ended(), 3u);
}

TEST_F(DrainTest, AGateThatMayHaveOpenedAgainIsClosedAgain) {
    tools_.slow = 900ms;  // a machine that stands still between closing and ending
    begin(split(50, 50, "idle"));
    open(1, "v2");
    apply(split(100, 0, "idle"));
    ASSERT_TRUE(eventually([&] { return facts().drained_idle == 1; }));
    EXPECT_EQ(tools_.gates, 2);
}

TEST_F(DrainTest, RulesThatAreTakenBackLeaveNoGateClosed) {
    begin(split(50, 50, "idle"));
    const std::uint64_t busy = open(1, "v2", SL_GATE_BUSY);
    apply(split(100, 0, "idle"));
    ASSERT_TRUE(eventually([&] { return facts().waiting == 1; }));
    apply(weights("ranking", 50, 50));
    tools_.answer(busy);
    EXPECT_TRUE(eventually([&] { return tools_.left() == 0; })) << "its next request would wait for nothing";
}

TEST_F(DrainTest, ManyRequestsAreFewPasses) {
    begin(split(50, 50, "idle"));
    open(1000, "v1");
    look();
    const int before = tools_.lists;
    for (int i = 0; i < 10'000; ++i) {
        drainer_->look_at_connections();
    }
    look();
    EXPECT_LT(tools_.lists - before, 500);
}

}  // namespace
}  // namespace sluice::daemon
