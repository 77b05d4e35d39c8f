// When a request is counted, as whole or as cut short, and when a connection is given up.
#include <gtest/gtest.h>

#include "watch.h"

namespace sluice::test {
namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const std::string kHead = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";

// A request that has left, at sequence numbers that wrap on the way.
struct Asked : Watch {
    std::uint32_t rcv = 0xfffffff0u;
    Asked() : Watch(0xfffffffeu, 0xfffffff0u) { sent(0xfffffffeu, kGet); }
    void at(std::size_t offset, const std::string& bytes, bool fin = false) {
        received(rcv + static_cast<std::uint32_t>(offset), bytes, fin);
    }
};

TEST(Stream, AnAnswerIsWholeWhenItsHolesAreFilled) {
    Asked w;
    w.at(0, kHead);
    w.at(kHead.size() + 60, std::string(40, 'b'));
    EXPECT_TRUE(w.counted.empty());
    w.at(kHead.size() + 20, std::string(10, 'b'));
    w.at(kHead.size(), std::string(25, 'b'));
    EXPECT_TRUE(w.counted.empty());
    w.at(kHead.size() + 25, std::string(35, 'b'));
    EXPECT_EQ((std::vector<Counted>{{200, SL_REASON_NONE, kGet.size(), kHead.size() + 100, SL_METHOD_GET}}), w.counted);
}

TEST(Stream, AnAnswerWhoseHoleIsNeverFilledWasCutShort) {
    Asked w;
    w.at(0, kHead);
    w.at(kHead.size() + 60, std::string(40, 'b'));
    w.ends(SL_REASON_UPSTREAM_CLOSED);
    ASSERT_EQ(1u, w.counted.size());
    EXPECT_EQ(SL_REASON_UPSTREAM_CLOSED, w.counted[0].reason);
    EXPECT_EQ(200, w.counted[0].status);
}

TEST(Stream, AnAnswerUntilCloseIsWholeWhenTheFinAndAllBeforeItCame) {
    const std::string head = "HTTP/1.1 200 OK\r\n\r\n";
    Asked w;
    w.at(0, head + "some");
    w.at(head.size() + 8, "", true);
    EXPECT_TRUE(w.counted.empty());
    w.at(head.size() + 4, "more");
    EXPECT_EQ((std::vector<Counted>{{200, SL_REASON_NONE, kGet.size(), head.size() + 8, SL_METHOD_GET}}), w.counted);
}

TEST(Stream, AFinBeforeTheEndIsTheEndpointsDoing) {
    Asked w;
    w.at(0, kHead + "some", true);
    ASSERT_EQ(1u, w.counted.size());
    EXPECT_EQ(SL_REASON_UPSTREAM_CLOSED, w.counted[0].reason);
}

TEST(Stream, AnUploadThatGoesOnAfterTheEndpointHasGoneIsOneRequest) {
    const std::string post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
    Watch w(1, 1);
    w.sent(1, post + "some");
    w.received(1, "", true);
    w.sent(1 + static_cast<std::uint32_t>(post.size()) + 4, "octets");
    w.ends(SL_REASON_UPSTREAM_CLOSED);
    EXPECT_EQ((std::vector<Counted>{{0, SL_REASON_UPSTREAM_CLOSED, post.size() + 4, 0, SL_METHOD_POST}}), w.counted);
}

TEST(Stream, EarlyOctetsThatMustBeReadAreKeptHoweverTheyOverlap) {
    const std::string answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    Asked w;
    const auto part = [&](std::size_t from, std::size_t to) { w.at(from, answer.substr(from, to - from)); };
    part(30, 50);
    part(40, 60);
    part(35, 45);
    part(60, answer.size());
    EXPECT_TRUE(w.counted.empty());
    part(0, 32);
    EXPECT_EQ((std::vector<Counted>{{200, SL_REASON_NONE, kGet.size(), answer.size(), SL_METHOD_GET}}), w.counted);
}

TEST(Stream, TwoRunsOfEarlyOctetsAreKeptAndJoined) {
    const std::string size = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30D40\r\n";
    const std::string answer = size + std::string(200'000, 'c') + "\r\n1\r\nx\r\n0\r\n\r\n";
    Asked w;
    const auto part = [&](std::size_t from, std::size_t to) { w.at(from, answer.substr(from, to - from)); };
    part(60'000, 120'000);
    part(180'000, answer.size());
    part(120'000, 180'000);
    part(50'000, 60'000);
    EXPECT_TRUE(w.counted.empty());
    part(0, 50'000);
    EXPECT_EQ((std::vector<Counted>{{200, SL_REASON_NONE, kGet.size(), answer.size(), SL_METHOD_GET}}), w.counted);
}

TEST(Stream, OctetsThatNobodyKeptAreMissedByName) {
    stashes = 0;
    Asked w;
    w.at(10, kHead.substr(10));
    EXPECT_EQ(SL_REASON_NONE, static_cast<int>(w.left_for));
    w.at(0, kHead.substr(0, 10));
    EXPECT_EQ(SL_REASON_UNOBSERVED_GAP, static_cast<int>(w.left_for));
    EXPECT_TRUE(w.counted.empty());
    stashes = SL_STASHES;
}

TEST(Stream, AStashThatWasTakenOverIsMissedByName) {
    stashes = 1;
    Asked w;
    w.at(10, kHead.substr(10));
    Asked other;
    other.now += SL_STASH_NS;
    other.at(10, kHead.substr(10));
    w.at(0, kHead.substr(0, 10));
    EXPECT_EQ(SL_REASON_UNOBSERVED_GAP, static_cast<int>(w.left_for));
    other.at(0, kHead.substr(0, 10));
    EXPECT_EQ(SL_REASON_NONE, static_cast<int>(other.left_for));
    other.at(kHead.size(), std::string(100, 'b'));
    EXPECT_EQ(1u, other.counted.size());
    stashes = SL_STASHES;
}

TEST(Stream, AStatusIsToldWhenItsHeadIsWholeAndOnlyThen) {
    Asked w;
    w.at(0, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Un");
    EXPECT_TRUE(w.statuses.empty());
    w.at(40, "available\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(std::vector<int>{503}, w.statuses);
    EXPECT_TRUE(w.counted.empty());
}

TEST(Stream, ARequestBeforeTheAnswerIsPipelining) {
    Asked w;
    w.sent(0xfffffffeu + static_cast<std::uint32_t>(kGet.size()), kGet);
    EXPECT_EQ(SL_REASON_UNOBSERVED_PIPELINED, static_cast<int>(w.left_for));
}

TEST(Stream, AnAnswerWithoutRequestIsUnasked) {
    Watch w(1, 1);
    w.received(1, kHead);
    EXPECT_EQ(SL_REASON_UNOBSERVED_UNASKED, static_cast<int>(w.left_for));
}

TEST(Stream, ARequestBehindAClosedGateIsHeldBackAndLeavesNoTrace) {
    Watch w(1, 1);
    sl_gate_want(&w.stream->gate, &w.stream->closed_ns, 0, w.now);
    w.sent(1, kGet);
    EXPECT_TRUE(w.held);
    w.now += SL_GATE_NS;
    w.sent(1, kGet);
    EXPECT_FALSE(w.held);
    w.received(1, kHead + std::string(100, 'b'));
    EXPECT_EQ(1u, w.counted.size());
}

}  // namespace
}  // namespace sluice::test
