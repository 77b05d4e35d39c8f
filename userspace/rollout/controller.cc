#include "rollout/controller.h"

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "rollout/controller_core.h"

namespace sluice::rollout {

namespace {

Moment now() {
    return {std::chrono::system_clock::now(), std::chrono::steady_clock::now()};
}

class Threaded : public Controller {
  public:
    Threaded(Host& host, Watches& watches, state::Store& store)
        : records_(store), core_(host, watches, records_, now, [this] { call(&Threaded::answered_); }) {}
    ~Threaded() override {
        call(&Threaded::ending_);
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    Result<> begin() {
        if (auto loaded = core_.load(); !loaded) {
            return loaded;
        }
        thread_ = std::thread([this] { run(); });
        return {};
    }

    Result<View> command(const std::string& canary, Command command, const std::string& who,
                         const std::string& message) override {
        auto ask = std::make_shared<Ask>(Ask{canary, command, who, message, {}});
        auto answer = ask->answer.get_future();
        {
            const std::lock_guard lock(mutex_);
            if (ending_) {
                return fail("the agent is ending");
            }
            asks_.push_back(std::move(ask));
        }
        wake_.notify_one();
        return answer.get();
    }

    Result<std::vector<View>> view(const std::string& canary) override { return core_.view(canary); }

    void changed() override { call(&Threaded::changed_); }

  private:
    struct Ask {
        std::string canary;
        Command command;
        std::string who, message;
        std::promise<Result<View>> answer;
    };

    void call(bool Threaded::*why) {
        {
            const std::lock_guard lock(mutex_);
            this->*why = true;
        }
        wake_.notify_one();
    }

    void run() {
        std::unique_lock lock(mutex_);
        while (!ending_) {
            const std::deque<std::shared_ptr<Ask>> asks = std::exchange(asks_, {});
            const bool changed = std::exchange(changed_, false);
            answered_ = false;
            lock.unlock();
            for (const auto& ask : asks) {
                ask->answer.set_value(core_.command(ask->canary, ask->command, ask->who, ask->message));
            }
            const auto next = core_.tick(changed);
            lock.lock();
            const auto called = [this] { return ending_ || changed_ || answered_ || !asks_.empty(); };
            if (next) {
                wake_.wait_until(lock, *next, called);
            } else {
                wake_.wait(lock, called);
            }
        }
        for (const auto& ask : asks_) {
            ask->answer.set_value(fail("the agent is ending"));
        }
        asks_.clear();
    }

    std::mutex mutex_;  // never held while the host is called
    std::condition_variable wake_;
    bool ending_ = false;  // these four under mutex_
    bool changed_ = false;
    bool answered_ = false;
    std::deque<std::shared_ptr<Ask>> asks_;
    StoreRecords records_;
    Core core_;  // its watches call until they are gone
    std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Controller>> Controller::start(Host& host, Watches& watches, state::Store& store) {
    auto out = std::make_unique<Threaded>(host, watches, store);
    if (auto begun = out->begin(); !begun) {
        return std::unexpected(std::move(begun.error()));
    }
    return out;
}

}  // namespace sluice::rollout
