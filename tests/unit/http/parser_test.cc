// What the parsers tell of well-formed messages.
#include "http/parser.h"

#include <gtest/gtest.h>

#include "tests/unit/http/allocations.h"
#include "tests/unit/http/reading.h"

namespace sluice::http {
namespace {

constexpr std::string_view kPost =
    "POST /v1/models/ranker:predict?debug=1&k=a%20b HTTP/1.1\r\nHost: ranker:8080\r\nContent-Type: application/json\r\n"
    "Accept: a\r\nX-Empty:\r\nAccept:  b \t\r\nContent-Length: 5\r\n\r\nhello";
constexpr std::string_view kChunked =
    "POST /stream HTTP/1.1\r\nHost: ranker\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive, X-Hop\r\nX-Hop: "
    "1\r\n\r\n"
    "5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\nX-Sum: 11\r\nConnection: close\r\n\r\n";

// The head of the first message, which must be accepted.
template <typename Parser, typename AnyHead>
void parse(Parser& parser, AnyHead& head, std::string_view octets) {
    const Step step = parser.next(head, octets);
    ASSERT_EQ(step.event, Event::kHead) << refusal_name(parser.refusal()) << ": " << octets;
}

RequestHead& request(std::string_view octets) {
    static RequestHead head;
    RequestParser parser;
    head.clear();
    parse(parser, head, octets);
    return head;
}

ResponseHead& response(std::string_view octets, bool head_request = false, bool connect_request = false) {
    static ResponseHead head;
    ResponseParser parser;
    parser.expect(head_request, connect_request);
    head.clear();
    parse(parser, head, octets);
    return head;
}

TEST(Request, HeadHasEverything) {
    const RequestHead& head = request(kPost);
    EXPECT_EQ(head.method, "POST");
    EXPECT_EQ(head.target, "/v1/models/ranker:predict?debug=1&k=a%20b");
    EXPECT_EQ(head.path, "/v1/models/ranker:predict");
    EXPECT_TRUE(head.has_query);
    EXPECT_EQ(head.query, "debug=1&k=a%20b");
    EXPECT_EQ(head.scheme, "");
    EXPECT_EQ(head.authority, "ranker:8080");
    EXPECT_EQ(head.minor, 1);
    EXPECT_EQ(head.framing, Framing::kLength);
    EXPECT_EQ(head.length, 5u);
    EXPECT_EQ(head.octets, kPost.size() - 5);
    EXPECT_TRUE(head.keep_alive);
    EXPECT_FALSE(head.upgrade);
    ASSERT_EQ(head.fields.size(), 6u);
    EXPECT_EQ(head.fields[3].name, "X-Empty");
    EXPECT_EQ(head.fields[3].value, "");
    EXPECT_EQ(head.fields[4].value, "b");
    ASSERT_NE(head.find("content-TYPE"), nullptr);
    EXPECT_EQ(*head.find("content-TYPE"), "application/json");
    EXPECT_EQ(head.find("content"), nullptr);
    std::string joined;
    EXPECT_EQ(head.value("accept", joined), "a,b");
    EXPECT_EQ(head.value("host", joined), "ranker:8080");
    EXPECT_EQ(head.value("none", joined), std::nullopt);
}

TEST(Request, TargetForms) {
    EXPECT_EQ(request("GET /a#b?c HTTP/1.1\r\nHost: h\r\n\r\n").path, "/a");
    EXPECT_FALSE(request("GET /a#b?c HTTP/1.1\r\nHost: h\r\n\r\n").has_query);
    EXPECT_EQ(request("GET /a?x?y#b HTTP/1.1\r\nHost: h\r\n\r\n").query, "x?y");
    EXPECT_TRUE(request("GET /a? HTTP/1.1\r\nHost: h\r\n\r\n").has_query);
    const RequestHead& absolute = request("GET HTTP://b:81?q HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(absolute.scheme, "HTTP");
    EXPECT_EQ(absolute.authority, "b:81");
    EXPECT_EQ(absolute.path, "/");
    EXPECT_EQ(absolute.query, "q");
    const RequestHead& star = request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(star.path, "*");
    EXPECT_EQ(star.authority, "h");
    const RequestHead& connect = request("CONNECT [::1]:443 HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(connect.path, "");
    EXPECT_EQ(connect.authority, "[::1]:443");
    EXPECT_EQ(request("GET / HTTP/1.0\r\n\r\n").authority, "");
}

TEST(Request, PersistenceUpgradeAndExpect) {
    const auto keeps = [](const std::string& version, const std::string& fields) {
        return request("GET / HTTP/" + version + "\r\nHost: h\r\n" + fields + "\r\n").keep_alive;
    };
    EXPECT_TRUE(keeps("1.1", ""));
    EXPECT_FALSE(keeps("1.1", "Connection: upgrade , CLOSE\r\n"));
    EXPECT_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
    EXPECT_TRUE(keeps("1.1", "Connection: closed\r\nProxy-Connection: close\r\n"));
    EXPECT_FALSE(keeps("1.0", ""));
    EXPECT_TRUE(keeps("1.0", "connection: Keep-Alive\r\n"));
    EXPECT_FALSE(keeps("1.0", "Proxy-Connection: keep-alive\r\n"));
    const auto upgrades = [](const std::string& version, const std::string& fields) {
        return request("GET / HTTP/" + version + "\r\nHost: h\r\n" + fields + "\r\n").upgrade;
    };
    EXPECT_TRUE(upgrades("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
    EXPECT_FALSE(upgrades("1.1", "Upgrade: websocket\r\n"));
    EXPECT_FALSE(upgrades("1.1", "Connection: upgrade\r\n"));
    EXPECT_FALSE(upgrades("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
    EXPECT_TRUE(request("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n").expect_continue);
    EXPECT_FALSE(request("PUT / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\n\r\n").expect_continue);
    EXPECT_FALSE(request("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100\r\n\r\n").expect_continue);
}

TEST(Request, ChunkedBodyAndTrailers) {
    const Reading reading = read(true, kChunked);
    ASSERT_EQ(reading.outcome, "ok");
    EXPECT_EQ(reading.messages[0].body, "hello world");
    // Connection belongs to one connection, in a trailer as well.
    const std::vector<std::pair<std::string, std::string>> trailers{{"X-Sum", "11"}};
    EXPECT_EQ(reading.messages[0].trailers, trailers);
}

TEST(Request, BodiesAreViewsIntoWhatWasGiven) {
    RequestParser parser;
    RequestHead head;
    Step step = parser.next(head, kPost);
    EXPECT_EQ(step.used, kPost.size() - 5);
    EXPECT_FALSE(parser.idle());
    step = parser.next(head, kPost.substr(step.used, 2));
    EXPECT_EQ(step.event, Event::kBody);
    EXPECT_EQ(step.body.data(), kPost.data() + kPost.size() - 5);
    EXPECT_EQ(step.body.size(), 2u);
    EXPECT_EQ(parser.next(head, {}).event, Event::kMore);
    step = parser.next(head, "lloGET");
    EXPECT_EQ(step.body, "llo");
    EXPECT_EQ(step.used, 3u);
    step = parser.next(head, "GET");
    EXPECT_EQ(step.event, Event::kEnd);
    EXPECT_EQ(step.used, 0u);
    EXPECT_TRUE(parser.idle());
}

TEST(Request, PipelinedMessagesAtEverySplit) {
    const std::string octets =
        std::string(kPost) + std::string(kChunked) + "\r\nGET /b HTTP/1.0\r\n\r\n" + std::string(kPost);
    const Reading whole = read(true, octets);
    ASSERT_EQ(whole.outcome, "ok");
    ASSERT_EQ(whole.messages.size(), 4u);
    EXPECT_EQ(whole.messages[3].body, "hello");
    for (std::size_t size = 1; size < octets.size(); ++size) {
        EXPECT_EQ(describe(read(true, octets, [&] { return size; })), describe(whole)) << "pieces of " << size;
        bool first = true;
        EXPECT_EQ(describe(read(true, octets, [&] { return std::exchange(first, false) ? size : octets.size(); })),
                  describe(whole))
            << "cut at " << size;
    }
}

TEST(Request, SwapKeepsViews) {
    RequestHead first, second;
    RequestParser parser;
    ASSERT_EQ(parser.next(first, "GET / HTTP/1.0\r\n\r\n").event, Event::kHead);
    second.swap(first);
    EXPECT_EQ(second.method, "GET");
    EXPECT_EQ(second.path, "/");
    EXPECT_EQ(first.method, "");
    first.clear();
    ASSERT_EQ(parser.next(first, {}).event, Event::kEnd);
    ASSERT_EQ(parser.next(first, "PUT /b HTTP/1.0\r\n\r\n").event, Event::kHead);
    EXPECT_EQ(second.method, "GET");
    second.swap(first);
    EXPECT_EQ(first.method, "GET");
    EXPECT_EQ(second.path, "/b");
}

TEST(Request, SwapKeepsViewsOfShortTrailers) {
    RequestHead first, second;
    RequestParser parser;
    const std::string_view octets = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:b\r\n\r\n";
    const std::size_t used = parser.next(first, octets).used;
    ASSERT_EQ(parser.next(first, octets.substr(used)).event, Event::kEnd);
    second.swap(first);
    first.clear();
    ASSERT_EQ(second.trailers.size(), 1u);
    const char* const at = second.trailers[0].name.data();
    const char* const object = reinterpret_cast<const char*>(&first);
    EXPECT_FALSE(at >= object && at < object + sizeof first);
    EXPECT_EQ(second.trailers[0].value, "b");
}

TEST(Request, NothingIsTakenAfterARefusal) {
    RequestParser parser;
    RequestHead head;
    EXPECT_EQ(parser.next(head, "GET / HTTP/1.1\n").event, Event::kError);
    EXPECT_EQ(parser.refusal(), Refusal::kMalformed);
    EXPECT_EQ(parser.next(head, "GET / HTTP/1.0\r\n\r\n").event, Event::kError);
}

// A first line, and characters that no head has, are refused when they come: no waiting for a head that never ends.
TEST(Request, RefusedAsSoonAsSeen) {
    for (const std::string_view octets :
         {"GET  HTTP/1.1\r\n", "\x16\x03\x01", "GET / HTTP/1.1\n", "GET / HTTP/3.0\r\n", "SSH-2.0-x\r\n", " GET",
          "GET / HTTP/1.1\r\nX: \x01", "GET / HTTP/1.1\r\n X"}) {
        RequestParser parser;
        RequestHead head;
        EXPECT_EQ(parser.next(head, octets).event, Event::kError) << octets;
    }
}

TEST(Answer, FramingFollowsStatusAndRequest) {
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").framing, Framing::kLength);
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").framing, Framing::kChunked);
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\n\r\n").framing, Framing::kUntilClose);
    EXPECT_FALSE(response("HTTP/1.1 200 OK\r\n\r\n").keep_alive);
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").framing, Framing::kLength);
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true).framing, Framing::kLength);
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true).length, 3u);
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true).framing, Framing::kChunked);
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\n\r\n", true).framing, Framing::kNone);
    EXPECT_TRUE(response("HTTP/1.1 200 OK\r\n\r\n", true).keep_alive);
    EXPECT_EQ(response("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n").framing, Framing::kLength);
    EXPECT_EQ(response("HTTP/1.1 304 Not Modified\r\n\r\n").framing, Framing::kNone);
    EXPECT_EQ(response("HTTP/1.1 204 No Content\r\n\r\n").framing, Framing::kNone);
    EXPECT_EQ(response("HTTP/1.1 200 OK\r\n\r\n", false, true).framing, Framing::kNone);
    EXPECT_EQ(response("HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\n", false, true).framing, Framing::kLength);
    EXPECT_EQ(response("HTTP/1.1 200 Very  well\r\n\r\n").reason, "Very  well");
    EXPECT_EQ(response("HTTP/1.1 404\r\n\r\n").reason, "");
    EXPECT_TRUE(response("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").upgrade);
}

TEST(Answer, NoBodyFollowsWhateverTheFieldsSay) {
    for (const bool head_request : {true, false}) {
        for (const std::string fields : {"Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", ""}) {
            ResponseParser parser;
            ResponseHead head;
            parser.expect(head_request, false);
            const std::string octets = (head_request ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 304 N\r\n") + fields + "\r\n";
            ASSERT_EQ(parser.next(head, octets).event, Event::kHead) << octets;
            EXPECT_EQ(parser.next(head, {}).event, Event::kEnd) << octets;
        }
    }
}

TEST(Answer, ATunnelsAnswerHasNoLength) {
    ResponseParser parser;
    ResponseHead head;
    parser.expect(false, true);
    EXPECT_EQ(parser.next(head, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").event, Event::kError);
    EXPECT_EQ(parser.refusal(), Refusal::kBadFraming);
}

// What was expected holds past 1xx, for one final answer.
TEST(Answer, InterimAnswersComeBeforeTheFinalOne) {
    ResponseParser parser;
    ResponseHead head;
    const std::string_view octets =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    parser.expect(true, false);
    std::string events;
    std::size_t used = 0;
    for (;;) {
        const Step step = parser.next(head, octets.substr(used));
        used += step.used;
        if (step.event == Event::kMore) {
            break;
        }
        events += step.event == Event::kHead ? std::to_string(head.status) : step.event == Event::kEnd ? "." : "b";
    }
    EXPECT_EQ(events, "100.200.200b.");
}

TEST(Answer, EndOfConnection) {
    const auto outcome = [](std::string_view octets) {
        ResponseParser parser;
        ResponseHead head;
        std::size_t used = 0;
        Step step;
        do {
            step = parser.next(head, octets.substr(used));
            used += step.used;
        } while (step.event != Event::kMore);
        step = parser.end(head);
        return step.event == Event::kError ? std::string(refusal_name(parser.refusal()))
                                           : std::string(step.event == Event::kEnd ? "end" : "idle");
    };
    EXPECT_EQ(outcome(""), "idle");
    EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "idle");
    EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\n\r\n"), "end");
    EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\n\r\nbody"), "end");
    EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), "too_early_end");
    EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n"), "too_early_end");
    EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nX"), "too_early_end");
}

TEST(SteadyState, AllocatesNothing) {
    const std::string requests = std::string(kPost) + std::string(kChunked);
    const std::string answers =
        "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"
        "2\r\nhi\r\n0\r\nX-Sum: 2\r\n\r\n";
    RequestParser request_parser;
    RequestHead request_head;
    ResponseParser response_parser;
    ResponseHead response_head;
    std::size_t messages = 0;
    const auto all = [&](auto& parser, auto& head, std::string_view octets) {
        for (;;) {
            const Step step = parser.next(head, octets);
            octets.remove_prefix(step.used);
            messages += step.event == Event::kEnd ? 1 : 0;
            if (step.event == Event::kMore || step.event == Event::kError) {
                break;
            }
        }
    };
    std::size_t before = 0;
    for (int round = 0; round < 3; ++round) {
        before = round == 1 ? allocations() : before;
        all(request_parser, request_head, requests);
        all(response_parser, response_head, answers);
    }
    EXPECT_EQ(allocations() - before, 0u);
    EXPECT_EQ(messages, 12u);
    EXPECT_GT(before, 0u);
}

}  // namespace
}  // namespace sluice::http
