// Counters, samples and access log of workers as one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include "proxy/recorders.h"
#include "records.h"

namespace sluice::proxy {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class RecordersTest : public testing::Test {
  protected:
    // Somebody asks for samples until then, of the clock of the records (which end at 1.007 s).
    void ask_until(std::uint64_t ns) { sl_store(&made.tables().control->sample_until_ns, ns); }
    static std::vector<Sample> taken(const Sampler& sampler) {
        std::vector<Sample> out;
        sampler.take([&](const Sample& sample) { out.push_back(sample); });
        return out;
    }

    test::Records made;
    ClusterPtr v47 = made.cluster("v47");
};

TEST_F(RecordersTest, OnlyWhatEndsWhileSomebodyAsksIsSampled) {
    Sampler sampler(made.tables());
    sampler.finished(made.record(v47, 1, 200));
    ask_until(1'007'000'000);
    sampler.finished(made.record(v47, 1, 200));
    EXPECT_THAT(taken(sampler), SizeIs(0));
    ask_until(1'007'000'001);
    sampler.finished(made.record(v47, 1, 503, bit(Flag::kUpstreamOverflow)));
    const auto samples = taken(sampler);
    ASSERT_THAT(samples, SizeIs(1));
    EXPECT_EQ(samples[0].seen.status, 503);
    EXPECT_EQ(samples[0].flags, bit(Flag::kUpstreamOverflow));
    EXPECT_THAT(taken(sampler), SizeIs(0)) << "each is taken once";
}

TEST_F(RecordersTest, ASampleSaysWhatTheProxyKnows) {
    Sampler sampler(made.tables());
    ask_until(UINT64_MAX);
    Record record = made.record(v47, 1, 200);
    record.attempts = 2;
    record.details = "via_upstream";
    sampler.finished(record);
    record.cluster = nullptr;
    record.endpoint = SL_NONE;
    record.host = nullptr;
    record.rule = nullptr;
    record.first_byte_ns = 0;
    const std::string long_method(40, 'M');
    made.head.method = long_method;
    sampler.finished(record);
    const auto samples = taken(sampler);
    ASSERT_THAT(samples, SizeIs(2));
    const Sample& one = samples[0];
    EXPECT_TRUE(one.proxied);
    EXPECT_EQ(one.seen.time_ns, 1'007'000'000u);
    EXPECT_EQ(one.seen.duration_ns, 7'000'000u);
    EXPECT_EQ(one.seen.first_byte_ns, 3'000'000u);
    EXPECT_EQ(one.seen.request_bytes, 300u);
    EXPECT_EQ(one.seen.response_bytes, 2000u);
    EXPECT_EQ(one.seen.cluster, 1u);
    EXPECT_EQ(one.seen.endpoint, 1u);
    EXPECT_EQ(one.seen.destination_workload, 101u);
    EXPECT_STREQ(one.host.data(), "ranker.ml.svc.cluster.local");
    EXPECT_EQ(one.port, 8080u);
    EXPECT_EQ(one.attempts, 2u);
    EXPECT_STREQ(one.client.data(), "ml/gateway");
    EXPECT_STREQ(one.method.data(), "POST");
    EXPECT_STREQ(one.route.data(), "split");
    EXPECT_STREQ(one.details.data(), "via_upstream");
    EXPECT_EQ(samples[1].seen.cluster, SL_NONE);
    EXPECT_EQ(samples[1].port, 0u);
    EXPECT_EQ(samples[1].seen.first_byte_ns, 0u);
    EXPECT_STREQ(samples[1].route.data(), "");
    EXPECT_EQ(samples[1].method.data(), std::string(15, 'M')) << "cut off";
}

TEST_F(RecordersTest, WhatFindsTheRingFullIsLostAndCounted) {
    Sampler sampler(made.tables());
    ask_until(UINT64_MAX);
    for (std::size_t i = 0; i < Sampler::kSamples + 10; ++i) {
        sampler.finished(made.record(v47, 1, static_cast<int>(200 + i % 100)));
    }
    EXPECT_EQ(sampler.lost(), 10u);
    const auto samples = taken(sampler);
    ASSERT_THAT(samples, SizeIs(Sampler::kSamples));
    for (std::size_t i = 0; i < samples.size(); ++i) {
        ASSERT_EQ(samples[i].seen.status, 200 + i % 100);
    }
    sampler.finished(made.record(v47, 1, 200));
    EXPECT_THAT(taken(sampler), SizeIs(1)) << "there is room again";
}

TEST_F(RecordersTest, AnotherThreadTakesWhileTheWorkerSamples) {
    constexpr std::uint64_t kRequests = 50'000;
    Sampler sampler(made.tables());
    ask_until(UINT64_MAX);
    std::atomic<bool> done{false};
    std::uint64_t seen = 0, newest = 0;
    std::thread reader([&] {
        for (bool last = false; !last;) {
            last = done.load();
            sampler.take([&](const Sample& sample) {
                ++seen;
                EXPECT_GT(sample.seen.request_bytes, newest) << "in order";
                newest = sample.seen.request_bytes;
            });
        }
    });
    Record record = made.record(v47, 1, 200);
    for (std::uint64_t i = 1; i <= kRequests; ++i) {
        record.request_bytes = i;
        sampler.finished(record);
    }
    done = true;
    reader.join();
    EXPECT_EQ(seen + sampler.lost(), kRequests);
}

TEST_F(RecordersTest, EachWorkersRequestsAreCountedLoggedAndSampled) {
    const std::string path = testing::TempDir() + "sluice-recorders-" + std::to_string(::getpid()) + ".log";
    auto all = Recorders::open({.path = path}, made.tables());
    ASSERT_TRUE(all.has_value()) << all.error().text();
    std::vector<std::unique_ptr<Recorder>> workers;
    workers.push_back((*all)->recorder());
    workers.push_back((*all)->recorder());
    ask_until(UINT64_MAX);
    for (auto& worker : workers) {
        worker->finished(made.record(v47, 1, 200));
        worker->tried(made.tried(v47, 1, 200));
        worker->refused(nullptr, "connections");
        worker->mirror_skipped(*made.host(), v47.get(), "body");
    }
    telemetry::Reading reading;
    (*all)->read(reading);
    EXPECT_THAT(reading.proxied, SizeIs(4)) << "source and destination of each worker";
    EXPECT_THAT(reading.proxied_counts, SizeIs(4 + 4)) << "and what logs and samples dropped: none";
    std::uint64_t visited = 0;
    (*all)->visit(
        [&](const telemetry::ProxiedLabels&, const sl_request_counts& counts) { visited += counts.requests; });
    EXPECT_EQ(visited, 4u);
    std::vector<int> statuses;
    (*all)->take_samples([&](const Sample& sample) { statuses.push_back(sample.seen.status); });
    EXPECT_THAT(statuses, ElementsAre(200, 200));
    EXPECT_EQ((*all)->samples_lost(), 0u);
    workers.clear();
    all->reset();
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    EXPECT_EQ(std::ranges::count(text.str(), '\n'), 2);
    ::unlink(path.c_str());
}

TEST_F(RecordersTest, WithoutALogThereIsNothingToReopenAndABadPathIsAnError) {
    auto none = Recorders::open({}, made.tables());
    ASSERT_TRUE(none.has_value());
    EXPECT_TRUE((*none)->reopen_logs().has_value());
    const auto bad = Recorders::open({.path = "/nonexistent/access.log"}, made.tables());
    ASSERT_FALSE(bad.has_value());
    EXPECT_THAT(bad.error().text(), testing::HasSubstr("/nonexistent/access.log"));
}

}  // namespace
}  // namespace sluice::proxy
