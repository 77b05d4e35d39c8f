// What a watched connection counts does not depend on how its octets were cut, repeated, swapped or lost on the way:
// the same requests, or none and a named reason; never a wrong one.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "watch.h"

namespace sluice::test {
namespace {

struct Exchange {
    std::string request;
    std::string answer;
    int status = 200;
    int method = SL_METHOD_GET;
    bool until_close = false;

    Counted expected() const { return {status, SL_REASON_NONE, request.size(), answer.size(), method}; }
};

using Random = std::mt19937;

std::size_t below(Random& random, std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
}

std::string hex(std::size_t n) {
    char text[32];
    std::snprintf(text, sizeof text, "%zx", n);
    return text;
}

std::string chunked(Random& random, std::size_t size) {
    std::string text;
    while (size > 0) {
        const std::size_t n = 1 + below(random, std::min<std::size_t>(size, below(random, 2) ? 20 : 3000));
        text += hex(n) + "\r\n" + std::string(n, "x\r\n1"[below(random, 4)]) + "\r\n";
        size -= n;
    }
    return text + "0\r\n\r\n";
}

std::size_t body_size(Random& random) {
    const std::size_t sizes[] = {0, 1, 10, 255, 256, 257, 1000, 5000, 20000};
    return sizes[below(random, std::size(sizes))];
}

Exchange exchange(Random& random, bool last) {
    Exchange e;
    const char* methods[] = {"GET", "HEAD", "POST", "PUT"};
    const int numbers[] = {SL_METHOD_GET, SL_METHOD_HEAD, SL_METHOD_POST, SL_METHOD_PUT};
    const std::size_t which = below(random, 4);
    e.method = numbers[which];
    e.request =
        std::string(methods[which]) + " /rank?q=" + std::string(below(random, 300), 'q') + " HTTP/1.1\r\nHost: h\r\n";
    const bool has_body = which >= 2;
    if (has_body && below(random, 2)) {
        e.request += "Transfer-Encoding: chunked\r\n\r\n" + chunked(random, 1 + body_size(random));
    } else if (has_body) {
        const std::size_t n = body_size(random);
        e.request += "Content-Length: " + std::to_string(n) + "\r\n\r\n" + std::string(n, 'p');
    } else {
        e.request += "\r\n";
    }
    const int statuses[] = {200, 204, 304, 404, 500, 503};
    e.status = statuses[below(random, 6)];
    if (below(random, 5) == 0) {
        e.answer = "HTTP/1.1 100 Continue\r\n\r\n";
    }
    e.answer += "HTTP/1.1 " + std::to_string(e.status) + " Fine\r\nServer: s\r\n";
    const bool bodiless = e.method == SL_METHOD_HEAD || e.status == 204 || e.status == 304;
    const std::size_t n = body_size(random);
    if (last && !bodiless && below(random, 2)) {
        e.until_close = true;
        e.answer += "Connection: close\r\n\r\n" + std::string(n, 'c');
    } else if (e.status == 204) {
        e.answer += "\r\n";
    } else if (below(random, 2)) {
        e.answer += "Transfer-Encoding: chunked\r\n\r\n" + (bodiless ? "" : chunked(random, n));
    } else {
        e.answer += "Content-Length: " + std::to_string(n) + "\r\n\r\n" + (bodiless ? "" : std::string(n, 'b'));
    }
    return e;
}

struct Piece {
    std::size_t begin;
    std::size_t size;
};

// Cuts into segments of up to `most` octets.
std::vector<Piece> cut(Random& random, std::size_t size, std::size_t most) {
    std::vector<Piece> pieces;
    for (std::size_t at = 0; at < size;) {
        const std::size_t n = 1 + below(random, std::min(size - at, most));
        pieces.push_back({at, n});
        at += n;
    }
    return pieces;
}

// Repeats some, cut otherwise: from somewhere in an earlier one to the end of what was sent so far.
void repeat(Random& random, std::vector<Piece>& pieces) {
    std::vector<Piece> result;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        result.push_back(pieces[i]);
        if (below(random, 3) == 0) {
            const Piece& from = pieces[i - below(random, std::min<std::size_t>(i + 1, 5))];
            const std::size_t begin = from.begin + below(random, from.size);
            result.push_back({begin, pieces[i].begin + pieces[i].size - begin});
        }
    }
    pieces = std::move(result);
}

// Moves some a few places back, as if they had been lost and sent again.
bool disorder(Random& random, std::vector<Piece>& pieces) {
    bool any = false;
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
        if (below(random, 8) == 0) {
            const std::size_t to = std::min(pieces.size() - 1, i + 1 + below(random, 4));
            std::rotate(pieces.begin() + static_cast<std::ptrdiff_t>(i),
                        pieces.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                        pieces.begin() + static_cast<std::ptrdiff_t>(to) + 1);
            any = true;
        }
    }
    return any;
}

// Small ones for short messages only: some hundred segments are enough.
std::size_t segment_size(Random& random, std::size_t bytes) {
    const std::size_t sizes[] = {1, 3, 50, 300, 1448, 65000};
    return std::max(sizes[below(random, std::size(sizes))], bytes / 300);
}

enum class Wire {
    kRepeats,       // in order, some twice
    kSwapsAnswers,  // two neighbours of an answer
    kDisorders,     // both ways, much
};

// A conversation over such a wire, and what should have been counted.
struct Play {
    Watch watch;
    std::vector<Counted> expected;
    bool disordered = false;

    Play(Random& random, Wire wire)
        : watch(static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random())) {
        std::uint32_t snd = watch.stream->sent.next;
        std::uint32_t rcv = watch.stream->received.next;
        const std::size_t exchanges = 1 + below(random, 6);
        for (std::size_t i = 0; i < exchanges; ++i) {
            const Exchange e = exchange(random, i + 1 == exchanges);
            for (const Piece& p : pieces(random, e.request, wire == Wire::kSwapsAnswers ? Wire::kRepeats : wire)) {
                watch.sent(snd + static_cast<std::uint32_t>(p.begin), e.request.substr(p.begin, p.size));
            }
            const auto answer = pieces(random, e.answer, wire);
            // The FIN rides on whatever segment carries the last octet, or comes alone.
            const bool alone = below(random, 2) != 0;
            for (const Piece& p : answer) {
                const bool fin = e.until_close && !alone && p.begin + p.size == e.answer.size();
                watch.received(rcv + static_cast<std::uint32_t>(p.begin), e.answer.substr(p.begin, p.size), fin);
            }
            snd += static_cast<std::uint32_t>(e.request.size());
            rcv += static_cast<std::uint32_t>(e.answer.size());
            if (e.until_close && alone) {
                watch.received(rcv, "", true);
            }
            expected.push_back(e.expected());
        }
        watch.ends(SL_REASON_DOWNSTREAM_CLOSED);
    }

  private:
    std::vector<Piece> pieces(Random& random, const std::string& bytes, Wire wire) {
        std::vector<Piece> result = cut(random, bytes.size(), segment_size(random, bytes.size()));
        if (below(random, 2)) {
            repeat(random, result);
        }
        if (wire == Wire::kSwapsAnswers && result.size() > 1) {
            const std::size_t at = below(random, result.size() - 1);
            std::swap(result[at], result[at + 1]);
            disordered = true;
        }
        if (wire == Wire::kDisorders && disorder(random, result)) {
            disordered = true;
        }
        return result;
    }
};

TEST(Wire, CountsTheSameHoweverItIsCutAndRepeated) {
    for (unsigned seed = 0; seed < 3000; ++seed) {
        Random random(seed);
        const Play play(random, Wire::kRepeats);
        ASSERT_EQ(play.expected, play.watch.counted) << "seed " << seed << " left for " << play.watch.left_for;
    }
}

TEST(Wire, CountsTheSameWhenNeighboursOfAnAnswerAreSwapped) {
    for (unsigned seed = 0; seed < 3000; ++seed) {
        Random random(seed);
        const Play play(random, Wire::kSwapsAnswers);
        ASSERT_EQ(play.expected, play.watch.counted) << "seed " << seed << " left for " << play.watch.left_for;
    }
}

TEST(Wire, CountsTheSameOrGivesUpByNameWhenSegmentsAreSwapped) {
    int followed = 0, given_up = 0;
    stashes = SL_STASHES / 2;
    for (unsigned seed = 0; seed < 6000; ++seed) {
        Random random(seed);
        Play play(random, Wire::kDisorders);
        const auto& counted = play.watch.counted;
        if (counted == play.expected) {
            followed += play.disordered;
            continue;
        }
        ASSERT_TRUE(play.disordered) << "seed " << seed;
        ++given_up;
        ASSERT_LE(counted.size(), play.expected.size()) << "seed " << seed;
        ASSERT_NE(SL_REASON_NONE, play.watch.left_for)
            << "seed " << seed << " " << testing::PrintToString(play.expected) << " "
            << testing::PrintToString(counted);
        // What was counted before is right, and nothing is after.
        for (std::size_t i = 0; i < counted.size(); ++i) {
            ASSERT_EQ(play.expected[i], counted[i]) << "seed " << seed;
        }
    }
    EXPECT_GT(followed, 100);
    EXPECT_GT(given_up, 100);
    stashes = SL_STASHES;
}

}  // namespace
}  // namespace sluice::test
