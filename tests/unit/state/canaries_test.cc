// What canaries leave in the state database.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "state/store.h"

namespace sluice::state {
namespace {

class CanariesTest : public testing::Test {
  protected:
    CanariesTest() {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-canaries-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
    }
    ~CanariesTest() override { std::filesystem::remove_all(root_); }
    Store open(StoreOptions options = {}) {
        auto opened = Store::open(root_ + "/state", options);
        EXPECT_TRUE(opened) << opened.error().text();
        return std::move(opened->store);
    }
    static CanaryStep step(std::size_t stage, const std::string& reason = "by hand") {
        return {std::chrono::system_clock::time_point(std::chrono::seconds(1'790'000'000 + stage)),
                "idle",
                "stage",
                stage,
                25,
                "alice",
                reason};
    }

    std::string root_;
};

TEST_F(CanariesTest, states_and_steps_are_there_after_a_restart) {
    {
        Store store = open();
        EXPECT_TRUE(store.canaries()->empty());
        ASSERT_TRUE(store.save_canary({"ml", "b", true, "{\"phase\":\"stage\"}"}, std::array{step(1)}));
        ASSERT_TRUE(store.save_canary({"ml", "a", false, "{}"}, {}));
        ASSERT_TRUE(store.save_canary({"ml", "b", true, "{\"phase\":\"größer\"}"}, std::array{step(2), step(3)}));
    }
    Store store = open();
    const auto rows = store.canaries().value();
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].name, "a");
    EXPECT_FALSE(rows[0].active);
    EXPECT_EQ(rows[1].ns, "ml");
    EXPECT_EQ(rows[1].state, "{\"phase\":\"größer\"}") << "the last one";
    EXPECT_TRUE(rows[1].active);
    EXPECT_EQ(store.canary_steps("ml", "b", 10).value(), (std::vector{step(3), step(2), step(1)}));
    EXPECT_EQ(store.canary_steps("ml", "b", 2).value(), (std::vector{step(3), step(2)}));
    EXPECT_TRUE(store.canary_steps("other", "b", 10)->empty());
}

TEST_F(CanariesTest, steps_are_bounded_for_each_canary_and_the_oldest_go) {
    Store store = open({.canary_steps = 3});
    ASSERT_TRUE(store.save_canary({"ml", "quiet", true, "{}"}, std::array{step(1)}));
    for (std::size_t i = 1; i <= 10; ++i) {
        ASSERT_TRUE(store.save_canary({"ml", "busy", true, "{}"}, std::array{step(i)}));
    }
    EXPECT_EQ(store.canary_steps("ml", "busy", 100).value(), (std::vector{step(10), step(9), step(8)}));
    EXPECT_EQ(store.canary_steps("ml", "quiet", 100)->size(), 1u);
}

TEST_F(CanariesTest, canaries_that_are_over_are_bounded_and_running_ones_stay) {
    Store store = open({.canaries = 2});
    ASSERT_TRUE(store.save_canary({"ml", "running", true, "{}"}, std::array{step(1)}));
    for (const char* name : {"c1", "c2", "c3", "c4"}) {
        ASSERT_TRUE(store.save_canary({"ml", name, false, "{}"}, std::array{step(1)}));
    }
    std::vector<std::string> names;
    const std::vector<CanaryRow> rows = store.canaries().value();
    for (const CanaryRow& row : rows) {
        names.push_back(row.name);
    }
    EXPECT_THAT(names, testing::ElementsAre("c3", "c4", "running"));
    EXPECT_TRUE(store.canary_steps("ml", "c1", 10)->empty()) << "its steps went with it";
    EXPECT_EQ(store.canary_steps("ml", "running", 10)->size(), 1u);
}

TEST_F(CanariesTest, what_was_saved_survives_the_end_of_the_process) {
    int pipes[2];
    ASSERT_EQ(::pipe(pipes), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        Store store = open();
        for (std::size_t i = 1;; ++i) {
            const std::string number = std::to_string(i);
            if (!store.save_canary({"ml", "a", true, number}, std::array{step(i)}) ||
                ::write(pipes[1], &i, sizeof i) != sizeof i) {
                ::_exit(1);
            }
        }
    }
    ::close(pipes[1]);
    std::size_t told = 0;
    for (int i = 0; i < 20; ++i) {
        ASSERT_EQ(::read(pipes[0], &told, sizeof told), static_cast<ssize_t>(sizeof told));
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    for (std::size_t more = 0; ::read(pipes[0], &more, sizeof more) == static_cast<ssize_t>(sizeof more);) {
        told = more;
    }
    ::close(pipes[0]);
    Store store = open();
    const auto rows = store.canaries().value();
    ASSERT_EQ(rows.size(), 1u);
    const auto kept = std::stoul(rows[0].state);
    EXPECT_GE(kept, told);
    EXPECT_EQ(store.canary_steps("ml", "a", 1)->at(0).stage, kept) << "both or neither";
}

TEST_F(CanariesTest, threads_may_share_the_store) {
    Store store = open();
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&, i] {
            for (std::size_t turn = 0; turn < 15; ++turn) {
                const std::string name = "c" + std::to_string(i);
                EXPECT_TRUE(store.save_canary({"ml", name, true, std::to_string(turn)}, std::array{step(turn)}));
                EXPECT_TRUE(store.record({}, HistoryRow{}));
                EXPECT_TRUE(store.canaries());
                EXPECT_EQ(store.canary_steps("ml", name, 100)->size(), turn + 1);
            }
        });
    }
    for (std::thread& one : threads) {
        one.join();
    }
    EXPECT_EQ(store.canaries()->size(), 3u);
    EXPECT_EQ(store.history(100)->size(), 45u);
}

}  // namespace
}  // namespace sluice::state
