// Random deltas, restarts and connections: what decisions see equals a straightforward model of the mesh.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "mesh_maker.h"

namespace sluice::compile {
namespace {

using namespace test;

constexpr int kHosts = 6;
constexpr int kClusters = 8;
constexpr int kAddresses = 12;

std::string address_of_host(int host) {
    return "10.1.0." + std::to_string(host + 1);
}

class RandomMesh : public testing::TestWithParam<unsigned> {
  protected:
    RandomMesh() : random_(GetParam()), decider_(tables_, GetParam()) { restart(); }

    int below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

    void restart() {
        publisher_ = std::make_unique<Publisher>(tables_.tables(), tables_.identities(), tables_.services(),
                                                 tables_.clients(), [] {});
    }

    // New content for one cluster; every service that uses it changes with it.
    void reshape(int number) {
        std::vector<model::Endpoint> endpoints;
        for (int i = 0; i < kAddresses; ++i) {
            if (below(2) == 0) {
                endpoints.push_back(
                    endpoint("10.0.0." + std::to_string(10 + i), 80, below(5) != 0, "w" + std::to_string(below(3))));
            }
        }
        auto made = cluster("c" + std::to_string(number), std::move(endpoints));
        made->max_connections = below(3) == 0 ? 5 : SL_UNLIMITED;
        made->load_balancer = static_cast<sl_load_balancer>(below(5));
        made->hash_table_size = made->load_balancer == SL_LB_MAGLEV ? 251 : 256;
        clusters_[number] = made;
    }

    model::ServicePortPtr build(int host) {
        std::vector<std::pair<model::ClusterPtr, std::uint32_t>> destinations;
        for (const auto& [number, weight] : routes_[host]) {
            destinations.emplace_back(number < 0 ? nullptr : clusters_[number], weight);
        }
        return service("h" + std::to_string(host), {address_of_host(host)}, destinations);
    }

    void reroute(int host) {
        routes_[host].clear();
        const int count = 1 + below(3);
        std::set<int> used;
        for (int i = 0; i < count; ++i) {
            const int number = below(kClusters + 1) - 1;
            if (used.insert(number).second) {
                routes_[host].emplace_back(number, static_cast<std::uint32_t>(1 + below(9)));
            }
        }
        for (const auto& [number, weight] : routes_[host]) {
            if (number >= 0 && !clusters_.contains(number)) {
                reshape(number);
            }
        }
    }

    void change_something() {
        model::Delta delta;
        std::set<int> hosts;
        for (int i = 0; i <= below(3); ++i) {
            switch (below(4)) {
                case 0: {
                    const int host = below(kHosts);
                    reroute(host);
                    hosts.insert(host);
                    break;
                }
                case 1: {
                    const int host = below(kHosts);
                    if (routes_.erase(host) != 0) {
                        hosts.insert(host);
                    }
                    break;
                }
                default: {
                    const int number = below(kClusters);
                    reshape(number);
                    for (const auto& [host, route] : routes_) {
                        for (const auto& [used, weight] : route) {
                            if (used == number) {
                                hosts.insert(host);
                            }
                        }
                    }
                }
            }
        }
        for (const int host : hosts) {
            if (routes_.contains(host)) {
                delta.changed.push_back(build(host));
            } else {
                delta.removed.push_back({"", "h" + std::to_string(host), 8080});
            }
        }
        const auto done = publisher_->publish(delta);
        ASSERT_TRUE(done) << done.error().text();
    }

    // Everything that a decision may answer for this host, from the model alone.
    void check(int host) {
        std::set<std::string> allowed;
        bool may_be_down = false, may_be_missing = false;
        if (routes_.contains(host)) {
            for (const auto& [number, weight] : routes_[host]) {
                bool any = false;
                if (number < 0) {
                    may_be_missing = true;
                    continue;
                }
                for (const model::Endpoint& e : clusters_[number]->endpoints) {
                    if (e.accepts_new) {
                        allowed.insert("c" + std::to_string(number) + " " + endpoint_text(e.address, e.port));
                        any = true;
                    }
                }
                may_be_down = may_be_down || !any;
            }
        }
        std::set<std::string> seen;
        for (int i = 0; i < 30; ++i) {
            const sl_choice choice = decider_.dial(address_of_host(host));
            if (!routes_.contains(host)) {
                ASSERT_EQ(choice.route, SL_NONE);
                continue;
            }
            ASSERT_NE(choice.route, SL_NONE);
            if (choice.reason == SL_REASON_NONE) {
                const sl_cluster_row& row = decider_.tables().cluster_rows[choice.cluster_row];
                const model::ClusterPtr known = publisher_->cluster(choice.cluster);
                ASSERT_TRUE(known);
                ASSERT_EQ(row.max_connections, known->max_connections);
                const std::string answer = known->name + " " + decider_.endpoint_of(choice);
                ASSERT_TRUE(allowed.contains(answer)) << answer;
                const int number = std::stoi(known->name.substr(1));
                ASSERT_EQ(known, clusters_[number]);
                if (below(3) == 0) {
                    decider_.hold(choice);
                    held_.push_back(choice);
                }
            } else if (choice.reason == SL_REASON_NO_CLUSTER) {
                ASSERT_TRUE(may_be_missing);
            } else {
                ASSERT_EQ(choice.reason, SL_REASON_NO_HEALTHY_UPSTREAM);
                ASSERT_TRUE(may_be_down);
            }
        }
    }

    void release_some() {
        while (held_.size() > 40 || (!held_.empty() && below(8) != 0)) {
            const std::size_t which = random_() % held_.size();
            decider_.release(held_[which]);
            held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(which));
        }
    }

    // Held endpoints are still what they were, and every `active` word counts its connections.
    void check_held() {
        std::map<std::uint32_t, std::uint32_t> by_endpoint, by_cluster, by_route;
        for (const sl_choice& choice : held_) {
            ASSERT_EQ(decider_.tables().endpoints[choice.endpoint].cluster, choice.cluster);
            ++by_endpoint[choice.endpoint];
            ++by_cluster[choice.cluster];
            ++by_route[choice.route];
        }
        const sl_tables& t = decider_.tables();
        for (std::uint32_t i = 0; i < t.endpoint_count; ++i) {
            ASSERT_EQ(t.health[i].active, by_endpoint[i]);
        }
        for (std::uint32_t i = 0; i < t.cluster_count; ++i) {
            ASSERT_EQ(t.clusters[i].active, by_cluster[i]);
        }
        for (std::uint32_t i = 0; i < t.route_count; ++i) {
            ASSERT_EQ(t.routes[i].open, by_route[i]);
        }
    }

    std::mt19937 random_;
    HeapTables tables_{HeapCapacities{.services = 16,
                                      .routes = 256,
                                      .destinations = 512,
                                      .clusters = 32,
                                      .cluster_rows = 64,
                                      .endpoint_list = 1024,
                                      .endpoints = 512,
                                      .hash_entries = 16384,
                                      .identities = 16}};
    Decider decider_;
    std::unique_ptr<Publisher> publisher_;
    std::map<int, model::ClusterPtr> clusters_;
    std::map<int, std::vector<std::pair<int, std::uint32_t>>> routes_;
    std::vector<sl_choice> held_;
};

TEST_P(RandomMesh, DecisionsSeeTheMeshAndNothingLeaks) {
    for (int step = 0; step < 250; ++step) {
        ASSERT_NO_FATAL_FAILURE(change_something()) << step;
        for (int host = 0; host < kHosts; ++host) {
            ASSERT_NO_FATAL_FAILURE(check(host)) << "step " << step << " host " << host;
        }
        ASSERT_NO_FATAL_FAILURE(check_held()) << step;
        release_some();
        if (below(3) == 0) {
            publisher_->reclaim();
        }
        if (below(10) == 0) {
            const std::uint64_t before = publisher_->generation();
            restart();
            const auto adopted = publisher_->adopt();
            ASSERT_TRUE(adopted) << adopted.error().text();
            std::vector<model::ServicePortPtr> all;
            for (const auto& [host, route] : routes_) {
                all.push_back(build(host));
            }
            ASSERT_EQ(publisher_->publish_all(all), before) << "a restart changes nothing, step " << step;
        }
    }
    for (const sl_choice& choice : held_) {
        decider_.release(choice);
    }
    ASSERT_TRUE(publisher_->publish_all(std::vector<model::ServicePortPtr>{}));
    publisher_->reclaim();
    EXPECT_EQ(publisher_->reclaim(), 0u);
    EXPECT_EQ(tables_.keys(), 0u);
    for (const Occupancy& o : publisher_->occupancy()) {
        if (o.table != "identities") {
            EXPECT_EQ(o.used, 0u) << o.table;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomMesh, testing::Range(1u, 13u));

}  // namespace
}  // namespace sluice::compile
