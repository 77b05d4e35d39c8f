#include "proxy/counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "records.h"

namespace sluice::proxy {
namespace {

using telemetry::ProxiedCount;
using telemetry::ProxiedRow;
using Side = telemetry::ProxiedLabels::Side;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class CountersTest : public testing::Test {
  protected:
    telemetry::Reading read() const {
        telemetry::Reading reading;
        counters.read(reading);
        return reading;
    }
    // Of each row: side, version, status, flags, count.
    std::vector<std::string> rows() const {
        std::vector<std::string> out;
        for (const ProxiedRow& row : read().proxied) {
            const char* side = row.side == Side::kSource        ? "source"
                               : row.side == Side::kDestination ? "destination"
                                                                : "mirror";
            out.push_back(std::string(side) + " " + (row.to == nullptr ? "-" : row.to->version) + " " +
                          std::to_string(row.status) + " " + row.flags + " " + std::to_string(row.counts.requests));
        }
        return out;
    }

    test::Records made;
    ClusterPtr v45 = made.cluster("v45"), v47 = made.cluster("v47");
    Counters counters{made.tables()};
};

TEST_F(CountersTest, RequestsWithTheSameLabelsShareARow) {
    counters.finished(made.record(v45, 0, 200));
    counters.finished(made.record(v45, 0, 200));
    counters.finished(made.record(v45, 0, 503));
    counters.finished(made.record(v47, 1, 200));
    counters.finished(made.record(v47, 1, 200, bit(Flag::kDelayInjected)));
    EXPECT_THAT(rows(), UnorderedElementsAre("source v45 200 - 2", "source v45 503 - 1", "source v47 200 - 1",
                                             "source v47 200 DI 1"));
}

TEST_F(CountersTest, ARowSaysWhoAskedWhomAndWhatItTook) {
    counters.finished(made.record(v45, 0, 200));
    const telemetry::Reading reading = read();
    ASSERT_THAT(reading.proxied, SizeIs(1));
    const ProxiedRow& row = reading.proxied.front();
    EXPECT_EQ(row.from->name, "gateway");
    EXPECT_EQ(row.to->name, "ranker-v45");
    EXPECT_EQ(row.service, (telemetry::ServiceNames{"ranker.ml.svc.cluster.local", "ranker", "ml", "8080", "v45", ""}));
    EXPECT_EQ(row.cluster, v45->model().id);
    EXPECT_FALSE(row.grpc);
    EXPECT_EQ(row.counts.duration_ns, 7'000'000u);
    EXPECT_EQ(row.counts.duration[3], 1u) << "7 ms is in the bucket up to 10";
    EXPECT_EQ(row.counts.first_byte_ns, 3'000'000u);
    EXPECT_EQ(row.counts.first_byte[2], 1u) << "3 ms is in the bucket up to 5";
    EXPECT_EQ(row.counts.request_bytes, 300u);
    EXPECT_EQ(row.counts.request_size[8], 1u) << "300 is in the bucket up to 500";
    EXPECT_EQ(row.counts.response_bytes, 2000u);
    EXPECT_EQ(row.counts.response_size[10], 1u) << "2000 is in the bucket up to 2500";
}

TEST_F(CountersTest, WithoutAnAnswerThereIsNoFirstByte) {
    counters.finished(made.record(v45, 0, 0, bit(Flag::kDownstreamConnectionTermination)));
    const telemetry::Reading reading = read();
    EXPECT_EQ(reading.proxied.front().counts.first_byte_ns, 0u);
    EXPECT_EQ(std::reduce(std::begin(reading.proxied.front().counts.first_byte),
                          std::end(reading.proxied.front().counts.first_byte)),
              0u);
    EXPECT_THAT(rows(), UnorderedElementsAre("source v45 0 DC 1"));
}

TEST_F(CountersTest, WhatReachedNoEndpointIsCountedForItsService) {
    Record unrouted = made.record(nullptr, SL_NONE, 404, bit(Flag::kNoRoute));
    unrouted.rule = nullptr;
    counters.finished(unrouted);
    counters.finished(made.record(nullptr, SL_NONE, 503, bit(Flag::kNoCluster)));
    counters.finished(made.record(v47, SL_NONE, 503, bit(Flag::kNoHealthyUpstream)));
    unrouted.host = nullptr;  // a Host that nobody has
    counters.finished(unrouted);
    EXPECT_THAT(rows(), UnorderedElementsAre("source - 404 NR 1", "source - 503 NC 1", "source - 503 UH 1",
                                             "source - 404 NR 1"));
    const telemetry::Reading reading = read();
    for (const ProxiedRow& row : reading.proxied) {
        const bool unknown = row.service.host.empty();
        EXPECT_EQ(row.service.port, unknown ? "" : "8080") << row.flags;
        EXPECT_EQ(row.service.subset, row.flags == "UH" ? "v47" : "") << row.flags;
        EXPECT_EQ(row.cluster, row.flags == "UH" ? v47->model().id : Identity{}) << row.flags;
    }
}

// What a proxy at the endpoint would have answered for its application, and seen of its client.
TEST_F(CountersTest, TriesAreToldAsTheEndpointsSideSeesThem) {
    counters.tried(made.tried(v45, 0, 200));
    counters.tried(made.tried(v45, 0, 500));
    counters.tried(made.tried(v45, 0, 0, bit(Flag::kUpstreamConnectionFailure)));
    counters.tried(made.tried(v45, 0, 0, bit(Flag::kUpstreamConnectionTermination)));
    counters.tried(made.tried(v45, 0, 200, bit(Flag::kUpstreamConnectionTermination)));
    counters.tried(made.tried(v45, 0, 0, bit(Flag::kUpstreamProtocolError)));
    counters.tried(made.tried(v45, 0, 0, bit(Flag::kUpstreamRequestTimeout)));
    counters.tried(made.tried(v45, 0, 0, bit(Flag::kDownstreamConnectionTermination)));
    counters.tried(made.tried(v45, SL_NONE, 0, bit(Flag::kNoHealthyUpstream)));
    EXPECT_THAT(rows(),
                UnorderedElementsAre("destination v45 200 - 1", "destination v45 500 - 1", "destination v45 503 UF 1",
                                     "destination v45 503 UC 1", "destination v45 200 UC 1",
                                     "destination v45 502 UPE 1", "destination v45 0 DC 2"));
}

TEST_F(CountersTest, CopiesAreCountedApartAsTheyEnded) {
    TryRecord copy = made.tried(v47, 1, 200);
    copy.mirror = true;
    counters.tried(copy);
    copy.status = 0;
    copy.flags = bit(Flag::kUpstreamRequestTimeout);
    counters.tried(copy);
    EXPECT_THAT(rows(), UnorderedElementsAre("mirror v47 200 - 1", "mirror v47 0 UT 1"));
}

TEST_F(CountersTest, AGrpcStatusIsThatOfTheAnswerOrWhatItsHttpStatusMeans) {
    struct Case {
        int status, told;
        std::string label;
    };
    for (const Case& c : {Case{200, 0, "0"}, Case{200, 14, "14"}, Case{200, 16, "16"}, Case{200, 17, "2"},
                          Case{200, 99999, "2"}, Case{200, -1, "2"}, Case{400, -1, "13"}, Case{401, -1, "16"},
                          Case{403, -1, "7"}, Case{404, -1, "12"}, Case{503, -1, "14"}, Case{0, -1, ""}}) {
        Counters fresh(made.tables());
        Record record = made.record(v45, 0, c.status);
        record.grpc = true;
        record.grpc_status = c.told;
        fresh.finished(record);
        telemetry::Reading reading;
        fresh.read(reading);
        EXPECT_TRUE(reading.proxied.front().grpc);
        EXPECT_EQ(reading.proxied.front().grpc_status, c.label) << c.status << " " << c.told;
    }
    counters.finished(made.record(v45, 0, 200));
    EXPECT_EQ(read().proxied.front().grpc_status, "");
}

// The publisher gives a number to another workload when the first is gone.
TEST_F(CountersTest, AWorkloadsNumberThatIsUsedAgainMakesANewRow) {
    counters.finished(made.record(v45, 0, 200));
    made.service.cluster("v45")->endpoints.front().workload = test::workload("ranker-v48", "v48");
    const ClusterPtr next = made.cluster("v45");
    counters.finished(made.record(next, 0, 200));
    counters.finished(made.record(next, 0, 200));
    counters.finished(made.record(v45, 0, 200));  // began before the change
    EXPECT_THAT(rows(), UnorderedElementsAre("source v45 200 - 2", "source v48 200 - 2"));
    made.service.cluster("v45")->endpoints.front().workload = test::workload("ranker-v45", "v45");
    counters.finished(made.record(made.cluster("v45"), 0, 200));
    EXPECT_THAT(rows(), UnorderedElementsAre("source v45 200 - 3", "source v48 200 - 2"));
}

TEST_F(CountersTest, BeyondItsRoomEverythingIsCountedInOneRowASide) {
    Record record = made.record(v45, 0, 200);
    TryRecord tried = made.tried(v45, 0, 200);
    for (std::size_t i = 0; i < Counters::kRowsMax + 100; ++i) {
        record.flags = static_cast<std::uint32_t>(i);
        counters.finished(record);
    }
    tried.flags = bit(Flag::kFaultInjected);
    counters.tried(tried);
    record.flags = 5;
    counters.finished(record);  // has its row
    const telemetry::Reading reading = read();
    EXPECT_LE(reading.proxied.size(), Counters::kRowsMax);
    std::uint64_t sum = 0, others = 0;
    for (const ProxiedRow& row : reading.proxied) {
        sum += row.counts.requests;
        others += row.other ? row.counts.requests : 0;
        EXPECT_TRUE(!row.other || row.to == nullptr);
    }
    EXPECT_EQ(sum, Counters::kRowsMax + 102) << "nothing is lost";
    EXPECT_EQ(others, 104u);
}

TEST_F(CountersTest, RefusalsAndSkippedCopiesAreCountedByReason) {
    const auto host = made.host();
    counters.refused(nullptr, "header_timeout");
    counters.refused(nullptr, std::string("header_timeout").c_str());  // the text counts, not where it stands
    counters.refused(nullptr, "connections");
    counters.mirror_skipped(*host, v47.get(), "body");
    counters.mirror_skipped(*host, nullptr, "cluster_not_found");
    std::vector<std::string> out;
    const telemetry::Reading reading = read();
    for (const ProxiedCount& row : reading.proxied_counts) {
        out.push_back((row.what == ProxiedCount::What::kRefused ? "refused " : "skipped ") + row.service.host + "/" +
                      row.service.subset + " " + row.reason + " " + std::to_string(row.count));
    }
    EXPECT_THAT(out, UnorderedElementsAre("refused / header_timeout 2", "refused / connections 1",
                                          "skipped ranker.ml.svc.cluster.local/v47 body 1",
                                          "skipped ranker.ml.svc.cluster.local/ cluster_not_found 1"));
}

// One thread counts, another reads: what was read is never torn and never goes back (and tsan sees no race).
TEST_F(CountersTest, AnotherThreadReadsWhileTheWorkerCounts) {
    constexpr std::uint64_t kRequests = 20'000;
    std::atomic<bool> done{false};
    std::uint64_t before = 0, reads = 0;
    std::thread reader([&] {
        for (bool last = false; !last; ++reads) {
            last = done.load();
            std::uint64_t sum = 0;
            const telemetry::Reading reading = read();
            for (const ProxiedRow& row : reading.proxied) {
                sum += row.counts.requests;
                EXPECT_FALSE(row.service.host.empty());
            }
            EXPECT_GE(sum, before);
            before = sum;
        }
    });
    Record record = made.record(v45, 0, 200);
    for (std::uint64_t i = 0; i < kRequests; ++i) {
        record.status = static_cast<int>(200 + i % 300);
        counters.finished(record);
        counters.refused(nullptr, i % 2 == 0 ? "connections" : "accept");
    }
    done = true;
    reader.join();
    EXPECT_EQ(before, kRequests);
    EXPECT_GT(reads, 1u);
}

TEST_F(CountersTest, NothingIsShownBeforeTheFirstRequest) {
    EXPECT_THAT(rows(), IsEmpty());
    EXPECT_THAT(read().proxied_counts, IsEmpty());
}

}  // namespace
}  // namespace sluice::proxy
