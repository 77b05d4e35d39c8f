// The HTTP/1 scanner: a table of messages and of near misses. What it reports is written as text: "H200@42" a head with
// its status (of a request: its enum sl_method) whole after 42 octets, "E@47" the message, "U" and why it is not sure.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bpf/lib/http1.h"

namespace sluice::test {
namespace {

std::string label(unsigned reason) {
    switch (reason) {
#define SL_LABEL(name, number, text, flag, sentence) \
    case SL_REASON_##name:                           \
        return text;
        SL_REASONS(SL_LABEL)
#undef SL_LABEL
        default:
            return "?";
    }
}

enum Side { kRequests, kAnswers, kAnswersToHead };

// Windows end at the given offsets, and where they would be too large.
class Reader {
  public:
    explicit Reader(Side side) : side_(side), window_(new std::uint8_t[SL_HTTP_WINDOW_SPACE]) {}

    void read(std::string_view octets) {
        while (!octets.empty() && !stopped_) {
            const std::size_t length = std::min<std::size_t>(octets.size(), SL_HTTP_WINDOW);
            std::memset(window_.get(), '\n', SL_HTTP_WINDOW_SPACE);  // what lies behind the window must not count
            std::memcpy(window_.get(), octets.data(), length);
            std::uint32_t used = 0;
            const auto found =
                sl_http_scan(&scan_, side_ != kRequests, window_.get(), static_cast<std::uint32_t>(length), &used);
            ASSERT_LE(used, length);
            ASSERT_TRUE(used == length || found != SL_HTTP_MORE);
            octets.remove_prefix(used);
            offset_ += used;
            report(found);
        }
    }
    // Passes over what may be passed over, of `available`.
    std::uint64_t skip(std::uint64_t available) {
        enum sl_http_found found = SL_HTTP_MORE;
        const std::uint64_t skipped = sl_http_skip(&scan_, available, &found);
        offset_ += skipped;
        report(found);
        return skipped;
    }
    bool until_close() const { return scan_.left == SL_HTTP_UNTIL_CLOSE; }
    std::string text() const { return until_close() ? text_ + " C" : text_; }

  private:
    void report(enum sl_http_found found) {
        const std::string at = "@" + std::to_string(offset_);
        if (found == SL_HTTP_UNSURE) {
            say("U " + label(scan_.unsure));
            stopped_ = true;
        }
        if (found == SL_HTTP_HEAD) {
            say("H" + std::to_string(side_ == kRequests ? scan_.method : scan_.status) + at);
            found = sl_http_body(&scan_, side_ != kRequests, side_ == kAnswersToHead);
        }
        if (found == SL_HTTP_END) {
            say("E" + at);
        }
    }
    void say(const std::string& what) { text_ += (text_.empty() ? "" : " ") + what; }

    struct sl_http_state scan_ {};
    Side side_;
    std::unique_ptr<std::uint8_t[]> window_;
    std::size_t offset_ = 0;
    bool stopped_ = false;
    std::string text_;
};

std::string scan(Side side, std::string_view octets, std::vector<std::size_t> splits = {}) {
    Reader reader(side);
    splits.push_back(octets.size());
    std::size_t begin = 0;
    for (const std::size_t end : splits) {
        reader.read(octets.substr(begin, end - begin));
        begin = end;
    }
    return reader.text();
}

// The same answer for every split into two, into three if it is short, and for windows of every size.
void expect(Side side, std::string_view octets, const std::string& expected) {
    SCOPED_TRACE(std::string(octets.substr(0, 120)));
    ASSERT_EQ(scan(side, octets), expected);
    for (std::size_t i = 1; i < octets.size(); ++i) {
        ASSERT_EQ(scan(side, octets, {i}), expected) << "split at " << i;
    }
    for (std::size_t i = 1; octets.size() <= 120 && i < octets.size(); ++i) {
        for (std::size_t j = i + 1; j < octets.size(); ++j) {
            ASSERT_EQ(scan(side, octets, {i, j}), expected) << "split at " << i << " and " << j;
        }
    }
    for (std::size_t size = 1; size <= SL_HTTP_WINDOW; ++size) {
        std::vector<std::size_t> splits;
        for (std::size_t at = size; at < octets.size(); at += size) {
            splits.push_back(at);
        }
        ASSERT_EQ(scan(side, octets, splits), expected) << "windows of " << size;
    }
}

struct Case {
    Side side;
    std::string octets;
    std::string expected;
};

void expect_all(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        expect(c.side, c.octets, c.expected);
    }
}

const std::string kGet = "GET /v1/models/ranker HTTP/1.1\r\nHost: ranker.default.svc\r\nAccept: */*\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

TEST(Http1, RequestsFollowEachOther) {
    const std::string post = "POST /p HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
    expect_all({
        {kRequests, kGet + post + kGet, "H1@73 E@73 H3@112 E@115 H1@188 E@188"},
        {kRequests, "HEAD / HTTP/1.0\r\n\r\n", "H2@19 E@19"},
        {kRequests, "OPTIONS * HTTP/1.1\r\n\r\n", "H6@22 E@22"},
        {kRequests, "CONNECT [::1]:443 HTTP/1.1\r\n\r\n", "H8@30 E@30"},
        {kRequests, "PROPFIND /x?y=%20&z#", "U malformed"},
        {kRequests, "PROPFIND /x?y=%20&z HTTP/1.1\r\n\r\n", "H0@32 E@32"},
        {kRequests, "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" + kGet,
         "H4@47 E@59 H1@132 E@132"},
    });
}

TEST(Http1, EveryMethodIsKnownByItsNumber) {
    const std::vector<std::pair<std::string, int>> methods = {
        {"GET", SL_METHOD_GET},     {"HEAD", SL_METHOD_HEAD},     {"POST", SL_METHOD_POST},
        {"PUT", SL_METHOD_PUT},     {"DELETE", SL_METHOD_DELETE}, {"OPTIONS", SL_METHOD_OPTIONS},
        {"PATCH", SL_METHOD_PATCH}, {"TRACE", SL_METHOD_TRACE},   {"MKCOL", SL_METHOD_OTHER},
    };
    for (const auto& [name, number] : methods) {
        const std::string text = name + " / HTTP/1.1\r\n\r\n";
        const std::string at = "@" + std::to_string(text.size());
        expect(kRequests, text, "H" + std::to_string(number) + at + " E" + at);
        expect(kRequests, "X" + text, "U not_http");
        expect(kRequests, name + "X / HTTP/1.1\r\n\r\n", "U not_http");
    }
}

TEST(Http1, AnswersAreFramedByWhatTheirHeadSays) {
    expect_all({
        {kAnswers, kOk + kOk, "H200@64 E@69 H200@133 E@138"},
        {kAnswers, "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n", "H500@35 E@35"},
        {kAnswers, "HTTP/1.1 200 \r\nContent-Length:\t 007  \r\n\r\n1234567", "H200@41 E@48"},
        {kAnswers, "HTTP/1.1 200 OK\r\n\r\nabc", "H200@19 C"},
        {kAnswers, "HTTP/1.0 503 a\tb \xc3\xa4\r\nServer:\r\n\r\n", "H503@32 C"},
        {kAnswers, "HTTP/1.1 204 No Content\r\n\r\n" + kOk, "H204@27 E@27 H200@91 E@96"},
        {kAnswers, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "H204@46 E@46"},
        {kAnswers, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" + kOk, "H304@48 E@48 H200@112 E@117"},
        {kAnswers, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "H101@59 E@59"},
        {kAnswersToHead, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + kOk.substr(0, 64),
         "H200@38 E@38 H200@102 E@102"},
        {kAnswersToHead, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "H200@47 E@47"},
    });
}

TEST(Http1, ChunksAndTrailersAreFollowed) {
    const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const std::string body = "5\r\nhello\r\n00A\r\n0123456789\r\n1b\r\nabcdefghijklmnopqrstuvwxyz.\r\n0\r\n";
    expect_all({
        {kAnswers, head + body + "\r\n", "H200@47 E@112"},
        {kAnswers, head + body + "X-Sum: 1\r\nETag: \"a\"\r\n\r\n" + kOk, "H200@47 E@133 H200@197 E@202"},
        {kAnswers, "HTTP/1.1 200 OK\r\ntRANSFER-eNCODING:\t cHuNkEd  \r\n\r\n0\r\n\r\n", "H200@50 E@55"},
        {kAnswers, head + body + "Content-Length: 1\r\n\r\n", "H200@47 U malformed"},
        {kAnswers, head + body + "Transfer-Encoding: chunked\r\n\r\n", "H200@47 U malformed"},
        {kAnswers, head + "5;a=b\r\nhello\r\n", "H200@47 U malformed"},
        {kAnswers, head + "5 \r\nhello\r\n", "H200@47 U malformed"},
        {kAnswers, head + "5\nhello\r\n", "H200@47 U malformed"},
        {kAnswers, head + "5\r\nhello!\r\n", "H200@47 U malformed"},
        {kAnswers, head + "5\r\nhello\n", "H200@47 U malformed"},
        {kAnswers, head + "\r\n", "H200@47 U malformed"},
        {kAnswers, head + "-1\r\n", "H200@47 U malformed"},
        {kAnswers, head + "fffffffffffffff\r\n", "H200@47"},
        {kAnswers, head + "0fffffffffffffff\r\n", "H200@47 U malformed"},
    });
}

TEST(Http1, InterimHeadsBelongToTheMessage) {
    const std::string interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n";
    expect(kAnswers, interim + kOk, "H100@25 H103@65 H200@129 E@134");
    expect(kAnswersToHead, interim + "HTTP/1.1 500 \r\n\r\n", "H100@25 H103@65 H500@82 E@82");
}

TEST(Http1, OtherProtocolsAreNamed) {
    expect_all({
        {kRequests, std::string("\x16\x03\x01\x02\x00", 5), "U tls"},
        {kAnswers, std::string("\x16\x03\x03\x00", 4), "U tls"},
        {kRequests, "G\x16", "U not_http"},
        {kRequests, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "U http2"},
        {kRequests, "PRIM * HTTP/2.0\r\n\r\nSM\r\n\r\n", "U not_http"},
        {kRequests, std::string("\0\0\x06\x04", 4), "U not_http"},
        {kRequests, "get / HTTP/1.1\r\n\r\n", "U not_http"},
        {kRequests, " GET / HTTP/1.1\r\n\r\n", "U not_http"},
        {kRequests, "\r\nGET / HTTP/1.1\r\n\r\n", "U not_http"},
        {kRequests, "*3\r\n$3\r\nSET\r\n", "U not_http"},
        {kAnswers, "SSH-2.0-OpenSSH\r\n", "U not_http"},
        {kAnswers, "\r\nHTTP/1.1 200 OK\r\n\r\n", "U not_http"},
        {kAnswers, "HTTP/2.0 200 OK\r\n\r\n", "U not_http"},
        {kAnswers, kOk + "\r\n", "H200@64 E@69 U not_http"},
    });
}

TEST(Http1, FirstLinesMustBeExact) {
    for (const char* line :
         {"GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.2", "GET / HTTP/0.9", "GET / HTTP/2.0", "GET / http/1.1",
          "GET / HTTP/1.1 ", "GET /", "GET / RTSP/1.0", "GET http://a/ HTTP/1.1", "GET a HTTP/1.1", "GET /\t HTTP/1.1",
          "GET /# HTTP/1.1", "GET /\x7f HTTP/1.1", "GET /\xc3\xa4 HTTP/1.1", "CONNECT / HTTP/1.1", "CONNECT  HTTP/1.1",
          "CONNECT u@a:1 HTTP/1.1", "GET / HTTP/1.1\r"}) {
        expect(kRequests, std::string(line) + "\r\n\r\n", "U malformed");
    }
    for (const char* line :
         {"HTTP/1.1  200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 600 OK",
          "HTTP/1.1 2x0 OK", "HTTP/1.2 200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK", "HTTP/1.1 -20 OK",
          "HTTP/1.1 200 O\x01K", "HTTP/1.1 200 OK\r", "HTTP/1.1"}) {
        expect(kAnswers, std::string(line) + "\r\n\r\n", "U malformed");
    }
    expect(kRequests, "GET / HTTP/1.1\n\n", "U malformed");
    expect(kAnswers, "HTTP/1.1 200 OK\n\n", "U malformed");
    expect(kAnswers, "HTTP/1.1 599 \r\n\r\n", "H599@17 C");
}

TEST(Http1, HeaderLinesMustBeExact) {
    for (const char* lines :
         {"A: b\n", "A: b\r\n c\r\n", "A: b\r\n\tc\r\n", ": b\r\n", "A : b\r\n", "A\r\n", "A(: b\r\n",
          "\xc3\xa4: b\r\n", "A\x7f: b\r\n", "A: b\x01\r\n", "A: b\x7f\r\n", "A: b\r\r\n", "A: b\rC: d\r\n",
          " A: b\r\n", "A/b: c\r\n", "A[: c\r\n", "A@: c\r\n", "A{: c\r\n"}) {
        expect(kAnswers, "HTTP/1.1 200 OK\r\n" + std::string(lines) + "\r\n", "U malformed");
        expect(kRequests, "GET / HTTP/1.1\r\n" + std::string(lines) + "\r\n", "U malformed");
    }
    const std::string rare =
        "HTTP/1.1 204 x\r\n!#$%&'*+-.^_`|~09azAZ: \x80\xff\tb: c \r\nC:\r\nT: \r\nContent-Lengthy: x\r\n\r\n";
    const std::string at = "@" + std::to_string(rare.size());
    expect(kAnswers, rare, "H204" + at + " E" + at);
    expect(kAnswers, std::string("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", 24), "U malformed");
}

TEST(Http1, FramingMustBeBeyondDoubt) {
    const std::string five = "Content-Length: 5\r\n";
    const std::string chunked = "Transfer-Encoding: chunked\r\n";
    for (const std::string& lines : {five + five,
                                     five + "content-length:5\r\n",
                                     five + chunked,
                                     chunked + five,
                                     chunked + chunked,
                                     std::string("Content-Length:\r\n"),
                                     std::string("Content-Length: \r\n"),
                                     std::string("Content-Length: +5\r\n"),
                                     std::string("Content-Length: -5\r\n"),
                                     std::string("Content-Length: 5,5\r\n"),
                                     std::string("Content-Length: 5 5\r\n"),
                                     std::string("Content-Length: 0x5\r\n"),
                                     std::string("Content-Length: 5\t\r\n"),
                                     std::string("Content-Length: 5\n"),
                                     std::string("Content-Length: 1000000000000000\r\n"),
                                     std::string("Content-Length: 99999999999999999999999\r\n"),
                                     std::string("Content-Length : 5\r\n"),
                                     std::string("Transfer-Encoding: gzip, chunked\r\n"),
                                     std::string("Transfer-Encoding: chunked, chunked\r\n"),
                                     std::string("Transfer-Encoding: chunke\r\n"),
                                     std::string("Transfer-Encoding: chunkedd\r\n"),
                                     std::string("Transfer-Encoding: identity\r\n"),
                                     std::string("Transfer-Encoding:\r\n"),
                                     std::string("Transfer-Encoding: chunked;q=1\r\n"),
                                     std::string("Transfer-Encoding: chunked\t\r\n"),
                                     std::string("Transfer-Encoding: \"chunked\"\r\n")}) {
        expect(kAnswers, "HTTP/1.1 200 OK\r\n" + lines + "\r\n", "U malformed");
        expect(kRequests, "POST / HTTP/1.1\r\n" + lines + "\r\n", "U malformed");
    }
    for (const char* status : {"100", "103", "204"}) {
        expect(kAnswers, "HTTP/1.1 " + std::string(status) + " x\r\n" + five + "\r\n", "U malformed");
        expect(kAnswers, "HTTP/1.1 " + std::string(status) + " x\r\n" + chunked + "\r\n", "U malformed");
    }
    expect(kRequests, "CONNECT a:1 HTTP/1.1\r\n" + five + "\r\n", "U malformed");
    // Neither are these Content-Length and Transfer-Encoding, nor may CR pass for "-" when case is folded.
    expect(kAnswers, "HTTP/1.1 200 OK\r\nContent_Length: 5\r\nTransfer-Encodin: x\r\n\r\n", "H200@59 C");
    expect(kAnswers, "HTTP/1.1 200 OK\r\nContent\rLength: 5\r\n\r\n", "U malformed");
    expect(kAnswers, "HTTP/1.1 200 OK\r\nTransfer\rEncoding: chunked\r\n\r\n", "U malformed");
    expect(kAnswers, "HTTP/1.1 200 OK\r\nContent-Length\x1a 5\r\n\r\n", "U malformed");
}

TEST(Http1, TheLargestHeadIsFollowedAndOneOctetMoreIsNot) {
    const auto message = [](std::size_t head, const std::string& body) {
        const std::string begin = "HTTP/1.1 204 x\r\nA: ";
        return begin + std::string(head - begin.size() - 4, 'a') + "\r\n\r\n" + body;
    };
    const std::vector<std::vector<std::size_t>> splits = {{}, {1}, {SL_HTTP_HEAD_MAX - 2}, {SL_HTTP_HEAD_MAX}};
    for (const std::vector<std::size_t>& split : splits) {
        EXPECT_EQ(scan(kAnswers, message(SL_HTTP_HEAD_MAX, kOk), split), "H204@65536 E@65536 H200@65600 E@65605");
        EXPECT_EQ(scan(kAnswers, message(SL_HTTP_HEAD_MAX + 1, kOk), split), "U head_too_large");
        // What is wrong beyond the bound is not seen, however it is split.
        std::string wrong = message(SL_HTTP_HEAD_MAX + 9, "");
        wrong[SL_HTTP_HEAD_MAX] = '\x01';
        EXPECT_EQ(scan(kAnswers, wrong, split), "U head_too_large");
        wrong[SL_HTTP_HEAD_MAX - 1] = '\x01';
        EXPECT_EQ(scan(kAnswers, wrong, split), "U malformed");
    }
}

TEST(Http1, TrailersHaveABoundOfTheirOwn) {
    const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
    const auto trailers = [](std::size_t size) { return "A: " + std::string(size - 7, 'a') + "\r\n\r\n"; };
    EXPECT_EQ(scan(kAnswers, head + trailers(SL_HTTP_HEAD_MAX)), "H200@47 E@" + std::to_string(SL_HTTP_HEAD_MAX + 56));
    EXPECT_EQ(scan(kAnswers, head + trailers(SL_HTTP_HEAD_MAX + 1)), "H200@47 U head_too_large");
}

TEST(Http1, BodiesArePassedOverUnseen) {
    Reader reader(kAnswers);
    EXPECT_EQ(reader.skip(10), 0u);
    reader.read("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nab");
    EXPECT_EQ(reader.skip(999'999'999'000), 999'999'999'000u);
    EXPECT_EQ(reader.skip(5000), 998u);
    EXPECT_EQ(reader.skip(5000), 0u);
    reader.read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT_EQ(reader.skip(10), 0u);
    reader.read("a\r\n");
    EXPECT_EQ(reader.skip(4), 4u);
    EXPECT_EQ(reader.skip(100), 6u);
    EXPECT_EQ(reader.skip(100), 0u);
    reader.read("\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    EXPECT_TRUE(reader.until_close());
    EXPECT_EQ(reader.skip(1ull << 40), 1ull << 40);
    EXPECT_TRUE(reader.until_close());
    EXPECT_EQ(reader.text(), "H200@50 E@1000000000050 H200@1000000000097 E@1000000000117 H200@1000000000136 C");
}

TEST(Http1, UnsureIsTheLastWord) {
    Reader reader(kRequests);
    struct sl_http_state state {};
    std::uint8_t window[SL_HTTP_WINDOW_SPACE] = "get / HTTP/1.1\r\n\r\n";
    std::uint32_t used = 0;
    EXPECT_EQ(sl_http_scan(&state, 0, window, 18, &used), SL_HTTP_UNSURE);
    std::memcpy(window, kGet.data(), kGet.size());
    EXPECT_EQ(sl_http_scan(&state, 0, window, static_cast<std::uint32_t>(kGet.size()), &used), SL_HTTP_UNSURE);
    EXPECT_EQ(used, 0u);
    EXPECT_EQ(state.unsure, SL_REASON_UNOBSERVED_NOT_HTTP);
}

TEST(Http1, AScanAfterAHeadWithoutABodyDecisionIsUnsure) {
    struct sl_http_state state {};
    std::uint8_t window[SL_HTTP_WINDOW_SPACE] = "GET / HTTP/1.1\r\n\r\n";
    std::uint32_t used = 0;
    EXPECT_EQ(sl_http_scan(&state, 0, window, 18, &used), SL_HTTP_HEAD);
    EXPECT_EQ(sl_http_scan(&state, 0, window, 18, &used), SL_HTTP_UNSURE);
}

}  // namespace
}  // namespace sluice::test
