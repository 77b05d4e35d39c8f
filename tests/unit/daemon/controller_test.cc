#include <future>
#include <thread>

#include "fixture.h"

namespace sluice::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Weights = std::vector<std::uint32_t>;
using Loaded = LoadReport::Outcome;
using Applied = ApplyReport::Outcome;

class ControllerTest : public PipelineTest {
  protected:
    void SetUp() override {
        put("a.yaml", service("a", "10.9.0.1"));
        put("b.yaml", service("b", "10.9.0.2"));
        put("weights.yaml", "# before\n" + weights("a", 90, 10) + "---\n" + weights("b", 50, 50) + "# after\n");
    }
};

TEST_F(ControllerTest, StartPutsTheDirectoryInForceAndRecordsIt) {
    LoadReport report = start();
    EXPECT_EQ(report.outcome, Loaded::kInForce) << testing::PrintToString(report.errors);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    EXPECT_EQ(in_force("10.9.0.2"), (Weights{50, 50}));
    EXPECT_TRUE(controller().load_state().last_success);
    auto history = controller().history(10);
    ASSERT_TRUE(history);
    ASSERT_EQ(history->size(), 1u);
    EXPECT_THAT((*history)[0].summary, HasSubstr("created VirtualService ml/a"));
}

TEST_F(ControllerTest, ABadLoadKeepsTheLastGoodGeneration) {
    start();
    const std::uint64_t before = generation();
    put("weights.yaml", weights("a", 10, 90) + "---\nkind: Nonsense\n---\nkind: Worse\n");
    LoadReport report = controller().rescan(false);
    EXPECT_EQ(report.outcome, Loaded::kRefused);
    EXPECT_GE(report.errors.size(), 2u);  // every one of them
    EXPECT_THAT(report.errors[0], HasSubstr("weights.yaml:"));
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    EXPECT_EQ(generation(), before);
    LoadState state = controller().load_state();
    EXPECT_FALSE(state.last_success);
    EXPECT_EQ(state.errors_total, 1u);
    EXPECT_EQ(state.last_error, report.errors);
    // The same again is counted, but not written to the history twice.
    controller().rescan(true);
    EXPECT_EQ(controller().load_state().errors_total, 2u);
    EXPECT_EQ(controller().history(10)->size(), 2u);

    put("weights.yaml", weights("a", 10, 90) + "---\n" + weights("b", 50, 50));
    EXPECT_EQ(controller().rescan(false).outcome, Loaded::kInForce);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{10, 90}));
    EXPECT_TRUE(controller().load_state().last_success);
    EXPECT_THAT((*controller().history(1))[0].summary, HasSubstr("changed VirtualService ml/a"));
}

TEST_F(ControllerTest, ADanglingReferenceIsRefusedByTheMeshAndComesAgain) {
    start();
    std::filesystem::remove(base_ + "/rules/b.yaml");  // its VirtualService still names it
    EXPECT_EQ(controller().rescan(false).outcome, Loaded::kRefused);
    EXPECT_EQ(in_force("10.9.0.2"), (Weights{50, 50}));
    put("weights.yaml", weights("a", 90, 10));
    EXPECT_EQ(controller().rescan(false).outcome, Loaded::kInForce);
    EXPECT_THAT(in_force("10.9.0.2"), IsEmpty());
}

TEST_F(ControllerTest, ColdStartServesTheLastGoodObjectsWhenTheDirectoryIsBroken) {
    start();
    reboot();
    put("weights.yaml", "kind: Nonsense\n");
    LoadReport report = start();
    EXPECT_EQ(report.outcome, Loaded::kRefused);
    EXPECT_TRUE(report.from_state);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    // Nothing can be written to a directory that is not understood.
    EXPECT_EQ(controller().apply(request(weights("a", 1, 1))).outcome, Applied::kFailed);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    // It is watched, and the first good content is served.
    put("weights.yaml", weights("a", 20, 80) + "---\n" + weights("b", 50, 50));
    report = controller().rescan(false);
    EXPECT_EQ(report.outcome, Loaded::kInForce) << testing::PrintToString(report.errors);
    EXPECT_FALSE(report.from_state);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{20, 80}));
}

TEST_F(ControllerTest, AMissingDirectoryLeavesAdoptedTablesInForce) {
    start();
    stop();
    std::filesystem::remove_all(base_ + "/rules");
    std::filesystem::remove_all(base_ + "/state");  // nothing to fall back to either
    LoadReport report = start();
    EXPECT_EQ(report.outcome, Loaded::kRefused);
    EXPECT_FALSE(report.from_state);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    std::filesystem::create_directory(base_ + "/rules");
    put("a.yaml", service("a", "10.9.0.1"));
    EXPECT_EQ(controller().rescan(true).outcome, Loaded::kInForce);
    EXPECT_THAT(in_force("10.9.0.2"), IsEmpty());  // what the directory no longer has is gone
}

TEST_F(ControllerTest, ApplyIsInForceWrittenAndRecordedAndSurvivesARestart) {
    start();
    ApplyReport report = controller().apply(request(weights("a", 75, 25)));
    ASSERT_EQ(report.outcome, Applied::kDone) << testing::PrintToString(report.errors);
    EXPECT_EQ(report.generation, generation());
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{75, 25}));
    ASSERT_EQ(report.changes.size(), 1u);
    EXPECT_EQ(report.changes[0].action, "replaced");
    EXPECT_THAT(report.changes[0].file, HasSubstr("/rules/weights.yaml"));
    EXPECT_THAT(report.notes, ElementsAre(HasSubstr("weights count connections")));
    const std::string text = get("weights.yaml");
    EXPECT_THAT(text, HasSubstr("weight: 75"));
    EXPECT_THAT(text, HasSubstr("# before\n"));
    EXPECT_THAT(text, HasSubstr("# after\n"));
    EXPECT_EQ((*controller().history(1))[0].source, state::ChangeSource::kApply);
    EXPECT_EQ(controller().rescan(true).outcome, Loaded::kUnchanged);  // its own writing is no news

    start();
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{75, 25}));
    EXPECT_EQ((*controller().history(1))[0].source, state::ChangeSource::kApply);  // a restart adds nothing
}

TEST_F(ControllerTest, ApplyOfInvalidRulesChangesNothing) {
    start();
    const std::string before = get("weights.yaml");
    const std::uint64_t was = generation();
    for (const std::string& bad :
         {std::string("kind: Nonsense\n"), std::string(""), weights("nowhere", 1, 1), weights("a", 0, 0),
          weights("a", 1, 2) + "---\n" + weights("a", 3, 4), weights("a", 5, 6) + "---\nkind: Nonsense\n"}) {
        ApplyReport report = controller().apply(request(bad));
        EXPECT_EQ(report.outcome, Applied::kInvalid) << bad;
        EXPECT_THAT(report.errors, testing::Not(IsEmpty())) << bad;
        EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10})) << bad;
    }
    EXPECT_EQ(get("weights.yaml"), before);
    EXPECT_EQ(generation(), was);
    EXPECT_EQ(controller().load_state().applies_refused, 6u);
    EXPECT_FALSE((*controller().history(1))[0].ok);
}

TEST_F(ControllerTest, ADryRunShowsAndChangesNothing) {
    start();
    const std::string before = get("weights.yaml");
    admin::ApplyRequest dry = request(weights("a", 30, 70));
    dry.dry_run = true;
    ApplyReport report = controller().apply(dry);
    ASSERT_EQ(report.outcome, Applied::kDone);
    EXPECT_THAT(*report.changes[0].before, HasSubstr("weight: 90"));
    EXPECT_THAT(*report.changes[0].after, HasSubstr("weight: 30"));
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    EXPECT_EQ(get("weights.yaml"), before);
    EXPECT_EQ(controller().history(10)->size(), 1u);
}

TEST_F(ControllerTest, ApplyOfWhatIsInForceIsNoNewGeneration) {
    start();
    const std::uint64_t was = generation();
    ApplyReport report = controller().apply(request(weights("a", 90, 10)));
    EXPECT_EQ(report.outcome, Applied::kDone);
    EXPECT_EQ(report.changes[0].action, "unchanged");
    EXPECT_EQ(generation(), was);
}

TEST_F(ControllerTest, ApplyTakesAnUnseenEditOfTheDirectoryAlong) {
    start();
    put("weights.yaml", weights("a", 90, 10) + "---\n" + weights("b", 1, 99));  // the watch has not spoken yet
    ASSERT_EQ(controller().apply(request(weights("a", 60, 40))).outcome, Applied::kDone);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{60, 40}));
    EXPECT_EQ(in_force("10.9.0.2"), (Weights{1, 99}));
    EXPECT_THAT(get("weights.yaml"), HasSubstr("weight: 99"));
}

TEST_F(ControllerTest, ANewObjectGetsItsOwnFile) {
    start();
    ApplyReport report = controller().apply(request(service("c", "10.9.0.3")));
    ASSERT_EQ(report.outcome, Applied::kDone) << testing::PrintToString(report.errors);
    EXPECT_EQ(report.changes[0].action, "created");
    EXPECT_TRUE(std::filesystem::exists(report.changes[0].file));
    start();
    EXPECT_EQ(in_force("10.9.0.3").size(), 1u);
}

TEST_F(ControllerTest, AFullTableRefusesTheApplyAndLeavesTheDirectory) {
    start();
    tables_.limit_keys(tables_.keys());
    ApplyReport report = controller().apply(request(service("c", "10.9.0.3")));
    EXPECT_EQ(report.outcome, Applied::kFailed);
    EXPECT_THAT(in_force("10.9.0.3"), IsEmpty());
    EXPECT_EQ(controller().rescan(true).outcome, Loaded::kUnchanged);
    // The mesh went back too: with room again the same apply is a change.
    tables_.limit_keys(SIZE_MAX);
    report = controller().apply(request(service("c", "10.9.0.3")));
    ASSERT_EQ(report.outcome, Applied::kDone) << testing::PrintToString(report.errors);
    EXPECT_EQ(report.changes[0].action, "created");
    EXPECT_EQ(in_force("10.9.0.3").size(), 1u);
}

TEST_F(ControllerTest, AnEditorThatSavesDuringTheApplyLosesNothing) {
    int saved = 0;
    start([&](const char* step) {
        if (std::string_view(step) == "published" && saved++ == 0) {
            put("weights.yaml", weights("a", 90, 10) + "---\n" + weights("b", 7, 93));
        }
    });
    ApplyReport report = controller().apply(request(weights("a", 60, 40)));
    ASSERT_EQ(report.outcome, Applied::kDone) << testing::PrintToString(report.errors);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{60, 40}));
    EXPECT_EQ(in_force("10.9.0.2"), (Weights{7, 93}));
    EXPECT_THAT(get("weights.yaml"), testing::AllOf(HasSubstr("weight: 60"), HasSubstr("weight: 93")));
}

TEST_F(ControllerTest, AWriteBackThatFailsPutsBackWhatWasInForce) {
    start([&](const char* step) {
        if (std::string_view(step) == "published") {
            // Every attempt meets another editor.
            static int turn = 0;
            put("weights.yaml",
                weights("a", 90, 10) + "---\n" + weights("b", 50, 50) + "# edit " + std::to_string(turn++));
        }
    });
    ApplyReport report = controller().apply(request(weights("a", 60, 40)));
    EXPECT_EQ(report.outcome, Applied::kConflict);
    EXPECT_THAT(report.errors[0], HasSubstr("what was in force before is again"));
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    EXPECT_THAT(get("weights.yaml"), testing::Not(HasSubstr("weight: 60")));
}

TEST_F(ControllerTest, AnEditorThatSavesNonsenseDuringTheApplyStopsIt) {
    start([&](const char* step) {
        if (std::string_view(step) == "published") {
            put("weights.yaml", "kind: Nonsense\n");
        }
    });
    ApplyReport report = controller().apply(request(weights("a", 60, 40)));
    EXPECT_NE(report.outcome, Applied::kDone);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    EXPECT_EQ(get("weights.yaml"), "kind: Nonsense\n");
    put("weights.yaml", weights("a", 90, 10) + "---\n" + weights("b", 50, 50));
    EXPECT_NE(controller().rescan(true).outcome, Loaded::kRefused);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
}

TEST_F(ControllerTest, WhatTheWatchBroughtIsWhatAColdStartServes) {
    start();
    put("weights.yaml", weights("a", 10, 90) + "---\n" + weights("b", 50, 50));
    controller().rescan(false);
    reboot();
    put("weights.yaml", "kind: Nonsense\n");
    EXPECT_TRUE(start().from_state);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{10, 90}));
}

// The process ends between any two steps of an apply: directory, database and tables agree at the next start.
TEST_F(ControllerTest, ACrashBetweenAnyTwoStepsIsHealedByTheNextStart) {
    struct Crash {};
    start();
    int steps = 0;
    for (int at = 0;; ++at) {
        put("weights.yaml", weights("a", 90, 10) + "---\n" + weights("b", 50, 50));
        int count = 0;
        start([&](const char*) {
            if (count++ == at) {
                throw Crash{};
            }
        });
        ASSERT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
        bool crashed = false;
        try {
            controller().apply(request(weights("a", 60, 40)));
        } catch (const Crash&) {
            crashed = true;
        }
        const Weights written =
            get("weights.yaml").find("weight: 60") != std::string::npos ? Weights{60, 40} : Weights{90, 10};
        ASSERT_EQ(start().outcome, Loaded::kInForce);
        EXPECT_EQ(in_force("10.9.0.1"), written) << "after step " << at;
        EXPECT_EQ(in_force("10.9.0.2"), (Weights{50, 50}));
        // The database too: with a broken directory it serves the same.
        put("broken.yaml", "kind: Nonsense\n");
        EXPECT_TRUE(start().from_state);
        EXPECT_EQ(in_force("10.9.0.1"), written) << "from the database after step " << at;
        std::filesystem::remove(base_ + "/rules/broken.yaml");
        if (!crashed) {
            break;
        }
        ++steps;
    }
    EXPECT_GE(steps, 4);  // published, at least one of the write-back, written, recorded
}

TEST_F(ControllerTest, TwoAppliesAtOnceLoseNothing) {
    start();
    auto writer = [&](const std::string& name) {
        return std::async(std::launch::async, [this, name] {
            for (int i = 1; i <= 20; ++i) {
                ApplyReport report = controller().apply(request(weights(name, i, 100 - i)));
                EXPECT_EQ(report.outcome, Applied::kDone) << testing::PrintToString(report.errors);
            }
        });
    };
    auto a = writer("a");
    auto b = writer("b");
    std::atomic<bool> done{false};
    auto reader = std::async(std::launch::async, [&] {
        while (!done) {
            controller().view([&](const model::Mesh& mesh, const admin::ViewContext& context) {
                for (const auto& [key, port] : mesh.services()) {
                    EXPECT_FALSE(admin::rows(admin::List::kRoutes, *port, context).empty());
                }
            });
            controller().load_state();
            controller().watch_due();
            running_->publisher.reclaim();
        }
    });
    a.get();
    b.get();
    done = true;
    reader.get();
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{20, 80}));
    EXPECT_EQ(in_force("10.9.0.2"), (Weights{20, 80}));
    EXPECT_EQ(controller().history(1000)->size(), 41u);
    start();
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{20, 80}));
    EXPECT_EQ(in_force("10.9.0.2"), (Weights{20, 80}));
}

TEST_F(ControllerTest, ClientsAreFoundWhenTheirCgroupAppears) {
    put("client.yaml",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: feed, namespace: ml, annotations: "
        "{sluice.dev/cgroup: pods/feed}}\nspec:\n  address: 127.0.0.1\n");
    start();
    EXPECT_EQ(controller().load_state().clients, 1u);
    EXPECT_EQ(controller().load_state().clients_unresolved, 1u);
    const std::string path = base_ + "/cgroup/pods/feed";
    std::filesystem::create_directories(path);
    EXPECT_EQ(controller().resolve_clients(), "");
    EXPECT_EQ(controller().load_state().clients_unresolved, 0u);
    const std::uint64_t id = *cgroup_id(path);
    EXPECT_NE(tables_.client(id).workload, 0u);
    std::filesystem::remove(path);
    controller().resolve_clients();
    EXPECT_EQ(tables_.client(id).workload, 0u);
}

TEST_F(ControllerTest, ObservedSharesCountFromTheRouteInForce) {
    start();
    auto observed = [&] {
        std::vector<std::uint64_t> picks;
        controller().view([&](const model::Mesh& mesh, const admin::ViewContext& context) {
            auto service = admin::find_service(mesh.services(), {.host = "a", .client = {}});
            ASSERT_TRUE(service);
            picks = context.live->route(**service)->picks;
            for (const model::Destination& destination : (*service)->route->destinations) {
                std::uint32_t number = running_->publisher.cluster_number(destination.cluster->id);
                sl_add(&tables_.tables().clusters[number].picks_total, 5);
            }
        });
        return picks;
    };
    EXPECT_THAT(observed(), ElementsAre(0, 0));
    EXPECT_THAT(observed(), ElementsAre(5, 5));
    ASSERT_EQ(controller().apply(request(weights("a", 1, 1))).outcome, Applied::kDone);
    EXPECT_THAT(observed(), ElementsAre(0, 0));
}

}  // namespace
}  // namespace sluice::daemon
