// Going back to a former generation: documents, files, history.
#include <sys/stat.h>

#include "fixture.h"

namespace sluice::daemon {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Weights = std::vector<std::uint32_t>;
using Applied = ApplyReport::Outcome;

class RollbackTest : public PipelineTest {
  protected:
    void SetUp() override {
        put("a.yaml", service("a", "10.9.0.1"));
        put("weights.yaml", "# before\n" + weights("a", 90, 10) + "# after\n");
    }
    void start_agent(source::StepHook step = {}) {
        start(std::move(step));
        first_ = generation();
    }

    std::uint64_t apply(const std::string& documents) {
        ApplyReport report = controller().apply(request(documents));
        EXPECT_EQ(report.outcome, Applied::kDone) << testing::PrintToString(report.errors);
        return report.generation;
    }
    ApplyReport back(std::uint64_t to, bool dry_run = false) {
        return controller().rollback(
            {.generation = to, .message = "v2 is slow", .dry_run = dry_run, .peer = {.uid = 0, .pid = 1}});
    }
    ApplyReport done(std::uint64_t to) {
        ApplyReport report = back(to);
        EXPECT_EQ(report.outcome, Applied::kDone) << testing::PrintToString(report.errors);
        return report;
    }
    state::HistoryRow newest() { return controller().history(1).value().at(0); }

    std::map<std::string, std::string> files() const {
        std::map<std::string, std::string> out;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(base_ + "/rules")) {
            if (entry.is_regular_file()) {
                const std::string name = entry.path().string().substr(base_.size() + 7);
                out[name] = get(name);
            }
        }
        return out;
    }

    std::uint64_t first_ = 0;
};

TEST_F(RollbackTest, BringsBackDocumentsAndFilesInOneGenerationAndRecordsIt) {
    start_agent();
    const auto before = files();
    apply(weights("a", 50, 50));
    const std::uint64_t bad = apply(weights("a", 10, 90) + "---\n" + service("c", "10.9.0.3"));
    ASSERT_EQ(in_force("10.9.0.3").size(), 1u);
    ApplyReport report = done(first_);
    EXPECT_EQ(report.generation, bad + 1);
    EXPECT_EQ(generation(), bad + 1);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    EXPECT_THAT(in_force("10.9.0.3"), IsEmpty());  // it did not exist then
    EXPECT_EQ(files(), before);
    EXPECT_EQ(newest().source, state::ChangeSource::kRollback);
    EXPECT_EQ(newest().message, "v2 is slow");
    EXPECT_EQ(newest().file, "generation " + std::to_string(first_));
    EXPECT_EQ(newest().generation, bad + 1);
    EXPECT_THAT(newest().summary, HasSubstr("deleted ServiceEntry ml/c"));
    EXPECT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kUnchanged);  // its own writing is no news
    // Forward again, to what was undone.
    done(bad);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{10, 90}));
    EXPECT_EQ(in_force("10.9.0.3").size(), 1u);
    start();
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{10, 90}));
}

TEST_F(RollbackTest, ADeletedFileComesBackUnderItsNameWithAllItsDocuments) {
    std::filesystem::create_directory(base_ + "/rules/team");
    put("team/c.yaml", service("c", "10.9.0.3"));
    put("team/tail.yaml", weights("c", 70, 30));
    start_agent();
    const auto before = files();
    std::filesystem::remove_all(base_ + "/rules/team");
    ASSERT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kInForce);
    done(first_);
    EXPECT_EQ(in_force("10.9.0.3"), (Weights{70, 30}));
    auto now = files();
    // In the order of their keys, and without what stood between them.
    const std::string both = service("c", "10.9.0.3");
    const std::size_t cut = both.find("---\n");
    EXPECT_EQ(now["team/c.yaml"], both.substr(cut + 4) + "---\n" + both.substr(0, cut));
    EXPECT_THAT(now["team/tail.yaml"], HasSubstr("weight: 70"));
    EXPECT_EQ(now.size(), before.size());
}

TEST_F(RollbackTest, ADocumentTakenOutOfAFileComesBackBehindTheOthers) {
    put("weights.yaml", weights("a", 90, 10));
    put("a.yaml", service("a", "10.9.0.1") + "---\n" + service("b", "10.9.0.2"));
    start_agent();
    const auto before = files();
    const std::string whole = get("a.yaml");
    put("a.yaml", whole.substr(0, whole.rfind("---\n")));
    ASSERT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kInForce);
    EXPECT_EQ(done(first_).changes.size(), 1u);
    EXPECT_EQ(files(), before);
}

TEST_F(RollbackTest, ADryRunShowsTextsAndEffectsAndChangesNothing) {
    start_agent();
    apply(weights("a", 50, 50) + "---\n" + service("c", "10.9.0.3"));
    const auto before = files();
    const std::uint64_t was = generation();
    ApplyReport report = back(first_, true);
    ASSERT_EQ(report.outcome, Applied::kDone) << testing::PrintToString(report.errors);
    ASSERT_EQ(report.changes.size(), 3u);
    EXPECT_EQ(report.changes[0].object, "VirtualService ml/a");
    EXPECT_THAT(*report.changes[0].before, HasSubstr("weight: 50"));
    EXPECT_THAT(*report.changes[0].after, HasSubstr("weight: 90"));
    EXPECT_EQ(report.changes[1].action, "deleted");
    EXPECT_TRUE(report.changes[1].before.has_value());
    EXPECT_FALSE(report.changes[1].after.has_value());
    EXPECT_THAT(report.effects, Contains(HasSubstr("a.ml.svc.cluster.local:80: all connections: v1 50% -> 90%")));
    EXPECT_THAT(report.effects, Contains(HasSubstr("c.ml.svc.cluster.local:80: is gone")));
    EXPECT_EQ(files(), before);
    EXPECT_EQ(generation(), was);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{50, 50}));
    EXPECT_EQ(newest().source, state::ChangeSource::kApply);
}

TEST_F(RollbackTest, WhatIsNotKeptOrDoesNotDifferIsRefusedAndSaysWhatThereIs) {
    start_agent();
    ApplyReport same = back(first_);
    EXPECT_EQ(same.outcome, Applied::kInvalid);
    EXPECT_THAT(same.errors, ElementsAre(HasSubstr("nothing differs from generation")));
    ApplyReport missing = back(4711);
    EXPECT_EQ(missing.outcome, Applied::kInvalid);
    EXPECT_THAT(missing.errors, ElementsAre(testing::AllOf(HasSubstr("generation 4711 is not in the history"),
                                                           HasSubstr("generation " + std::to_string(first_)))));
    EXPECT_FALSE(newest().ok);
    EXPECT_EQ(newest().source, state::ChangeSource::kRollback);
    const std::int64_t refused = newest().id;
    ApplyReport never = controller().rollback({.entry = refused});
    EXPECT_THAT(never.errors, ElementsAre(HasSubstr("was refused: it never was in force")));
}

TEST_F(RollbackTest, AGenerationWithoutDocumentsIsRefused) {
    start_agent();
    std::filesystem::remove(base_ + "/rules/a.yaml");
    std::filesystem::remove(base_ + "/rules/weights.yaml");
    ASSERT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kInForce);
    const std::uint64_t empty = generation();
    put("a.yaml", service("a", "10.9.0.1"));
    ASSERT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kInForce);
    ApplyReport report = back(empty);
    EXPECT_EQ(report.outcome, Applied::kInvalid);
    EXPECT_THAT(report.errors, ElementsAre(HasSubstr("had no documents at all")));
    EXPECT_EQ(in_force("10.9.0.1").size(), 1u);
}

TEST_F(RollbackTest, WhatIsNotValidTodayIsRefusedAsAWhole) {
    put("b.yaml", service("b", "10.9.0.2"));
    start_agent();
    // A rule that was there then names a service that is held in a document which cannot be written: a List.
    put("b.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: ServiceEntry\n"
        "  metadata: {name: b, namespace: ml}\n  spec:\n    hosts: [b.ml.svc.cluster.local]\n"
        "    addresses: [10.9.0.2]\n    resolution: STATIC\n    ports: [{number: 80, name: tcp, protocol: TCP}]\n"
        "    endpoints: [{address: 10.0.0.1}]\n");
    ASSERT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kInForce);
    apply(weights("a", 50, 50));
    const auto before = files();
    ApplyReport report = back(first_);
    EXPECT_NE(report.outcome, Applied::kDone);
    EXPECT_THAT(report.errors, Contains(HasSubstr("item of a List")));
    EXPECT_EQ(files(), before);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{50, 50}));
    EXPECT_FALSE(newest().ok);
}

TEST_F(RollbackTest, AnEditThatTheWatchHasNotSeenIsRecordedFirstAndTakenBack) {
    start_agent();
    put("weights.yaml", "# before\n" + weights("a", 1, 99) + "# after\n");
    done(first_);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    const auto history = controller().history(10).value();
    ASSERT_EQ(history.size(), 3u);
    EXPECT_EQ(history[1].source, state::ChangeSource::kDirectory);
    // So it can be had again.
    done(history[1].generation);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{1, 99}));
}

TEST_F(RollbackTest, AnEditorThatSavesDuringTheRollbackLosesNothing) {
    int saved = 0;
    start_agent([&](const char* step) {
        if (std::string_view(step) == "published" && ++saved == 2) {
            put("weights.yaml", weights("a", 50, 50) + "# edited\n");
        }
    });
    apply(weights("a", 50, 50));
    done(first_);
    EXPECT_EQ(in_force("10.9.0.1"), (Weights{90, 10}));
    EXPECT_THAT(get("weights.yaml"), testing::AllOf(HasSubstr("weight: 90"), HasSubstr("# edited")));
}

TEST_F(RollbackTest, ComparesGenerationsByTextsAndEffects) {
    start_agent();
    const std::uint64_t second = apply(weights("a", 50, 50));
    const std::uint64_t third = apply(service("c", "10.9.0.3"));
    const auto effects = [&](const admin::CompareQuery& query) { return controller().compare(query).effects; };
    EXPECT_THAT(
        effects({.from = first_, .to = second}),
        ElementsAre("a.ml.svc.cluster.local:80: all connections: v1 90% -> 50%, v2 10% -> 50% (40% of connections "
                    "move)"));
    EXPECT_THAT(effects({.from = second, .to = first_}), ElementsAre(HasSubstr("v1 50% -> 90%")));
    EXPECT_THAT(effects({.from = second, .to = third}), Contains(HasSubstr("c.ml.svc.cluster.local:80: is new")));
    EXPECT_THAT(effects({.from = second}), effects({.from = second, .to = third}));
    EXPECT_THAT(controller().compare({.from = first_}).changes.size(), 3u);
    EXPECT_THAT(controller().compare({.from = third}).notes, ElementsAre("nothing differs"));
    EXPECT_EQ(controller().compare({.from = 4711}).outcome, Applied::kInvalid);
    // The mesh is where it was.
    EXPECT_EQ(controller().rescan(true).outcome, LoadReport::Outcome::kUnchanged);
    ApplyReport report = controller().apply(request(weights("a", 50, 50)));
    EXPECT_EQ(report.changes[0].action, "unchanged");
}

TEST_F(RollbackTest, AnEditIsRecordedWithTheOwnerOfItsFileAndTheFile) {
    start_agent();
    put("weights.yaml", weights("a", 1, 99));
    if (::chown((base_ + "/rules/weights.yaml").c_str(), 12345, 0) != 0) {
        GTEST_SKIP() << "needs root, to give a file away";
    }
    controller().rescan(true);
    EXPECT_EQ(newest().source, state::ChangeSource::kDirectory);
    EXPECT_EQ(newest().actor.uid, 12345);
    EXPECT_EQ(newest().actor.pid, -1);
    EXPECT_EQ(newest().file, base_ + "/rules/weights.yaml");
    const auto versions = controller().versions(newest().id).value();
    ASSERT_EQ(versions.size(), 1u);
    EXPECT_THAT(versions[0].before->bytes, HasSubstr("weight: 90"));
    EXPECT_THAT(versions[0].after->bytes, HasSubstr("weight: 99"));
}

TEST_F(RollbackTest, ARefusedEditOfTheDirectoryIsInTheHistory) {
    start_agent();
    put("weights.yaml", "kind: Nonsense\n");
    controller().rescan(true);
    EXPECT_FALSE(newest().ok);
    EXPECT_EQ(newest().source, state::ChangeSource::kDirectory);
    EXPECT_THAT(newest().errors, HasSubstr("weights.yaml:1"));
    EXPECT_EQ(newest().generation, first_);
}

}  // namespace
}  // namespace sluice::daemon
