// The state database: what was recorded is there after any end of the process, and nothing else is.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/unit/state/fixture.h"

namespace sluice::state {
namespace {

using config::Kind;
using testing::HasSubstr;

TEST_F(StoreTest, keeps_objects_and_generation_over_a_restart) {
    {
        Store store = open();
        EXPECT_EQ(store.generation().value(), 0u);
        const std::vector<ObjectChange> first{{key("a"), "dir/a.yaml", "text a\n"},
                                              {key("b", Kind::kService), "b.yaml", "text b"}};
        ASSERT_TRUE(store.record(first, row(1)));
        const std::vector<ObjectChange> second{{key("a"), "dir/a2.yaml", "ключ: \"x\"\n"},
                                               {key("b", Kind::kService), "", std::nullopt},
                                               {key("c"), "c.yaml", ""},
                                               {key("e", Kind::kExperiment), "e.yaml", "e"}};
        ASSERT_TRUE(store.record(second, row(7)));
    }
    Store store = open();
    EXPECT_EQ(store.generation().value(), 7u);
    EXPECT_EQ(objects(store), (std::map<std::string, std::string>{{"Experiment ml/e", "e.yaml|e"},
                                                                  {"VirtualService ml/a", "dir/a2.yaml|ключ: \"x\"\n"},
                                                                  {"VirtualService ml/c", "c.yaml|"}}));
}

TEST_F(StoreTest, keeps_who_when_what_and_the_result_newest_first) {
    Store store = open();
    ASSERT_TRUE(store.record({}, row(3, "VirtualService ml/a replaced")));
    HistoryRow refused = row(3, "");
    refused.ok = false;
    refused.errors = "a.yaml:1:2: spec: no";
    refused.source = ChangeSource::kDirectory;
    refused.actor = {};
    ASSERT_TRUE(store.record_refused(refused));
    const auto rows = store.history(10).value();
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_FALSE(rows[0].ok);
    EXPECT_EQ(rows[0].errors, "a.yaml:1:2: spec: no");
    EXPECT_EQ(rows[0].source, ChangeSource::kDirectory);
    EXPECT_EQ(rows[0].actor.uid, -1);
    EXPECT_TRUE(rows[1].ok);
    EXPECT_EQ(rows[1].generation, 3u);
    EXPECT_EQ(rows[1].summary, "VirtualService ml/a replaced");
    EXPECT_EQ(rows[1].message, "canary to 25");
    EXPECT_EQ(rows[1].actor.user, "alice");
    EXPECT_EQ(rows[1].actor.pid, 42);
    EXPECT_EQ(rows[1].time, row(0).time);
    EXPECT_GT(rows[0].id, rows[1].id);
    EXPECT_EQ(store.generation().value(), 3u) << "a refused change is no generation";
    EXPECT_EQ(store.history(1).value().size(), 1u);
}

TEST_F(StoreTest, history_is_bounded_in_rows_and_text) {
    Store store = open({.history_rows = 5, .history_text = 10});
    for (std::uint64_t i = 1; i <= 12; ++i) {
        ASSERT_TRUE(store.record({}, row(i, "0123456789abc")));
    }
    const auto rows = store.history(100).value();
    ASSERT_EQ(rows.size(), 5u);
    EXPECT_EQ(rows.front().generation, 12u);
    EXPECT_EQ(rows.back().generation, 8u);
    EXPECT_EQ(rows.front().summary, "0123456789\n… 3 more bytes not kept");
}

TEST_F(StoreTest, only_the_owner_may_read_it) {
    open();
    struct stat status {};
    ASSERT_EQ(::stat(database().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    ASSERT_EQ(::stat(directory().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(StoreTest, a_corrupt_database_is_moved_aside_with_its_log_and_a_new_one_begun) {
    {
        Store store = open();
        ASSERT_TRUE(store.record(std::vector<ObjectChange>{{key("a"), "a.yaml", std::string(100'000, 'x')}}, row(1)));
    }
    {
        std::fstream file(database(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(4096);
        file << std::string(8192, '\xff');
    }
    std::ofstream(database() + "-wal") << "left over";
    auto opened = Store::open(directory());
    ASSERT_TRUE(opened.has_value()) << opened.error().text();
    ASSERT_TRUE(opened->recovered.has_value());
    EXPECT_THAT(opened->recovered->text(), HasSubstr("was corrupt"));
    EXPECT_THAT(opened->recovered->text(), HasSubstr(database() + ".corrupt-"));
    EXPECT_TRUE(objects(opened->store).empty());
    ASSERT_TRUE(opened->store.record(std::vector<ObjectChange>{{key("b"), "b.yaml", "b"}}, row(1)));
    int aside = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory())) {
        aside += entry.path().filename().string().starts_with("state.db.corrupt-") ? 1 : 0;
    }
    EXPECT_GE(aside, 1);
}

TEST_F(StoreTest, a_file_that_is_no_database_is_moved_aside) {
    std::filesystem::create_directory(directory());
    std::ofstream(database()) << std::string(5000, 'n');
    auto opened = Store::open(directory());
    ASSERT_TRUE(opened.has_value()) << opened.error().text();
    EXPECT_TRUE(opened->recovered.has_value());
}

TEST_F(StoreTest, a_newer_schema_is_refused_and_left_alone) {
    open();
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(database().c_str(), &raw), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(raw, "PRAGMA user_version=99", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(raw);
    const auto opened = Store::open(directory());
    ASSERT_FALSE(opened.has_value());
    EXPECT_THAT(opened.error().text(), HasSubstr("schema version 99"));
    EXPECT_TRUE(std::filesystem::exists(database()));
}

TEST_F(StoreTest, a_state_directory_that_cannot_be_made_is_an_error_that_names_it) {
    const auto opened = Store::open("/proc/sluice-no-such");
    ASSERT_FALSE(opened.has_value());
    EXPECT_THAT(opened.error().text(), HasSubstr("/proc/sluice-no-such"));
}

TEST_F(StoreTest, load_stops_at_the_callbacks_error) {
    Store store = open();
    ASSERT_TRUE(store.record(std::vector<ObjectChange>{{key("a"), "", "a"}, {key("b"), "", "b"}}, row(1)));
    int seen = 0;
    const auto loaded = store.load([&](const StoredObject&) -> Result<> {
        ++seen;
        return fail("stop");
    });
    EXPECT_EQ(loaded.error().message, "stop");
    EXPECT_EQ(seen, 1);
}

// Ends the process after `steps` steps of SQLite's virtual machine inside record(): between any two of its statements.
int die_after = -1;
int count_down(void*) {
    if (die_after >= 0 && die_after-- == 0) {
        ::_exit(9);
    }
    return 0;
}
int watch_connection(sqlite3* database, const char**, const void*) {
    sqlite3_progress_handler(database, 1, count_down, nullptr);
    return SQLITE_OK;
}

TEST_F(StoreTest, killed_between_any_two_steps_leaves_the_state_before_or_after) {
    {
        Store store = open();
        ASSERT_TRUE(
            store.record(std::vector<ObjectChange>{{key("a"), "a.yaml", "old"}, {key("b"), "b.yaml", "old"}}, row(1)));
    }
    const std::map<std::string, std::string> before{{"VirtualService ml/a", "a.yaml|old"},
                                                    {"VirtualService ml/b", "b.yaml|old"}};
    const std::map<std::string, std::string> after{{"VirtualService ml/a", "a.yaml|new"},
                                                   {"VirtualService ml/c", "c.yaml|new"}};
    int kills = 0;
    for (int steps = 0;; steps += 1 + steps / 20) {  // all of the first, then ever fewer: each costs a process
        const pid_t child = ::fork();
        if (child == 0) {
            sqlite3_auto_extension(reinterpret_cast<void (*)()>(watch_connection));
            auto opened = Store::open(directory());
            die_after = steps;
            const std::vector<ObjectChange> changes{
                {key("a"), "a.yaml", "new"}, {key("b"), "", std::nullopt}, {key("c"), "c.yaml", "new"}};
            ::_exit(opened && opened->store.record(changes, row(2)) ? 0 : 1);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFEXITED(status));
        ASSERT_TRUE(WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
        kills += WEXITSTATUS(status) == 9 ? 1 : 0;
        Store store = open();
        const auto found = objects(store);
        const auto generation = store.generation().value();
        const auto history = store.history(10).value();
        ASSERT_TRUE((found == before && generation == 1 && history.size() == 1) ||
                    (found == after && generation == 2 && history.size() == 2))
            << "after " << steps << " steps: generation " << generation << ", " << history.size() << " rows";
        if (generation == 2) {
            break;  // the commit itself was reached
        }
    }
    EXPECT_GT(kills, 20);
}

}  // namespace
}  // namespace sluice::state
