// Random conversations: whatever servers and callers do, each try ends once, nothing stays held, and no answer is
// another request's.
#include <random>

#include "upstream_fixture.h"

namespace sluice::proxy::upstream_test {
namespace {

class UpstreamRandom : public UpstreamTest {
  protected:
    static constexpr int kCalls = 400;

    struct Plan {
        std::mt19937 random;
        bool chance(unsigned percent) { return random() % 100 < percent; }
    };

    // Answers with the path of the request, in one of many ways.
    void serve(Plan& plan, Server::Peer& peer, const std::string& head) {
        const std::string path = head.substr(4, head.find(" HTTP") - 4);
        const std::string answer = "HTTP/1.1 " + std::string(plan.chance(20) ? "503 Busy" : "200 OK") +
                                   "\r\ncontent-length: " + std::to_string(path.size()) + "\r\n";
        switch (plan.random() % 12) {
            case 0:
                peer.stream.reset();
                break;
            case 1:
                peer.say(answer + "\r\n" + path.substr(0, 1));
                peer.stream.finish();
                break;
            case 2:
                peer.say(answer + "connection: close\r\n\r\n" + path);
                peer.stream.finish();
                break;
            case 3:
                peer.say(answer + "\r\n" + path + "more than that");
                break;
            case 4:
                peer.say("HTTP/1.1 100 Continue\r\n\r\n" + answer + "\r\n" + path);
                break;
            case 5:
                peer.say(answer + "\r\n" + path);
                peer.stream.finish();  // without having said so
                break;
            case 6:
                peer.say("no HTTP at all\r\n\r\n");
                break;
            case 7:
                held.push_back({&peer, answer + "\r\n" + path});
                break;
            default:
                peer.say(answer + "\r\n" + path);
        }
    }
    struct Held {
        Server::Peer* peer;
        std::string text;
    };
    std::deque<Held> held;
};
ON_BOTH_BACK_ENDS(UpstreamRandom);

TEST_P(UpstreamRandom, EachTryEndsOnceAndNothingStaysHeld) {
    for (const unsigned seed : {1u, 2u, 3u, 4u, 5u}) {
        SCOPED_TRACE(seed);
        Plan plan{std::mt19937(seed)};
        auto of = model({server().port, server().port, server().port}, "c" + std::to_string(seed));
        for (const auto& s : servers) {
            s->serve = [&](Server::Peer& peer, const std::string& head) { serve(plan, peer, head); };
        }
        of->max_connections = 4;
        of->pool.max_pending = 12;
        of->pool.max_requests = 6;
        of->pool.max_requests_per_connection = 7;
        of->outlier = config::OutlierDetection{};
        of->outlier->max_ejection_percent = 60;
        const ClusterPtr c = publish(of);
        int begun = 0, right = 0, failed = 0, destroyed = 0;
        std::function<void()> one = [&] {
            if (begun == kCalls) {
                return;
            }
            const std::string path = "/" + std::to_string(seed) + "-" + std::to_string(begun++);
            Call& made = *calls.emplace_back(std::make_unique<Call>());
            made.text = "GET " + path + " HTTP/1.1\r\nhost: x\r\n\r\n";
            const auto leave = [&, leaves = plan.chance(6)](Try&) {
                if (leaves && made.attempt != nullptr) {
                    made.attempt.reset();
                    ++destroyed;
                    one();
                }
            };
            (plan.chance(50) ? made.when_head : made.when_body) = leave;
            made.when_over = [&, path] {
                if (made.ended) {
                    EXPECT_EQ(made.body, path);
                    ++right;
                } else {
                    EXPECT_TRUE(path.starts_with(made.body));
                    ++failed;
                }
                one();
            };
            made.begin(pools(), request(c));
        };
        for (int i = 0; i < 16; ++i) {
            one();
        }
        Ticker ticker{*loop};  // else nothing wakes the loop when all answers are held
        ticker.timer.start(std::chrono::milliseconds(1));
        until([&] {
            if (!held.empty() && plan.chance(50)) {
                held.front().peer->say(held.front().text);
                held.pop_front();
            }
            if (plan.chance(3)) {
                pools().sweep();
            }
            return right + failed + destroyed == kCalls;
        });
        EXPECT_EQ(begun, kCalls);
        EXPECT_TRUE(std::ranges::all_of(calls, [](const auto& made) { return made->endings <= 1; }));
        EXPECT_GT(right, kCalls / 8);
        EXPECT_GT(failed, kCalls / 8);
        EXPECT_EQ(c->breakers(7)->pending, 0u);
        EXPECT_EQ(c->breakers(7)->requests, 0u);
        EXPECT_EQ(rows.clusters[c->number()].active, 0u);
        EXPECT_LE(c->breakers(7)->connections, 4u + 3u);
        calls.clear();
        held.clear();
    }
}

}  // namespace
}  // namespace sluice::proxy::upstream_test
