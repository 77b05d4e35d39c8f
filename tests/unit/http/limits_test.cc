// Messages at their limits, and one octet beyond, whole and octet by octet.
#include <gtest/gtest.h>

#include "tests/unit/http/reading.h"

namespace sluice::http {
namespace {

std::string outcome(bool request, const std::string& octets, const Limits& limits = {}) {
    const std::string whole = read(request, octets, limits).outcome;
    EXPECT_EQ(read(
                  request, octets, [] { return 1; }, limits)
                  .outcome,
              whole);
    return whole;
}

std::string repeat(std::size_t count, char octet = 'a') {
    return std::string(count, octet);
}

TEST(Limits, Head) {
    const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    const std::size_t room = 60 * 1024 - begin.size() - 4;
    EXPECT_EQ(outcome(true, begin + repeat(room) + "\r\n\r\n"), "ok");
    EXPECT_EQ(outcome(true, begin + repeat(room + 1) + "\r\n\r\n"), "head_too_large");
    const std::string answer = "HTTP/1.1 200 OK\r\nX: ";
    EXPECT_EQ(outcome(false, answer + repeat(60 * 1024)), "head_too_large");
    // An empty line before it is not a part of the head.
    EXPECT_EQ(outcome(true, "\r\n" + begin + repeat(room) + "\r\n\r\n"), "ok");
}

TEST(Limits, FirstLine) {
    const std::string begin = "GET /", end = " HTTP/1.1\r\n";
    const std::size_t room = 16 * 1024 - begin.size() - end.size();
    EXPECT_EQ(outcome(true, begin + repeat(room) + end + "Host: a\r\n\r\n"), "ok");
    EXPECT_EQ(outcome(true, begin + repeat(room + 1) + end + "Host: a\r\n\r\n"), "line_too_long");
    EXPECT_EQ(outcome(false, "HTTP/1.1 200 " + repeat(16 * 1024)), "line_too_long");
}

TEST(Limits, Fields) {
    const Limits limits{.fields = 3};
    const std::string begin = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    EXPECT_EQ(outcome(true, begin + "A: 1\r\n\r\n0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits), "ok");
    EXPECT_EQ(outcome(true, begin + "A: 1\r\nB: 2\r\n\r\n", limits), "too_many_fields");
    EXPECT_EQ(outcome(true, begin + "\r\n0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", limits), "too_many_fields");
}

TEST(Limits, Trailers) {
    const Limits limits{.head_octets = 100};
    const std::string begin = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ";
    EXPECT_EQ(outcome(true, begin + repeat(93) + "\r\n\r\n", limits), "ok");
    EXPECT_EQ(outcome(true, begin + repeat(94) + "\r\n\r\n", limits), "head_too_large");
}

TEST(Limits, ChunkLine) {
    const std::string begin = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    EXPECT_EQ(outcome(true, begin + "1;" + repeat(1020) + "\r\nx\r\n0\r\n\r\n"), "ok");
    EXPECT_EQ(outcome(true, begin + "1;" + repeat(1021) + "\r\nx\r\n0\r\n\r\n"), "bad_framing");
    EXPECT_EQ(outcome(true, begin + "1\r\nx\r\n0;" + repeat(1018) + "\r\n\r\n"), "ok");
    EXPECT_EQ(outcome(true, begin + "1\r\nx\r\n0;" + repeat(1019) + "\r\n\r\n"), "bad_framing");
}

TEST(Refusals, HaveNamesAndStatuses) {
    for (int i = 0; i <= static_cast<int>(Refusal::kTooEarlyEnd); ++i) {
        EXPECT_STRNE(refusal_name(static_cast<Refusal>(i)), "");
    }
    EXPECT_EQ(refusal_status(Refusal::kMalformed), 400);
    EXPECT_EQ(refusal_status(Refusal::kHeadTooLarge), 431);
    EXPECT_EQ(refusal_status(Refusal::kTooManyFields), 431);
    EXPECT_EQ(refusal_status(Refusal::kLineTooLong), 414);
    EXPECT_EQ(refusal_status(Refusal::kBadHost), 400);
    EXPECT_EQ(refusal_status(Refusal::kBadFraming), 400);
    EXPECT_EQ(refusal_status(Refusal::kBadCoding), 501);
    EXPECT_EQ(refusal_status(Refusal::kBadVersion), 505);
    EXPECT_EQ(refusal_status(Refusal::kBadMethod), 501);
}

}  // namespace
}  // namespace sluice::http
