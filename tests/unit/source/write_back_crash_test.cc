// A writer that ends in the middle of writing back.
#include <sys/wait.h>

#include "tests/unit/source/write_back.h"

namespace sluice::source {
namespace {

using testing::ElementsAre;

// Ends a child at each step of a transaction that replaces, creates and deletes. What is left is readable, each file
// is whole, and the next transaction cleans up.
TEST_F(WriteBackTest, a_crash_between_any_two_steps_leaves_every_file_old_or_new) {
    const std::string replaced = document("a", "10.0.0.2"), created = document("c");
    int crashes = 0;
    for (int step = 0;; ++step) {
        for (const std::string& name : names()) {
            std::filesystem::remove(path(name));
        }
        put("x.yaml", "# x\n" + document("a"));
        put("y.yaml", document("b"));
        const pid_t child = ::fork();
        if (child == 0) {
            auto directory = Directory::open(root_);
            directory->scan();
            directory->accept();
            auto transaction =
                WriteBack::prepare(*directory, {{key("a"), replaced}, {key("b"), std::nullopt}, {key("c"), created}});
            int left = step;
            const bool done = transaction && transaction->commit([&](const char*) {
                if (left-- == 0) {
                    ::_exit(9);
                }
            });
            ::_exit(done ? 0 : 1);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
        EXPECT_THAT(get("x.yaml"), testing::AnyOf("# x\n" + document("a"), "# x\n" + replaced)) << step;
        EXPECT_TRUE(!std::filesystem::exists(path("y.yaml")) || get("y.yaml") == document("b")) << step;
        const std::string own = "workloadentry-ml-c.yaml";
        EXPECT_TRUE(!std::filesystem::exists(path(own)) || get(own) == created) << step;
        Directory directory = open_accepted();
        write(directory, {{key("a"), replaced}, {key("b"), std::nullopt}, {key("c"), created}});
        EXPECT_THAT(names(), ElementsAre(own, "x.yaml")) << step;
        EXPECT_EQ(get("x.yaml"), "# x\n" + replaced);
        if (WEXITSTATUS(status) == 0) {
            break;
        }
        ++crashes;
    }
    EXPECT_GE(crashes, 12);
}

}  // namespace
}  // namespace sluice::source
