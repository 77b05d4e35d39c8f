// The short way through a head, for lines that are whole in the window: it says what the stages say that take any
// octet.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "bpf/lib/http1.h"

namespace sluice::test {
namespace {

struct Answer {
    unsigned found = SL_HTTP_MORE;
    std::size_t used = 0;
    unsigned unsure = 0;  // why
    unsigned status = 0;  // of a head
    unsigned method = 0;
    unsigned long long length = 0;
    unsigned framing = 0;
    bool operator==(const Answer&) const = default;
};

// Reads a head in windows of `size`. Behind each lie the octets that come next, as in a window that was longer before:
// they must not count.
Answer read(bool response, std::string_view octets, std::size_t size) {
    struct sl_http_state scan {};
    Answer answer;
    while (answer.found == SL_HTTP_MORE && answer.used < octets.size()) {
        const std::string_view rest = octets.substr(answer.used);
        const std::size_t length = std::min(size, rest.size());
        std::array<std::uint8_t, SL_HTTP_WINDOW_SPACE> window{};
        std::memcpy(window.data(), rest.data(), std::min(window.size(), rest.size()));
        std::uint32_t used = 0;
        answer.found = sl_http_scan(&scan, response, window.data(), static_cast<std::uint32_t>(length), &used);
        EXPECT_LE(used, length) << "windows of " << size;
        answer.used += used;
        if (used > length) {
            break;
        }
    }
    if (answer.found == SL_HTTP_UNSURE) {
        answer.unsure = scan.unsure;
    } else {
        answer.status = scan.status;
        answer.method = answer.found == SL_HTTP_HEAD ? scan.method : 0;
        answer.length = scan.length;
        answer.framing = scan.flags & (SL_HTTP_LENGTH | SL_HTTP_CHUNKED);
    }
    return answer;
}

// No line is whole in a window of one octet: those are for the stages alone.
void same_as_by_octets(bool response, std::string_view octets) {
    const Answer expected = read(response, octets, 1);
    EXPECT_EQ(read(response, octets, SL_HTTP_WINDOW), expected) << octets;
}

constexpr std::string_view kRequest =
    "POST /a?b HTTP/1.1\r\nHost: x\r\nX-B3-Id: 12345678\r\nContent-Length: 12\r\nAccept: */*\r\n\r\n";
constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 1234567\r\nServer: some server\r\n\r\n";

TEST(Http1Quick, EveryOctetOfAHeadCounts) {
    for (const bool response : {false, true}) {
        const std::string_view head = response ? kAnswer : kRequest;
        ASSERT_EQ(read(response, head, SL_HTTP_WINDOW).used, head.size());
        for (std::size_t at = 0; at < head.size(); ++at) {
            for (unsigned octet = 0; octet < 256; ++octet) {
                std::string other(head);
                other[at] = static_cast<char>(octet);
                same_as_by_octets(response, other);
                if (HasFailure()) {
                    return;
                }
            }
        }
    }
}

TEST(Http1Quick, OctetsMayBeMissingOrTwice) {
    for (const bool response : {false, true}) {
        const std::string head(response ? kAnswer : kRequest);
        for (std::size_t at = 0; at < head.size(); ++at) {
            same_as_by_octets(response, std::string(head).erase(at, 1) + "\r\n\r\n");
            same_as_by_octets(response, std::string(head).insert(at, 1, head[at]));
        }
    }
}

TEST(Http1Quick, LinesMayBeOfAnyLength) {
    for (std::size_t length = 0; length < 130; ++length) {
        const std::string name(length, 'n');
        const std::string value(length, 'v');
        same_as_by_octets(false, "GET /" + value + " HTTP/1.1\r\nHost: x\r\n\r\n");
        same_as_by_octets(false, "GET / HTTP/1.0\r\n" + name + ": v\r\nHost: x\r\n\r\n");
        same_as_by_octets(true, "HTTP/1.1 503 " + value + "\r\nServer: " + value + "\r\n\r\n");
        same_as_by_octets(true, "HTTP/1.1 200 OK\r\nContent-Length: " + std::string(length, '1') + "\r\n\r\n");
    }
}

TEST(Http1Quick, WindowsMayEndAnywhere) {
    for (const bool response : {false, true}) {
        const std::string_view head = response ? kAnswer : kRequest;
        const Answer expected = read(response, head, 1);
        for (std::size_t size = 2; size <= head.size(); ++size) {
            EXPECT_EQ(read(response, head, size), expected) << "windows of " << size;
        }
    }
}

}  // namespace
}  // namespace sluice::test
