// Which connections have to go, and which do not.
#include "daemon/drain_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace sluice::daemon {
namespace {

using config::Drain;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr std::uint32_t kV45 = 1, kV47 = 2, kV43 = 3;

sl_connection connection(std::uint64_t cookie, std::uint32_t cluster, std::uint64_t generation,
                         std::uint32_t workload = 0) {
    sl_connection made{};
    made.cookie = cookie;
    made.cluster = cluster;
    made.endpoint = 10 * cluster;
    made.generation = generation;
    made.workload = workload;
    made.established_ns = 1;
    made.watched = SL_REASON_NONE;
    return made;
}

class DrainChoiceTest : public testing::Test {
  protected:
    // Weights by generation: {{1, {{kV45, 50}, {kV47, 50}}}, {2, ...}}; the last is in force.
    void weigh(std::vector<Weights> weights) { service_.weights = std::move(weights); }
    // `count` connections; clients take turns.
    void open(std::size_t count, std::uint32_t cluster, std::uint64_t generation, std::uint32_t clients = 1) {
        for (std::size_t i = 0; i < count; ++i) {
            open_.push_back(connection(++cookie_, cluster, generation, static_cast<std::uint32_t>(i % clients)));
        }
    }
    DrainChoice look() { return choose(service_, open_, view_); }
    std::vector<std::uint64_t> cookies() {
        std::vector<std::uint64_t> out;
        for (const auto& chosen : look().chosen) {
            out.push_back(open_[chosen.index].cookie);
        }
        return out;
    }
    // Chosen connections by their cluster.
    std::map<std::uint32_t, std::size_t> by_cluster() {
        std::map<std::uint32_t, std::size_t> out;
        for (const auto& chosen : look().chosen) {
            ++out[open_[chosen.index].cluster];
        }
        return out;
    }
    // What is chosen ends.
    std::size_t end_chosen() {
        std::set<std::uint64_t> gone;
        for (std::uint64_t cookie : cookies()) {
            gone.insert(cookie);
        }
        std::erase_if(open_, [&](const sl_connection& c) { return gone.contains(c.cookie); });
        return gone.size();
    }

    DrainService service_{.drain = Drain::kIdle, .weights = {}, .ejections = {}, .shares = true, .base = 0};
    std::vector<sl_connection> open_;
    std::map<std::uint32_t, EndpointState> states_;                           // by endpoint
    std::map<std::uint32_t, std::pair<std::uint32_t, std::uint32_t>> homes_;  // by endpoint: cluster, endpoint
    DrainView view_{[this](std::uint32_t endpoint) { return states_[endpoint]; },
                    [this](const DrainService&, const sl_connection& c) {
                        auto found = homes_.find(c.endpoint);
                        return found == homes_.end() ? std::nullopt : std::optional(found->second);
                    }};
    std::uint64_t cookie_ = 100;
};

TEST_F(DrainChoiceTest, AWeightOfZeroEndsAllOfItsConnections) {
    weigh({{1, {{kV45, 90}, {kV47, 10}}}, {2, {{kV45, 100}, {kV47, 0}}}});
    open(3, kV45, 1);
    open(2, kV47, 1);
    open(1, kV47, 2);  // whatever placed it
    EXPECT_THAT(by_cluster(), UnorderedElementsAre(std::pair(kV47, 3)));
}

TEST_F(DrainChoiceTest, ADestinationThatIsGoneToo) {
    weigh({{1, {{kV45, 90}, {kV47, 10}}}, {2, {{kV45, 100}}}});
    open(3, kV45, 1);
    open(2, kV47, 1);
    EXPECT_THAT(by_cluster(), UnorderedElementsAre(std::pair(kV47, 2)));
}

TEST_F(DrainChoiceTest, NoneEndsNothing) {
    service_.drain = Drain::kNone;
    weigh({{1, {{kV45, 90}, {kV47, 10}}}, {2, {{kV45, 100}, {kV47, 0}}}});
    open(2, kV47, 1);
    open(40, kV45, 1);
    states_[10 * kV45] = EndpointState::kLeft;
    EXPECT_THAT(cookies(), IsEmpty());
}

TEST_F(DrainChoiceTest, ALoweredWeightEndsTheExcessOnly) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(20, kV45, 1);
    open(20, kV47, 1);
    const DrainChoice choice = look();
    EXPECT_EQ(choice.for_shares, 12u);
    EXPECT_THAT(by_cluster(), UnorderedElementsAre(std::pair(kV47, 12))) << "40 connections, 20%: 8 stay";
}

TEST_F(DrainChoiceTest, TheTargetIsRoundedUp) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 90}, {kV47, 10}}}});
    open(2, kV45, 1);
    open(1, kV47, 1);
    EXPECT_THAT(cookies(), IsEmpty()) << "10% of 3 is one connection";
}

TEST_F(DrainChoiceTest, ASecondLookChoosesNobodyElse) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(20, kV45, 1);
    open(20, kV47, 1);
    service_.base = 40;
    // Asked to end, but busy: they are chosen again and nobody in their place.
    const DrainChoice first = look();
    for (const auto& chosen : first.chosen) {
        open_[chosen.index].gate = SL_GATE_BUSY | SL_GATE_WANTED;
    }
    const DrainChoice second = look();
    EXPECT_EQ(second.for_shares, 0u);
    EXPECT_EQ(second.chosen.size(), first.chosen.size());
    // Ended, and not dialled again yet: the service has fewer connections, which lowers nobody's part.
    EXPECT_EQ(end_chosen(), 12u);
    EXPECT_THAT(cookies(), IsEmpty());
    // Dialled again, elsewhere.
    open(12, kV45, 2);
    EXPECT_THAT(cookies(), IsEmpty());
}

TEST_F(DrainChoiceTest, ReplacementsThatComeBackAreMadeUpForByOldConnections) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(20, kV45, 1);
    open(20, kV47, 1);
    service_.base = 40;
    end_chosen();
    open(9, kV45, 2);
    open(3, kV47, 2);
    std::set<std::uint64_t> generations;
    const DrainChoice choice = look();
    for (const auto& chosen : choice.chosen) {
        generations.insert(open_[chosen.index].generation);
    }
    EXPECT_EQ(choice.for_shares, 3u);
    EXPECT_THAT(generations, UnorderedElementsAre(1)) << "what the rules in force placed stays";
}

TEST_F(DrainChoiceTest, NewConnectionsNeverGoForShares) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(40, kV47, 2);
    EXPECT_THAT(cookies(), IsEmpty());
}

TEST_F(DrainChoiceTest, ChanceIsNoExcess) {
    // 24 of 40 although 50 is its part: it was so by chance, and the same weights are published again.
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 50}, {kV47, 50}}}});
    open(16, kV45, 1);
    open(24, kV47, 1);
    EXPECT_THAT(cookies(), IsEmpty());
    // A weight that was raised gives nothing up either.
    weigh({{1, {{kV45, 60}, {kV47, 40}}}, {2, {{kV45, 50}, {kV47, 50}}}});
    EXPECT_THAT(cookies(), IsEmpty());
}

TEST_F(DrainChoiceTest, OtherUnitsAreNoOtherWeights) {
    weigh({{1, {{kV45, 1}, {kV47, 1}}}, {2, {{kV45, 50}, {kV47, 50}}}});
    open(10, kV45, 1);
    open(30, kV47, 1);
    EXPECT_THAT(cookies(), IsEmpty());
}

TEST_F(DrainChoiceTest, EachConnectionIsMeasuredByTheWeightsThatPlacedIt) {
    weigh({{3, {{kV45, 50}, {kV47, 50}}}, {5, {{kV45, 90}, {kV47, 10}}}, {7, {{kV45, 80}, {kV47, 20}}}});
    open(10, kV45, 5);
    open(10, kV47, 6);  // placed by 10%, which was raised: stays
    EXPECT_THAT(cookies(), IsEmpty());
    open(10, kV47, 4);  // placed by 50%
    EXPECT_EQ(by_cluster()[kV47], 10u);
}

TEST_F(DrainChoiceTest, BeforeTheFirstWeightsThereWasOneDestination) {
    weigh({{4, {{kV45, 90}, {kV47, 10}}}});
    open(20, kV45, 3);
    EXPECT_THAT(by_cluster(), UnorderedElementsAre(std::pair(kV45, 2)));
}

TEST_F(DrainChoiceTest, TheSameEndpointUnderAnotherClusterIsTheSamePlace) {
    // The plain service (7) became two subsets that have its endpoints.
    weigh({{4, {{kV45, 80}, {kV47, 20}}}});
    open(10, 7, 3);
    for (std::size_t i = 0; i < 10; ++i) {
        open_[i].endpoint = i < 5 ? 71 : 72;
    }
    homes_ = {{71, {kV45, 10}}, {72, {kV47, 20}}};
    DrainChoice choice = look();
    ASSERT_EQ(choice.chosen.size(), 3u) << "5 of 10 where 2 belong";
    for (const auto& chosen : choice.chosen) {
        EXPECT_EQ(open_[chosen.index].endpoint, 72u);
    }
    // An endpoint that nobody lists any more.
    homes_.erase(71);
    EXPECT_EQ(look().chosen.size(), 8u);
}

TEST_F(DrainChoiceTest, TheExcessIsSpreadOverTheClients) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(20, kV45, 1, 5);
    open(20, kV47, 1, 5);
    std::map<std::uint32_t, std::size_t> by_client;
    for (const auto& chosen : look().chosen) {
        ++by_client[open_[chosen.index].workload];
    }
    ASSERT_EQ(by_client.size(), 5u);
    for (const auto& [client, count] : by_client) {
        EXPECT_TRUE(count == 2 || count == 3) << client << ": " << count;
    }
}

TEST_F(DrainChoiceTest, OneWorkloadInTwoNamespacesIsTwoClients) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 50}, {kV47, 0}, {kV43, 50}}}});
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 75}, {kV47, 25}}}});
    open(4, kV45, 1);
    open(4, kV47, 1);
    open_[4].netns_cookie = open_[5].netns_cookie = 8;
    std::set<std::uint64_t> namespaces;
    for (const auto& chosen : look().chosen) {
        namespaces.insert(open_[chosen.index].netns_cookie);
    }
    EXPECT_THAT(namespaces, UnorderedElementsAre(0, 8));
}

TEST_F(DrainChoiceTest, IdleOnesGoBeforeBusyOnes) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(5, kV45, 1);
    open(5, kV47, 1);
    open_[5].gate = open_[6].gate = SL_GATE_BUSY;
    EXPECT_THAT(cookies(), UnorderedElementsAre(108, 109, 110));
}

TEST_F(DrainChoiceTest, IdleLeavesWhatNobodyWatches) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 100}, {kV47, 0}}}});
    open(3, kV47, 1);
    open_[0].watched = SL_REASON_UNOBSERVED_HTTP2;
    open_[1].watched = SL_REASON_ESTABLISHED;  // TCP
    EXPECT_THAT(cookies(), UnorderedElementsAre(103));
    EXPECT_EQ(look().unwatched, 2u);
    service_.drain = Drain::kNow;
    EXPECT_EQ(look().chosen.size(), 3u);
    EXPECT_EQ(look().chosen[0].mode, SL_DRAIN_NOW);
}

TEST_F(DrainChoiceTest, UnwatchedOnesOfALoweredWeightAreShownNotEnded) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(5, kV45, 1);
    open(5, kV47, 1);
    for (std::size_t i = 5; i < 9; ++i) {
        open_[i].watched = SL_REASON_UNOBSERVED_TLS;
    }
    EXPECT_THAT(cookies(), UnorderedElementsAre(110));
    EXPECT_EQ(look().unwatched, 2u);
}

TEST_F(DrainChoiceTest, EndpointsThatLeftAndEndpointsThatAreEjected) {
    weigh({{1, {{kV45, 100}}}});
    open(6, kV45, 1);
    for (std::size_t i = 0; i < 6; ++i) {
        open_[i].endpoint = 10 + static_cast<std::uint32_t>(i / 2);
    }
    states_ = {{10, EndpointState::kIn}, {11, EndpointState::kLeft}, {12, EndpointState::kEjected}};
    EXPECT_THAT(cookies(), UnorderedElementsAre(103, 104, 105, 106));
    // The cluster's own annotation ends those to the ejected only.
    service_.drain = Drain::kNone;
    service_.ejections = {{kV45, Drain::kNow}};
    EXPECT_THAT(cookies(), UnorderedElementsAre(105, 106));
    EXPECT_EQ(look().chosen[0].mode, SL_DRAIN_NOW);
}

TEST_F(DrainChoiceTest, SettledSharesEndNothing) {
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(20, kV45, 1);
    open(20, kV47, 1);
    service_.shares = false;
    EXPECT_THAT(cookies(), IsEmpty());
}

TEST_F(DrainChoiceTest, ItComesToRestWithTheWantedShares) {
    std::mt19937 random(7);
    std::size_t ended = 0, looks = 0;
    weigh({{1, {{kV45, 50}, {kV47, 50}}}, {2, {{kV45, 80}, {kV47, 20}}}});
    open(1000, kV45, 1, 8);
    open(1000, kV47, 1, 8);
    service_.base = 2000;
    while (std::size_t now = end_chosen()) {
        ended += now;
        ASSERT_LT(++looks, 30u);
        for (std::size_t i = 0; i < now; ++i) {
            open(1, random() % 5 == 0 ? kV47 : kV45, 2);
        }
    }
    const auto left = std::ranges::count(open_, kV47, &sl_connection::cluster);
    EXPECT_EQ(left, 400) << "20% of 2,000";
    EXPECT_LT(ended, 800u) << "600 move, and 150 more for those that came back";
}

}  // namespace
}  // namespace sluice::daemon
