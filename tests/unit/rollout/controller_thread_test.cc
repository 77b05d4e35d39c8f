// The controller as the agent has it: a thread, a real store, and people who ask from other threads.
#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

#include "rollout/controller.h"
#include "rollout/rule_text.h"
#include "tests/unit/rollout/controller_world.h"

namespace sluice::rollout {
namespace {

using testing::HasSubstr;

// A world behind a lock, as the agent's is.
class Shared : public Host, public Watches {
  public:
    template <typename Do>
    auto locked(const Do& what) {
        const std::lock_guard lock(mutex_);
        return what();
    }
    std::vector<config::ObjectPtr> canaries() override {
        return locked([&] { return world_.canaries(); });
    }
    Result<std::string> text(const config::Object& canary) override {
        return locked([&] { return world_.text(canary); });
    }
    Result<RuleDocument> rule(const config::Object& canary) override {
        return locked([&] { return world_.rule(canary); });
    }
    Result<std::uint64_t> put(const config::Object& canary, const std::string& expected, const std::string& text,
                              const std::string& message, const std::string& who) override {
        return locked([&] { return world_.put(canary, expected, text, message, who); });
    }
    Result<std::shared_ptr<void>> lease(const config::Object& canary) override {
        return locked([&] { return world_.lease(canary); });
    }
    std::unique_ptr<Watch> watch(const config::ObjectPtr&, std::function<void()> answered) override {
        class One : public Watch {
          public:
            One(Shared& shared, std::function<void()> answered) : shared_(shared), answered_(std::move(answered)) {}
            void begin(bool) override {
                server_ = {};
                asked_ = false;
            }
            // A server answers from a thread of its own, each look.
            std::optional<Seen> look(std::size_t, std::uint32_t) override {
                if (!std::exchange(asked_, !asked_)) {
                    server_ = std::jthread([this] { answered_(); });
                    return std::nullopt;
                }
                return shared_.locked([&] { return shared_.world_.what; });
            }

          private:
            Shared& shared_;
            const std::function<void()> answered_;
            bool asked_ = false;
            std::jthread server_;
        };
        return std::make_unique<One>(*this, std::move(answered));
    }

    World& world() { return world_; }  // under locked()

  private:
    std::mutex mutex_;
    World world_;
};

class ThreadTest : public testing::Test {
  protected:
    ThreadTest() {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-rollout-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
        shared_.world().add(canary_text("", "[{weight: 5, hold: 300ms}, {weight: 25, hold: 300ms}]"));
        open();
    }
    ~ThreadTest() override {
        controller_.reset();
        store_.reset();
        std::filesystem::remove_all(root_);
    }
    void open() {
        auto opened = state::Store::open(root_ + "/state");
        ASSERT_TRUE(opened) << opened.error().text();
        store_.emplace(std::move(opened->store));
        auto started = Controller::start(shared_, shared_, *store_);
        ASSERT_TRUE(started) << started.error().text();
        controller_ = std::move(*started);
    }
    Phase phase() {
        auto all = controller_->view("ranking");
        EXPECT_TRUE(all);
        return all->at(0).state.phase;
    }
    // Until it is in that phase and at rest, or ten seconds.
    bool reaches(Phase wanted) {
        const auto until = std::chrono::steady_clock::now() + 10s;
        while (std::chrono::steady_clock::now() < until) {
            const View view = controller_->view("ranking")->at(0);
            if (view.state.phase == wanted && !view.state.moving) {
                return true;
            }
            std::this_thread::sleep_for(5ms);
        }
        return false;
    }

    std::string root_;
    Shared shared_;
    std::optional<state::Store> store_;
    std::unique_ptr<Controller> controller_;
};

TEST_F(ThreadTest, a_started_canary_is_in_force_when_the_command_returns_and_promotes_by_itself) {
    const auto begin = std::chrono::steady_clock::now();
    auto started = controller_->command("ranking", Command::kStart, "alice", "");
    ASSERT_TRUE(started) << started.error().text();
    EXPECT_THAT(shared_.locked([&] { return shared_.world().rule_text; }), HasSubstr("weight: 95"));
    EXPECT_TRUE(reaches(Phase::kPromoted));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 600ms) << "both holds";
    EXPECT_TRUE(shared_.locked([&] { return shared_.world().leases.empty(); }));
}

TEST_F(ThreadTest, looks_at_once_when_the_rules_change) {
    shared_.locked([&] {
        shared_.world().objects.clear();
        shared_.world().add(canary_text("", "[{weight: 5, hold: 1h}]"));
    });
    ASSERT_TRUE(controller_->command("ranking", Command::kStart, "alice", ""));
    shared_.locked([&] {
        std::string& text = shared_.world().rule_text;
        text.replace(text.find("weight: 95"), 10, "weight: 50");
    });
    const auto begin = std::chrono::steady_clock::now();
    controller_->changed();
    EXPECT_TRUE(reaches(Phase::kPaused));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 1500ms) << "not at the next look, 2s later";
}

TEST_F(ThreadTest, another_agent_goes_on_with_what_the_store_has) {
    ASSERT_TRUE(controller_->command("ranking", Command::kStart, "alice", ""));
    ASSERT_TRUE(controller_->command("ranking", Command::kPause, "bob", "lunch"));
    controller_.reset();
    EXPECT_TRUE(shared_.locked([&] { return shared_.world().leases.empty(); })) << "leases end with the controller";
    store_.reset();
    open();
    EXPECT_TRUE(reaches(Phase::kPaused));
    const View view = controller_->view("ranking")->at(0);
    EXPECT_EQ(view.state.reason, "paused by hand: lunch");
    ASSERT_EQ(view.steps.size(), 2u);
    EXPECT_EQ(view.steps[0].who, "bob");
    ASSERT_TRUE(controller_->command("ranking", Command::kAbort, "bob", ""));
    EXPECT_EQ(shared_.locked([&] { return shared_.world().rule_text; }), kRule);
}

TEST_F(ThreadTest, people_ask_from_many_threads_while_it_works) {
    std::atomic<bool> done{false};
    std::atomic<int> taken{0};
    std::vector<std::thread> people;
    for (int i = 0; i < 3; ++i) {
        people.emplace_back([&, i] {
            constexpr std::array kAll{Command::kStart, Command::kPause, Command::kResume, Command::kAbort};
            for (unsigned turn = static_cast<unsigned>(i); !done; ++turn) {
                taken += controller_->command("ranking", kAll[turn % kAll.size()], "alice", "").has_value() ? 1 : 0;
                controller_->changed();
            }
        });
        people.emplace_back([&] {
            while (!done) {
                EXPECT_TRUE(controller_->view(""));
                EXPECT_TRUE(store_->canaries());
            }
        });
    }
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (taken < 40 && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(5ms);
    }
    done = true;
    for (std::thread& one : people) {
        one.join();
    }
    EXPECT_GE(taken, 40);
    const Phase now = phase();
    if (now == Phase::kStage || now == Phase::kPaused) {
        ASSERT_TRUE(controller_->command("ranking", Command::kAbort, "alice", ""));
    }
    EXPECT_EQ(shared_.locked([&] { return shared_.world().rule_text; }), kRule);
}

TEST_F(ThreadTest, a_controller_that_ends_in_the_middle_leaves_it_to_the_next) {
    ASSERT_TRUE(controller_->command("ranking", Command::kStart, "alice", ""));
    controller_.reset();
    auto next = Controller::start(shared_, shared_, *store_);
    ASSERT_TRUE(next) << next.error().text();
    controller_ = std::move(*next);
    EXPECT_TRUE(reaches(Phase::kPromoted));
}

}  // namespace
}  // namespace sluice::rollout
