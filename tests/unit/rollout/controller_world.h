// An agent's surroundings without an agent: a rule, versions that behave as told, a clock that a test turns, and an end
// of the process at any call.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>

#include "rollout/controller_core.h"
#include "rollout/state_json.h"
#include "tests/unit/rollout/machine_canary.h"

namespace sluice::rollout {

inline constexpr const char* kRule = R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ranking, namespace: ml-serving}
spec:
  hosts: [content-ranking-svc]
  http:
    - match: [{headers: {x-user-segment: {exact: premium}}}]
      route:
        - destination: {host: content-ranking-svc, subset: v47}
    - route:
        - destination: {host: content-ranking-svc, subset: v45}
          weight: 90 # the champion
        - destination: {host: content-ranking-svc, subset: v47}
          weight: 10
      timeout: 200ms
)";

// The process ends here.
struct Killed {};

// Everything here outlives an agent but what it holds itself.
class World : public Host, public Watches, public Records {
  private:
    template <typename Do>
    auto counted(const Do& what_it_does) {
        if (++calls == kill_at) {
            throw Killed();
        }
        auto out = what_it_does();
        if (++calls == kill_at) {
            throw Killed();
        }
        return out;
    }

  public:
    // ---- what a test says
    std::string rule_text = kRule;  // empty: there is no rule
    std::map<config::ObjectKey, std::pair<config::ObjectPtr, std::string>> objects;
    Seen what = kGood;    // the versions do now
    bool silent = false;  // servers that are asked for it do not answer
    std::optional<Error> put_error, lease_error, save_error, rule_error, start_error;
    std::function<void()> before_put;  // others are quicker
    int kill_at = 0;                   // this call, from 1; 0: none. Odd and even: before and after what it does
    Moment clock{Time(std::chrono::seconds(1'790'000'000)), {}};

    void add(const std::string& text) {
        auto object = parsed_object(text);
        objects[object->key] = {object, text};
    }

    // ---- what a test sees
    struct Put {
        std::string text, message, who;
    };
    std::vector<Put> puts;
    std::set<std::string> leases;
    int calls = 0, looks = 0, begun = 0, rule_reads = 0;
    std::function<void()> answered;  // of the last watch
    bool mirror = false;
    std::map<config::ObjectKey, std::string> states;
    std::map<config::ObjectKey, std::deque<Step>> history;

    // ---- Host
    std::vector<config::ObjectPtr> canaries() override {
        std::vector<config::ObjectPtr> out;
        for (const auto& [key, object] : objects) {
            out.push_back(object.first);
        }
        return out;
    }
    Result<std::string> text(const config::Object& canary) override {
        const auto found = objects.find(canary.key);
        return found == objects.end() ? fail_errno(ENOENT, "no such object")
                                      : Result<std::string>(found->second.second);
    }
    Result<RuleDocument> rule(const config::Object&) override {
        ++rule_reads;
        if (rule_error) {
            return std::unexpected(*rule_error);
        }
        if (rule_text.empty()) {
            return fail_errno(ENOENT, "no VirtualService for content-ranking-svc");
        }
        return RuleDocument{nullptr, rule_text, puts.size() + 1};
    }
    Result<> startable(const config::Object&, const RuleDocument&) override {
        return start_error ? Result<>(std::unexpected(*start_error)) : Result<>();
    }
    Result<std::uint64_t> put(const config::Object&, const std::string& expected, const std::string& text,
                              const std::string& message, const std::string& who) override {
        if (before_put) {
            std::exchange(before_put, {})();
        }
        return counted([&]() -> Result<std::uint64_t> {
            if (put_error) {
                return std::unexpected(*put_error);
            }
            if (rule_text != expected) {
                return fail_errno(ECANCELED, "the document was changed meanwhile");
            }
            rule_text = text;
            puts.push_back({text, message, who});
            return puts.size() + 1;
        });
    }
    Result<std::shared_ptr<void>> lease(const config::Object& canary) override {
        if (lease_error) {
            return std::unexpected(*lease_error);
        }
        const std::string host = std::get<config::Canary>(canary.spec).host;
        if (!leases.insert(host).second) {
            return fail("another canary moves " + host);
        }
        return std::shared_ptr<void>(nullptr, [this, host](void*) { leases.erase(host); });
    }

    // ---- Watches
    std::unique_ptr<Watch> watch(const config::ObjectPtr&, std::function<void()> call) override {
        class One : public Watch {
          public:
            explicit One(World& world) : world_(world) {}
            void begin(bool mirror) override {
                ++world_.begun;
                world_.mirror = mirror;
            }
            std::optional<Seen> look(std::size_t, std::uint32_t) override {
                ++world_.looks;
                return world_.silent ? std::nullopt : std::optional(world_.what);
            }

          private:
            World& world_;
        };
        answered = std::move(call);
        return std::make_unique<One>(*this);
    }

    // ---- Records: as JSON, so that what is not stored is lost
    Result<std::vector<Record>> load() override {
        std::vector<Record> out;
        for (const auto& [key, text] : states) {
            auto state = from_json(text);
            if (!state) {
                return std::unexpected(state.error());
            }
            out.push_back({key, *state});
        }
        return out;
    }
    Result<> save(const config::ObjectKey& key, const State& state, std::span<const Step> steps) override {
        return counted([&]() -> Result<> {
            if (save_error) {
                return std::unexpected(*save_error);
            }
            states[key] = to_json(state);
            for (const Step& step : steps) {
                history[key].push_front(step);
            }
            return {};
        });
    }
    Result<std::vector<Step>> steps(const config::ObjectKey& key, std::size_t limit) override {
        const std::deque<Step>& all = history[key];
        return std::vector<Step>(all.begin(), all.begin() + static_cast<long>(std::min(limit, all.size())));
    }
};

class ControllerTest : public testing::Test {
  protected:
    World world_;
    std::unique_ptr<Core> core_;
    std::optional<std::chrono::steady_clock::time_point> next_;
    int wakes_ = 0;  // how often tick() was to be called for an answer

    // Another agent on the same store and rules.
    void start_agent() {
        core_.reset();
        core_ = std::make_unique<Core>(
            world_, world_, world_, [this] { return world_.clock; }, [this] { ++wakes_; });
        auto loaded = core_->load();
        ASSERT_TRUE(loaded) << loaded.error().text();
        next_ = core_->tick(false);
    }
    Result<View> command(Command command, const std::string& message = "") {
        auto out = core_->command("ranking", command, "alice", message);
        next_ = core_->tick(false);
        return out;
    }
    void changed() { next_ = core_->tick(true); }
    // Turns the clock to each time at which the controller wants to be called.
    void pass(std::chrono::nanoseconds time) {
        const auto until = world_.clock.steady + time;
        while (next_ && *next_ <= until) {
            turn(*next_ - world_.clock.steady);
            next_ = core_->tick(false);
        }
        turn(until - world_.clock.steady);
    }
    void turn(std::chrono::nanoseconds time) {
        ASSERT_GE(time.count(), 0);
        world_.clock.steady += time;
        world_.clock.wall += std::chrono::duration_cast<Time::duration>(time);
    }
    View view() {
        auto all = core_->view("ranking");
        EXPECT_TRUE(all) << all.error().text();
        return all && all->size() == 1 ? all->front() : View{};
    }
    Phase phase() { return view().state.phase; }
    std::string rule_at(int champion, int challenger) const {
        std::string out = kRule;
        out.replace(out.find("90"), 2, std::to_string(champion));
        return out.replace(out.find("weight: 10") + 8, 2, std::to_string(challenger));
    }
    void edit(const std::string& piece, const std::string& other) {
        const std::size_t at = world_.rule_text.find(piece);
        ASSERT_NE(at, std::string::npos) << world_.rule_text;
        world_.rule_text.replace(at, piece.size(), other);
    }
};

}  // namespace sluice::rollout
