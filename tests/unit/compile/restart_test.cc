// What a new agent makes of the tables that the last one left.
#include <gtest/gtest.h>

#include "publishing.h"

namespace sluice::compile {
namespace {

using namespace test;

struct Restart : Publishing {};

TEST_F(Restart, ARestartKeepsNumbersCountersAndEjections) {
    auto c = cluster("c", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    const auto mesh = std::vector<model::ServicePortPtr>{service("a", {"10.1.0.1"}, {{c, 3}, {nullptr, 1}})};
    ASSERT_TRUE(publisher.publish_all(mesh));
    const std::uint32_t number = publisher.cluster_number(c->id);
    const std::uint32_t slot = publisher.endpoint_number(number, ip("10.0.0.1"), 80);
    sl_health& health = tables.tables().health[slot];
    health = {7, 2, 1, 0, 99, 0, 1, 1, 1, 0, 40, 3};
    tables.tables().clusters[number].ejected = 1;
    Publisher next = make();
    ASSERT_TRUE(next.adopt());
    EXPECT_EQ(next.publish_all(mesh), 1u) << "nothing differs: no generation";
    EXPECT_EQ(next.cluster_number(c->id), number);
    EXPECT_EQ(next.endpoint_number(number, ip("10.0.0.1"), 80), slot);
    EXPECT_EQ(next.reclaim(), 0u);
    EXPECT_EQ(health.active, 7u);
    EXPECT_EQ(health.ejected_until, 99u);
    EXPECT_EQ(health.failures_total, 3u);
    EXPECT_EQ(tables.tables().clusters[number].ejected, 1u);
    EXPECT_EQ(next.cluster(number), c);
}

TEST_F(Restart, ARestartRemovesWhatTheRulesDoNotNameAnyMore) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    const auto d = cluster("d", {endpoint("10.0.0.2")});
    ASSERT_TRUE(
        publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}}), service("b", {"10.1.0.2"}, {{d, 1}})})));
    const sl_choice held = decider.dial("10.1.0.2");
    decider.hold(held);
    Publisher next = make();
    ASSERT_TRUE(next.adopt());
    ASSERT_EQ(next.publish_all(std::vector<model::ServicePortPtr>{service("a", {"10.1.0.1"}, {{c, 1}})}), 2u);
    EXPECT_EQ(decider.dial("10.1.0.2").route, SL_NONE);
    EXPECT_GT(next.reclaim(), 0u);
    EXPECT_EQ(tables.keys(), 1u);
    EXPECT_EQ(tables.tables().endpoints[held.endpoint].cluster, held.cluster) << "held: not dropped";
    decider.release(held);
    EXPECT_EQ(next.reclaim(), 0u);
    EXPECT_EQ(tables.tables().endpoints[held.endpoint].cluster, SL_NONE);
}

TEST_F(Restart, ACrashBeforeTheGenerationStoreIsTakenBack) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    const auto mesh = std::vector<model::ServicePortPtr>{service("a", {"10.1.0.1"}, {{c, 1}})};
    ASSERT_TRUE(publisher.publish_all(mesh));
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{nullptr, 1}}),
                                           service("b", {"10.1.0.2"}, {{cluster("d", {endpoint("10.0.0.9")}), 1}})})));
    tables.tables().control->generation = 1;  // all stores but the last
    Publisher next = make();
    ASSERT_TRUE(next.adopt());
    EXPECT_EQ(next.publish_all(mesh), 1u);
    next.reclaim();
    EXPECT_EQ(tables.keys(), 1u);
    ASSERT_EQ(next.publish(changed({service("c", {"10.1.0.3"}, {{c, 1}})})), 2u);
    EXPECT_EQ(decider.endpoint_of(decider.dial("10.1.0.1")), "10.0.0.1:80") << "not the rule that was never published";
}

TEST_F(Restart, ACrashInTheMiddleOfAReturnIsRepaired) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    const std::uint32_t number = publisher.cluster_number(c->id);
    tables.tables().clusters[number].ejected = 1;
    Publisher next = make();
    ASSERT_TRUE(next.adopt());
    EXPECT_EQ(tables.tables().clusters[number].ejected, 0u);
}

TEST_F(Restart, DamagedTablesAreNotAdopted) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    tables.tables().routes[decider.dial("10.1.0.1").route].destination_first = 1'000'000;
    Publisher next = make();
    EXPECT_FALSE(next.adopt());
}

}  // namespace
}  // namespace sluice::compile
