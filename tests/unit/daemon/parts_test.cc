#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "compile/heap_tables.h"
#include "daemon/client_paths.h"
#include "daemon/event_log.h"
#include "daemon/gate.h"
#include "daemon/instance.h"
#include "daemon/options.h"

namespace sluice::daemon {
namespace {

using testing::HasSubstr;

std::expected<Options, Exit> parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "sluiced");
    return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

TEST(OptionsTest, EveryFlagIsTaken) {
    auto options = parse({"--config",     "/c",       "--state",    "/s",         "--run",      "/r",         "--http",
                          "[::1]:9",      "--cgroup", "/g",         "--bpffs",    "/b",         "--lanes",    "direct",
                          "--references", "warn",     "--capacity", "services=7", "--capacity", "endpoints=9"});
    ASSERT_TRUE(options) << options.error().text;
    EXPECT_EQ(options->config, "/c");
    EXPECT_EQ(options->state, "/s");
    EXPECT_EQ(options->run, "/r");
    EXPECT_EQ(options->http, "[::1]:9");
    EXPECT_EQ(options->kernel.cgroup, "/g");
    EXPECT_EQ(options->kernel.bpffs, "/b");
    EXPECT_TRUE(options->mesh.references_warn);
    EXPECT_EQ(options->kernel.capacities.services, 7u);
    EXPECT_EQ(options->kernel.capacities.endpoints, 9u);
    EXPECT_EQ(options->kernel.capacities.clusters, bpf::Capacities{}.clusters);
    EXPECT_FALSE(options->uninstall);
    EXPECT_TRUE(parse({"--http", "none"})->http.empty());
    EXPECT_TRUE(parse({"--uninstall"})->uninstall);
}

TEST(OptionsTest, MistakesAreUsageErrorsThatNameWhatIsAllowed) {
    for (auto [flag, value, text] :
         {std::tuple{"--capacity", "serices=7", "services, routes"}, std::tuple{"--capacity", "services", "1.."},
          std::tuple{"--capacity", "services=0", "1.."}, std::tuple{"--capacity", "services=7x", "1.."},
          std::tuple{"--lanes", "warp", "direct"}, std::tuple{"--references", "maybe", "error"}}) {
        auto options = parse({flag, value});
        ASSERT_FALSE(options) << value;
        EXPECT_EQ(options.error().code, 2) << value;
        EXPECT_THAT(options.error().text, HasSubstr(text)) << value;
    }
    EXPECT_EQ(parse({"--no-such"}).error().code, 2);
}

TEST(OptionsTest, VersionAndHelpAreNoErrors) {
    EXPECT_EQ(parse({"--version"}).error().code, 0);
    EXPECT_THAT(parse({"--version"}).error().text, HasSubstr("sluiced "));
    EXPECT_THAT(parse({"--help"}).error().text, HasSubstr("--capacity"));
}

class DirectoryTest : public testing::Test {
  protected:
    DirectoryTest() {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-parts-XXXXXX").string();
        base = ::mkdtemp(name.data());
    }
    ~DirectoryTest() override { std::filesystem::remove_all(base); }
    std::string base;
};

TEST_F(DirectoryTest, OneAgentARunDirectory) {
    {
        auto first = take_instance(base + "/run/deep");
        ASSERT_TRUE(first) << first.error().text();
        auto second = take_instance(base + "/run/deep");
        ASSERT_FALSE(second);
        EXPECT_THAT(second.error().text(), HasSubstr("process " + std::to_string(::getpid())));
    }
    EXPECT_TRUE(take_instance(base + "/run/deep"));  // the lock ends with its holder
}

TEST_F(DirectoryTest, ClientsAreResolvedAgainWhenTheirCgroupIsMadeAgain) {
    model::Client feed;
    feed.cgroup = "feed";
    model::Client absolute;
    absolute.cgroup = base + "/other";
    ClientPaths paths(base);
    EXPECT_FALSE(paths.resolve()->size());
    EXPECT_FALSE(paths.resolve());  // nothing new
    paths.set_clients({feed, absolute});
    EXPECT_EQ(paths.resolve()->size(), 0u);
    EXPECT_EQ(paths.unresolved(), 2u);
    std::filesystem::create_directory(base + "/feed");
    auto found = paths.resolve();
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ((*found)[0].first, *cgroup_id(base + "/feed"));
    EXPECT_FALSE(paths.resolve());
    std::filesystem::create_directory(base + "/other");
    EXPECT_EQ(paths.resolve()->size(), 2u);
    // Made again under the same name, while the old one's inode is still taken.
    std::filesystem::rename(base + "/feed", base + "/old");
    std::filesystem::create_directory(base + "/feed");
    found = paths.resolve();
    ASSERT_TRUE(found);
    EXPECT_EQ((*found)[0].first, *cgroup_id(base + "/feed"));
}

TEST(LogBudgetTest, ABurstThenARate) {
    LogBudget budget(3, 2);
    std::uint64_t now = 1'000'000'000;
    EXPECT_TRUE(budget.take(now));
    EXPECT_TRUE(budget.take(now));
    EXPECT_TRUE(budget.take(now));
    EXPECT_FALSE(budget.take(now));
    EXPECT_EQ(budget.suppressed(), 1u);
    now += 500'000'000;
    EXPECT_TRUE(budget.take(now));
    EXPECT_FALSE(budget.take(now));
    now += 100'000'000'000;
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(budget.take(now));
    }
    EXPECT_FALSE(budget.take(now));
    EXPECT_EQ(budget.suppressed(), 3u);
}

TEST(EventTextTest, NumbersWithoutNamesAreStillPrinted) {
    compile::HeapTables tables;
    compile::Publisher publisher(tables.tables(), tables.identities(), tables.services(), tables.clients(), [] {});
    sl_tables t = tables.tables();
    t.endpoints[3].address[10] = t.endpoints[3].address[11] = 0xff;
    t.endpoints[3].address[12] = 127;
    t.endpoints[3].address[15] = 1;
    t.endpoints[3].port = __builtin_bswap16(9001);
    sl_event event{.time_ns = 0,
                   .kind = SL_EVENT_EJECTED,
                   .cluster = 7,
                   .endpoint = 3,
                   .reason = SL_EJECTION_5XX,
                   .until_ns = 2'500'000'000};
    EXPECT_EQ(event_text(event, publisher),
              "ejected 127.0.0.1:9001 from cluster 7 for 2.5 s: consecutive failures (consecutive5xxErrors)");
    event.kind = SL_EVENT_RETURNED;
    event.endpoint = SL_NONE;
    EXPECT_EQ(event_text(event, publisher), "returned endpoint 4294967295 to cluster 7");
}

// 'S' while the thread sleeps; all that the writer below can sleep in is the gate.
char state_of(pid_t thread) {
    std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string line;
    std::getline(stat, line);
    const std::size_t name_end = line.rfind(')');
    return name_end == std::string::npos ? '?' : line[name_end + 2];
}

TEST(GateTest, AWaitingWriterGoesBeforeReadersThatComeBack) {
    Gate gate;
    std::atomic<pid_t> thread{0};
    bool written = false;  // under the gate
    auto first = std::make_unique<Gate::Read>(gate);
    std::jthread writer([&] {
        thread = ::gettid();
        Gate::Write lock(gate);
        written = true;
    });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while ((thread == 0 || state_of(thread) != 'S') && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
    }
    ASSERT_EQ(state_of(thread), 'S');
    first.reset();
    Gate::Read again(gate);
    EXPECT_TRUE(written);
}

}  // namespace
}  // namespace sluice::daemon
