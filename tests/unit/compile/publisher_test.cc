// What a publication does to the tables, step by step.
#include "compile/publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "publishing.h"

namespace sluice::compile {
namespace {

using namespace test;

TEST_F(Publishing, AServiceIsFoundByEachOfItsAddresses) {
    const auto c = cluster("c", {endpoint("10.0.0.1"), endpoint("fd00::1")});
    const auto generation = publisher.publish(changed({service("a", {"10.1.0.1", "fd01::1"}, {{c, 1}})}));
    ASSERT_TRUE(generation) << generation.error().text();
    EXPECT_EQ(*generation, 1u);
    for (const char* address : {"10.1.0.1", "fd01::1"}) {
        const sl_choice choice = decider.dial(address);
        EXPECT_EQ(choice.reason, SL_REASON_NONE);
        EXPECT_EQ(choice.generation, 1u);
        EXPECT_THAT(decider.endpoint_of(choice), testing::AnyOf("10.0.0.1:80", "[fd00::1]:80"));
    }
    EXPECT_EQ(decider.dial("10.1.0.2").route, SL_NONE);
    EXPECT_EQ(publisher.service_numbers({"", "a", 8080}).size(), 2u);
    EXPECT_EQ(publisher.cluster(publisher.cluster_number(c->id)), c);
    EXPECT_EQ(row("c").endpoint_v4_count, 1u);
}

TEST_F(Publishing, NoChangeIsNoGeneration) {
    const auto make_service = [] { return service("a", {"10.1.0.1"}, {{cluster("c", {endpoint("10.0.0.1")}), 1}}); };
    ASSERT_EQ(publisher.publish(changed({make_service()})), 1u);
    EXPECT_EQ(publisher.publish(changed({make_service()})), 1u) << "equal content in new objects";
    EXPECT_EQ(publisher.publish({}), 1u);
    EXPECT_EQ(publisher.publish_all(std::vector<model::ServicePortPtr>{make_service()}), 1u);
    EXPECT_EQ(publisher.publish(removed("unknown")), 1u);
}

TEST_F(Publishing, OnlyRowsThatChangedAreWritten) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    const auto d = cluster("d", {endpoint("10.0.0.2")});
    ASSERT_TRUE(
        publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}}), service("b", {"10.1.0.2"}, {{d, 1}})})));
    const sl_choice before = decider.dial("10.1.0.2");
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}, {d, 1}})})));
    const sl_choice after = decider.dial("10.1.0.2");
    EXPECT_EQ(after.generation, 2u);
    EXPECT_EQ(after.route, before.route);
    EXPECT_EQ(after.cluster_row, before.cluster_row);
}

TEST_F(Publishing, APolicyChangeKeepsTheListAndTheHealth) {
    auto c = cluster("c", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    const sl_cluster_row before = row("c");
    const sl_choice held = decider.dial("10.1.0.1");
    decider.hold(held);
    auto stricter = std::make_shared<model::Cluster>(*c);
    stricter->max_connections = 3;
    stricter->outlier = config::OutlierDetection{};
    ASSERT_EQ(publisher.publish(changed({service("a", {"10.1.0.1"}, {{stricter, 1}})})), 2u);
    const sl_cluster_row after = row("c");
    EXPECT_EQ(after.endpoint_first, before.endpoint_first);
    EXPECT_EQ(after.max_connections, 3u);
    EXPECT_EQ(after.consecutive_5xx, 5u);
    EXPECT_EQ(after.consecutive_gateway, 0u);
    EXPECT_EQ(after.interval_ns, 10'000'000'000u);
    EXPECT_EQ(after.max_ejection_ns, 300'000'000'000u);
    EXPECT_EQ(tables.tables().health[held.endpoint].active, 1u);
    publisher.reclaim();
    EXPECT_EQ(used("cluster_rows"), 1u);
    EXPECT_EQ(used("endpoint_list"), 2u) << "the shared list stays";
}

TEST_F(Publishing, WatchingAndDrainAreFlagsOfTheRowAndChangeNothingElse) {
    struct Case {
        bool http, answers;
        config::Drain drain;
        std::uint32_t flags;
    };
    const auto base = cluster("c", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{base, 1}})})));
    EXPECT_EQ(row("c").flags, 0u);
    const std::uint32_t number = publisher.cluster_number(base->id);
    const std::uint32_t list = row("c").endpoint_first;
    const sl_choice held = decider.dial("10.1.0.1");
    tables.tables().health[held.endpoint].consecutive_5xx = 3;
    std::uint64_t generation = publisher.generation();
    using config::Drain;
    for (const Case& c : {Case{true, true, Drain::kNone, SL_CLUSTER_HTTP | SL_CLUSTER_ANSWERS},
                          Case{true, true, Drain::kIdle, SL_CLUSTER_HTTP | SL_CLUSTER_ANSWERS | SL_CLUSTER_DRAIN_IDLE},
                          Case{true, false, Drain::kNow, SL_CLUSTER_HTTP | SL_CLUSTER_DRAIN_NOW},
                          Case{false, false, Drain::kNone, 0}}) {
        auto next = std::make_shared<model::Cluster>(*base);
        next->http = c.http;
        next->answers = c.answers;
        next->drain = c.drain;
        ASSERT_EQ(publisher.publish(changed({service("a", {"10.1.0.1"}, {{next, 1}})})), ++generation);
        EXPECT_EQ(row("c").flags, c.flags);
        EXPECT_EQ(row("c").endpoint_first, list) << "the list is shared";
        EXPECT_EQ(publisher.cluster_number(base->id), number);
        EXPECT_EQ(decider.dial("10.1.0.1").route, held.route) << "the weights are the same row";
    }
    EXPECT_EQ(tables.tables().health[held.endpoint].consecutive_5xx, 3u);
}

TEST_F(Publishing, ARemovedServiceIsLeftAloneAndEverythingComesBack) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    ASSERT_EQ(publisher.publish(removed("a")), 2u);
    EXPECT_EQ(decider.dial("10.1.0.1").route, SL_NONE);
    EXPECT_EQ(tables.keys(), 1u) << "erased off the apply path";
    EXPECT_EQ(publisher.reclaim(), 0u);
    EXPECT_EQ(tables.keys(), 0u);
    for (const Occupancy& o : publisher.occupancy()) {
        if (o.table != "identities") {
            EXPECT_EQ(o.used, 0u) << o.table;
        }
    }
    EXPECT_EQ(publisher.take_freed_clusters().size(), 1u);
    EXPECT_TRUE(publisher.take_freed_clusters().empty());
}

TEST_F(Publishing, WhatConnectionsHoldWaitsForThem) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    const sl_choice held = decider.dial("10.1.0.1");
    decider.hold(held);
    EXPECT_EQ(publisher.connections(held.service).current, 1u);
    const auto d = cluster("d", {endpoint("10.0.0.2")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{d, 1}})})));
    EXPECT_EQ(publisher.connections(held.service).current, 0u);
    EXPECT_EQ(publisher.connections(held.service).older, 1u);
    EXPECT_GT(publisher.reclaim(), 0u);
    EXPECT_EQ(used("endpoints"), 2u);
    EXPECT_EQ(used("clusters"), 2u);
    EXPECT_EQ(used("routes"), 2u);
    decider.release(held);
    EXPECT_EQ(publisher.reclaim(), 0u);
    EXPECT_EQ(used("endpoints"), 1u);
    EXPECT_EQ(used("clusters"), 1u);
    EXPECT_EQ(used("routes"), 1u);
    EXPECT_EQ(publisher.connections(held.service).older, 0u);
}

TEST_F(Publishing, AServiceThatComesBackWhileHeldKeepsItsNumber) {
    const auto a = [] { return service("a", {"10.1.0.1"}, {{cluster("c", {endpoint("10.0.0.1")}), 1}}); };
    ASSERT_TRUE(publisher.publish(changed({a()})));
    const sl_choice held = decider.dial("10.1.0.1");
    decider.hold(held);
    for (int i = 0; i < 20; ++i) {  // more often than there are records
        ASSERT_TRUE(publisher.publish(removed("a")));
        publisher.reclaim();
        EXPECT_EQ(tables.keys(), 0u);
        ASSERT_TRUE(publisher.publish(changed({a()})));
        EXPECT_EQ(decider.dial("10.1.0.1").service, held.service);
        EXPECT_EQ(decider.dial("10.1.0.1").endpoint, held.endpoint);
    }
    decider.release(held);
    EXPECT_EQ(publisher.reclaim(), 0u);
    EXPECT_EQ(used("services"), 1u);
    EXPECT_EQ(used("routes"), 1u);
}

TEST_F(Publishing, AnEndpointThatComesBackWhileHeldKeepsItsSlot) {
    const auto both = cluster("c", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    const auto one = cluster("c", {endpoint("10.0.0.2")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{both, 1}})})));
    const std::uint32_t number = publisher.cluster_number(both->id);
    const std::uint32_t slot = publisher.endpoint_number(number, ip("10.0.0.1"), 80);
    tables.tables().health[slot].active = 1;
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{one, 1}})})));
    EXPECT_EQ(publisher.reclaim(), 1u);
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{both, 1}})})));
    EXPECT_EQ(publisher.endpoint_number(number, ip("10.0.0.1"), 80), slot);
    tables.tables().health[slot].active = 0;
    EXPECT_EQ(publisher.reclaim(), 0u);
    EXPECT_EQ(publisher.endpoint_number(number, ip("10.0.0.1"), 80), slot);
    EXPECT_EQ(used("endpoints"), 2u);
}

TEST_F(Publishing, ATerminatingEndpointKeepsItsSlotAndGetsNothingNew) {
    const auto c = cluster("c", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    const std::uint32_t number = publisher.cluster_number(c->id);
    const std::uint32_t slot = publisher.endpoint_number(number, ip("10.0.0.1"), 80);
    tables.tables().health[slot].ejected_until = 5;
    tables.tables().clusters[number].ejected = 1;
    const auto draining = cluster("c", {endpoint("10.0.0.1", 80, false), endpoint("10.0.0.2")});
    ASSERT_EQ(publisher.publish(changed({service("a", {"10.1.0.1"}, {{draining, 1}})})), 2u);
    publisher.reclaim();
    EXPECT_EQ(publisher.endpoint_number(number, ip("10.0.0.1"), 80), slot);
    EXPECT_EQ(tables.tables().clusters[number].ejected, 0u) << "no member, so not among the ejected";
    EXPECT_EQ(tables.tables().endpoints[slot].flags & SL_ENDPOINT_LISTED, 0);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(decider.endpoint_of(decider.dial("10.1.0.1")), "10.0.0.2:80");
    }
}

TEST_F(Publishing, GraceIsWaitedForOnlyWhereASlotMayStillBeRead) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    const auto with = [&](std::uint32_t weight) {
        return changed({service("a", {"10.1.0.1"}, {{c, weight}, {nullptr, 1}})});
    };
    ASSERT_TRUE(publisher.publish(with(1)));
    ASSERT_TRUE(publisher.publish(with(2)));
    EXPECT_EQ(graces, 0) << "the second slot was empty";
    ASSERT_TRUE(publisher.publish(with(3)));
    EXPECT_EQ(graces, 1) << "the first one may be read by who began before generation 2";
    publisher.reclaim();
    EXPECT_EQ(graces, 2);
    ASSERT_TRUE(publisher.publish(with(4)));
    EXPECT_EQ(graces, 2) << "reclaim() waited already";
    publisher.reclaim();
    publisher.reclaim();
    EXPECT_EQ(graces, 3) << "nothing retired, nothing to wait for";
}

TEST_F(Publishing, AFullTableChangesNothing) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    const auto before = publisher.occupancy();
    std::vector<model::Endpoint> many;
    for (int i = 1; i <= 24; ++i) {
        many.push_back(endpoint("10.0.1." + std::to_string(i)));
    }
    const auto result = publisher.publish(changed(
        {service("a", {"10.1.0.1"}, {{nullptr, 1}}), service("b", {"10.1.0.2"}, {{cluster("many", many), 1}})}));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ENOSPC);
    EXPECT_THAT(result.error().message, testing::HasSubstr("table endpoints is full: 24 of 24 rows"));
    EXPECT_THAT(result.error().message, testing::HasSubstr("--capacity endpoints=N"));
    EXPECT_EQ(publisher.generation(), 1u);
    EXPECT_EQ(decider.endpoint_of(decider.dial("10.1.0.1")), "10.0.0.1:80");
    const auto after = publisher.occupancy();
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (before[i].table != "identities") {
            EXPECT_EQ(after[i].used, before[i].used) << after[i].table;
        }
    }
    many.resize(23);
    EXPECT_TRUE(publisher.publish(changed({service("b", {"10.1.0.2"}, {{cluster("many", many), 1}})})));
}

TEST_F(Publishing, RetiredRowsAreFreedWhenTheRoomIsNeeded) {
    for (int i = 1; i <= 40; ++i) {
        std::vector<model::Endpoint> endpoints;
        for (int j = 0; j < 12; ++j) {
            endpoints.push_back(endpoint("10.0." + std::to_string(i) + "." + std::to_string(j + 1)));
        }
        const auto done = publisher.publish(changed({service("a", {"10.1.0.1"}, {{cluster("c", endpoints), 1}})}));
        ASSERT_TRUE(done) << done.error().text();
    }
}

TEST_F(Publishing, AFullIndexChangesNothing) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    tables.limit_keys(2);
    ASSERT_FALSE(publisher.publish(changed({service("a", {"10.1.0.1", "10.1.0.2", "10.1.0.3"}, {{c, 1}})})));
    EXPECT_EQ(publisher.generation(), 0u);
    EXPECT_EQ(tables.keys(), 0u);
    EXPECT_EQ(used("services"), 0u);
    EXPECT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1", "10.1.0.2"}, {{c, 1}})})));
}

TEST_F(Publishing, TooManyDestinationsAreRefused) {
    std::vector<std::pair<model::ClusterPtr, std::uint32_t>> destinations(33, {nullptr, 1});
    const auto result = publisher.publish(changed({service("a", {"10.1.0.1"}, destinations)}));
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, testing::HasSubstr("a:8080: a route has 33 destinations, allowed are 1 to 32"));
}

TEST_F(Publishing, AMissingClusterIsNc) {
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{nullptr, 1}})})));
    EXPECT_EQ(decider.dial("10.1.0.1").reason, SL_REASON_NO_CLUSTER);
}

TEST_F(Publishing, ScopesSeeTheirOwnAndClientsAreTold) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    const auto d = cluster("d", {endpoint("10.0.0.2")});
    model::Client client;
    client.workload = workload("shop");
    client.ns = "shop";
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    const std::pair<std::uint64_t, model::Client> clients[] = {{77, client}};
    ASSERT_TRUE(publisher.set_clients(clients));
    EXPECT_EQ(tables.client(77).scope, 0u) << "nothing of its own";
    EXPECT_EQ(publisher.workload(tables.client(77).workload), client.workload);
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{d, 1}}, "shop")})));
    const std::uint32_t scope = tables.client(77).scope;
    EXPECT_EQ(scope, publisher.scope_number("shop"));
    ASSERT_NE(scope, 0u);
    EXPECT_EQ(decider.endpoint_of(decider.dial("10.1.0.1", scope)), "10.0.0.2:80");
    EXPECT_EQ(decider.endpoint_of(decider.dial("10.1.0.1")), "10.0.0.1:80");
    ASSERT_TRUE(publisher.publish(removed("a", "shop")));
    EXPECT_EQ(tables.client(77).scope, 0u);
    publisher.reclaim();
    EXPECT_EQ(decider.endpoint_of(decider.dial("10.1.0.1", scope)), "10.0.0.1:80");
}

TEST_F(Publishing, AnAddressMayMoveBetweenServicesInOneGeneration) {
    const auto c = cluster("c", {endpoint("10.0.0.1")});
    const auto d = cluster("d", {endpoint("10.0.0.2")});
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    model::Delta delta = removed("a");
    delta.changed.push_back(service("b", {"10.1.0.1"}, {{d, 1}}));
    ASSERT_EQ(publisher.publish(delta), 2u);
    publisher.reclaim();
    EXPECT_EQ(decider.endpoint_of(decider.dial("10.1.0.1")), "10.0.0.2:80");
    EXPECT_EQ(tables.keys(), 1u);
}

TEST_F(Publishing, AHashClusterIsBuiltAndRebuiltWithItsEndpoints) {
    auto c = cluster("c", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    c->load_balancer = SL_LB_RING_HASH;
    c->hash_table_size = 1024;
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    EXPECT_EQ(row("c").hash_count, 1024u);
    auto larger = std::make_shared<model::Cluster>(*c);
    larger->hash_table_size = 2048;
    ASSERT_EQ(publisher.publish(changed({service("a", {"10.1.0.1"}, {{larger, 1}})})), 2u);
    EXPECT_EQ(row("c").hash_count, 2048u);
    auto maglev = std::make_shared<model::Cluster>(*c);
    maglev->load_balancer = SL_LB_MAGLEV;
    maglev->hash_table_size = 251;
    ASSERT_EQ(publisher.publish(changed({service("a", {"10.1.0.1"}, {{maglev, 1}})})), 3u);
    EXPECT_EQ(row("c").hash_count, 251u);
    publisher.reclaim();
    EXPECT_EQ(used("hash_entries"), 251u);
}

TEST_F(Publishing, SweepReturnsWhoseTimeHasPassed) {
    auto c = cluster("c", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    c->outlier = config::OutlierDetection{};
    c->outlier->max_ejection_percent = 100;
    ASSERT_TRUE(publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})})));
    const sl_tables t = tables.tables();
    const std::uint32_t number = publisher.cluster_number(c->id);
    const std::uint32_t slot = publisher.endpoints(number).front();
    sl_event event{};
    for (int i = 0; i < 5; ++i) {
        sl_outlier_failure(&t, number, slot, SL_FAILURE_CONNECT, 1, &event);
    }
    ASSERT_EQ(event.kind, SL_EVENT_EJECTED);
    std::vector<sl_event> events;
    const auto sweep = [&](std::uint64_t now) {
        publisher.sweep(now, [&](const sl_event& e) { events.push_back(e); });
    };
    sweep(event.until_ns - 1);
    EXPECT_TRUE(events.empty());
    sweep(event.until_ns);
    sweep(event.until_ns);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].kind, SL_EVENT_RETURNED);
    EXPECT_EQ(events[0].endpoint, slot);
}

}  // namespace
}  // namespace sluice::compile
