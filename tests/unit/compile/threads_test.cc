// Readers decide while a writer publishes: no half generation, no old rule after publish() returned, no data race.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "mesh_maker.h"

namespace sluice::compile {
namespace {

using namespace test;

// What RCU is to programs: a reader marks its sections, grace() waits until each that was open has ended.
class Sections {
  public:
    static constexpr int kReaders = 2;
    void enter(int reader) { counts_[reader].fetch_add(1); }
    void leave(int reader) { counts_[reader].fetch_add(1); }
    void grace() {
        for (std::atomic<std::uint64_t>& count : counts_) {
            const std::uint64_t seen = count.load();
            while (seen % 2 == 1 && count.load() == seen) {
                std::this_thread::yield();
            }
        }
    }

  private:
    std::atomic<std::uint64_t> counts_[kReaders]{};
};

TEST(Threads, FlipsOfTwoServicesAreNeverSeenHalf) {
    HeapTables tables;
    Sections sections;
    Publisher publisher(tables.tables(), tables.identities(), tables.services(), tables.clients(),
                        [&] { sections.grace(); });
    const auto blue = cluster("blue", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
    const auto green = cluster("green", {endpoint("10.0.1.1"), endpoint("10.0.1.2")});
    // Odd generations: both blue; even ones: both green, and endpoints come and go with them.
    const auto flip = [&](bool odd) {
        const model::ClusterPtr to = odd ? blue : green;
        return changed({service("a", {"10.1.0.1"}, {{to, 1}}), service("b", {"10.1.0.2"}, {{to, 1}})});
    };
    ASSERT_EQ(publisher.publish(flip(true)), 1u);
    std::atomic<std::uint64_t> published{1};
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> decisions{0};
    std::vector<std::thread> readers;
    for (int reader = 0; reader < Sections::kReaders; ++reader) {
        readers.emplace_back([&, reader] {
            Decider decider(tables, static_cast<std::uint64_t>(reader) + 1);
            std::uint64_t last = 0;
            while (!stop.load()) {
                const std::uint64_t at_least = published.load();
                sections.enter(reader);
                const sl_choice choice = decider.dial(reader % 2 == 0 ? "10.1.0.1" : "10.1.0.2");
                const std::string to = choice.reason == SL_REASON_NONE ? decider.endpoint_of(choice) : "";
                if (choice.reason == SL_REASON_NONE) {
                    decider.hold(choice);
                }
                sections.leave(reader);
                // Every generation says one thing of both services, so half of one would contradict its number.
                ASSERT_EQ(choice.reason, SL_REASON_NONE);
                ASSERT_GE(choice.generation, at_least) << "an old rule after publish() returned";
                ASSERT_GE(choice.generation, last);
                ASSERT_EQ(to.substr(0, 7), choice.generation % 2 == 1 ? "10.0.0." : "10.0.1.");
                decider.release(choice);
                last = choice.generation;
                ++decisions;
            }
        });
    }
    for (std::uint64_t generation = 2; generation <= 150; ++generation) {
        const auto done = publisher.publish(flip(generation % 2 == 1));
        ASSERT_EQ(done, generation);
        published.store(generation);
        if (generation % 3 == 0) {
            publisher.reclaim();
        }
        publisher.sweep(1, [](const sl_event&) {});
        const std::uint64_t before = decisions.load();
        while (decisions.load() < before + 3 && !testing::Test::HasFailure()) {
            std::this_thread::yield();
        }
    }
    stop = true;
    for (std::thread& reader : readers) {
        reader.join();
    }
    EXPECT_EQ(publisher.reclaim(), 0u) << "nothing is held any more";
}

TEST(Threads, OneDecisionFollowsOneGenerationFromRouteToEndpoint) {
    HeapTables tables;
    Sections sections;
    Publisher publisher(tables.tables(), tables.identities(), tables.services(), tables.clients(),
                        [&] { sections.grace(); });
    // One cluster whose limit and endpoints change together: a row tells which generation it belongs to.
    const auto publish = [&](std::uint64_t generation) {
        auto c = cluster("c", {endpoint("10.0.0." + std::to_string(1 + generation % 2))});
        c->max_connections = static_cast<std::uint32_t>(generation);
        return publisher.publish(changed({service("a", {"10.1.0.1"}, {{c, 1}})}));
    };
    ASSERT_EQ(publish(1), 1u);
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> decisions{0};
    std::vector<std::thread> readers;
    for (int reader = 0; reader < Sections::kReaders; ++reader) {
        readers.emplace_back([&, reader] {
            Decider decider(tables, static_cast<std::uint64_t>(reader) + 1);
            while (!stop.load()) {
                sections.enter(reader);
                const sl_choice choice = decider.dial("10.1.0.1");
                const std::uint32_t limit = decider.tables().cluster_rows[choice.cluster_row].max_connections;
                const std::string to = decider.endpoint_of(choice);
                sections.leave(reader);
                ASSERT_EQ(limit, choice.generation);
                ASSERT_EQ(to, "10.0.0." + std::to_string(1 + choice.generation % 2) + ":80");
                ++decisions;
            }
        });
    }
    for (std::uint64_t generation = 2; generation <= 100; ++generation) {
        ASSERT_EQ(publish(generation), generation);
        if (generation % 2 == 0) {
            publisher.reclaim();
        }
        const std::uint64_t before = decisions.load();
        while (decisions.load() < before + 3 && !testing::Test::HasFailure()) {
            std::this_thread::yield();
        }
    }
    stop = true;
    for (std::thread& reader : readers) {
        reader.join();
    }
}

}  // namespace
}  // namespace sluice::compile
