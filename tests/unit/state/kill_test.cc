// kill -9 at any moment: what a writer was told is recorded is there, and the database is sound.
#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "base/fd.h"
#include "tests/unit/state/fixture.h"

namespace sluice::state {
namespace {

constexpr int kKills = 200;

// What a writer says: an entry's id once record() has returned it.
struct Word {
    std::int64_t id = 0;
    std::uint64_t generation = 0;
};

// Records for ever, and says so after each; never returns.
[[noreturn]] void write_for_ever(const std::string& directory, int out) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto opened = Store::open(directory, {.history_rows = 100'000});
    std::uint64_t generation = opened ? opened->store.generation().value_or(0) : 0;
    while (opened && !opened->recovered) {
        ++generation;
        const std::string name(1, static_cast<char>('a' + generation % 7));
        std::vector<ObjectChange> changes{
            {key(name), name + ".yaml", "generation " + std::to_string(generation)},
            {key("last"), "last.yaml", std::to_string(generation)},
            {key("sometimes"), "s.yaml", generation % 3 == 0 ? std::nullopt : std::optional<std::string>("there")}};
        auto id = opened->store.record(changes, row(generation));
        const Word word{id.value_or(0), generation};
        if (!id || ::write(out, &word, sizeof word) != sizeof word) {
            ::_exit(3);
        }
    }
    ::_exit(2);
}

class KillTest : public StoreTest {
  protected:
    // Everything that the writer had said when it was killed, `after` its first word.
    std::vector<Word> killed(std::chrono::microseconds after) {
        int ends[2];
        EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        const Fd in(ends[0]);
        Fd out(ends[1]);
        const pid_t writer = ::fork();
        if (writer == 0) {
            write_for_ever(directory(), out.get());
        }
        out.reset();
        pollfd first{in.get(), POLLIN, 0};
        EXPECT_EQ(::poll(&first, 1, 30'000), 1) << "the writer does not begin";
        std::vector<Word> words;
        // Time is what is drawn here: where the process ends must not depend on what it says.
        std::this_thread::sleep_for(after);
        EXPECT_EQ(::kill(writer, SIGKILL), 0);
        int status = 0;
        EXPECT_EQ(::waitpid(writer, &status, 0), writer);
        EXPECT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself: " << status;
        for (Word word; ::read(in.get(), &word, sizeof word) == sizeof word;) {
            words.push_back(word);
        }
        return words;
    }

    std::string quick_check() const {
        sqlite3* raw = nullptr;
        EXPECT_EQ(sqlite3_open(database().c_str(), &raw), SQLITE_OK);
        std::string found;
        const auto take = [](void* to, int, char** values, char**) {
            *static_cast<std::string*>(to) += values[0];
            return 0;
        };
        EXPECT_EQ(sqlite3_exec(raw, "PRAGMA quick_check", take, &found, nullptr), SQLITE_OK) << sqlite3_errmsg(raw);
        sqlite3_close(raw);
        return found;
    }
};

TEST_F(KillTest, two_hundred_kills_lose_no_acknowledged_change) {
    std::mt19937 random(std::random_device{}());
    std::map<std::int64_t, std::uint64_t> acknowledged;  // generation by id
    for (int kill = 0; kill < kKills; ++kill) {
        for (const Word& word : killed(std::chrono::microseconds(random() % 12'000))) {
            ASSERT_TRUE(acknowledged.emplace(word.id, word.generation).second) << "entry " << word.id << " twice";
        }
        ASSERT_EQ(quick_check(), "ok") << "after kill " << kill;
        Store store = open({.history_rows = 100'000});  // not moved aside as corrupt
        const std::uint64_t generation = store.generation().value();
        ASSERT_FALSE(acknowledged.empty());
        // One more may be there than was said: it was killed between the two.
        ASSERT_GE(generation, acknowledged.rbegin()->second);
        ASSERT_LE(generation, acknowledged.rbegin()->second + 1);
        const Version last{"last.yaml", std::to_string(generation)};
        ASSERT_EQ(objects(store).at(key("last").text()), last.file + "|" + last.bytes) << "documents and number differ";
    }
    Store store = open({.history_rows = 100'000});
    std::map<std::int64_t, std::uint64_t> found;
    const auto history = store.history(1'000'000).value();
    for (const HistoryRow& entry : history) {
        found.emplace(entry.id, entry.generation);
        const auto versions = store.versions(entry.id).value();
        ASSERT_GE(versions.size(), 2u) << "entry " << entry.id << " lost its documents";
    }
    for (const auto& [id, generation] : acknowledged) {
        ASSERT_EQ(found.count(id), 1u) << "entry " << id << " was acknowledged and is not there";
        ASSERT_EQ(found.at(id), generation);
    }
    EXPECT_GT(acknowledged.size(), static_cast<std::size_t>(kKills));
}

}  // namespace
}  // namespace sluice::state
