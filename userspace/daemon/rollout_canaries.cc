#include "daemon/rollout_canaries.h"

#include <mutex>

namespace sluice::daemon {

namespace {

constexpr const char* kStopped = "the canaries of this agent are not running: it is starting, ending or handed over";

}  // namespace

Canaries::Canaries(Controller& controller, VersionSource& source, state::Store& store, std::string directory,
                   std::function<void()> changed)
    : host_(controller, std::move(directory), std::move(changed)), source_(source), store_(store) {}

Canaries::~Canaries() {
    stop();
}

Result<> Canaries::start() {
    std::unique_lock lock(mutex_);
    if (controller_) {
        return {};
    }
    watches_ = std::make_unique<VersionWatches>(source_);
    auto started = rollout::Controller::start(host_, *watches_, store_);
    if (!started) {
        watches_.reset();
        return std::unexpected(std::move(started.error()));
    }
    controller_ = std::move(*started);
    return {};
}

void Canaries::stop() {
    std::unique_lock lock(mutex_);
    controller_.reset();
    watches_.reset();
}

void Canaries::changed() {
    // Whoever starts or stops looks at the rules anyway.
    if (std::shared_lock lock(mutex_, std::try_to_lock); lock && controller_) {
        controller_->changed();
    }
}

Result<rollout::View> Canaries::command(const std::string& canary, rollout::Command command, const std::string& who,
                                        const std::string& message) {
    std::shared_lock lock(mutex_);
    return controller_ ? controller_->command(canary, command, who, message) : Result<rollout::View>(fail(kStopped));
}

Result<std::vector<rollout::View>> Canaries::view(const std::string& canary) {
    std::shared_lock lock(mutex_);
    return controller_ ? controller_->view(canary) : Result<std::vector<rollout::View>>(fail(kStopped));
}

}  // namespace sluice::daemon
