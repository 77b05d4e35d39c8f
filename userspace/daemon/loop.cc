#include "daemon/loop.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>

#include "daemon/clock.h"
#include "daemon/memory.h"

namespace sluice::daemon {

namespace {

constexpr long kTickNs = 100'000'000;        // heartbeat, ejections that ran out
constexpr std::uint64_t kTicksSecond = 10;   // client cgroups, reclaiming
constexpr std::uint64_t kTicksRetry = 50;    // a directory that could not be loaded
constexpr std::size_t kTrimChanges = 1'000;  // a load from which on its memory is worth giving back
constexpr std::size_t kErrorsLogged = 50;    // all are in `sluice status`

sigset_t loop_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
        ::sigaddset(&set, signal);
    }
    return set;
}

Result<Fd> make_timer() {
    Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    itimerspec every{{0, kTickNs}, {0, kTickNs}};
    if (!timer || ::timerfd_settime(timer.get(), 0, &every, nullptr) != 0) {
        return fail_errno("timerfd");
    }
    return timer;
}

class Loop {
  public:
    Loop(LoopParts parts, Fd signals, Fd timer)
        : parts_(std::move(parts)), signals_(std::move(signals)), timer_(std::move(timer)) {}

    Result<int> run();

  private:
    int take_signal();  // 0: go on
    void tick();
    void rescan(bool everything, const char* why);
    void reclaim();
    void retire_others();
    void take_event(const sl_event& event);

    LoopParts parts_;
    Fd signals_, timer_;
    std::uint64_t ticks_ = 0;
    bool reclaiming_ = true;  // something may wait to be freed
    bool alone_ = false;      // nothing of another ABI version is in force
    std::string client_error_;
};

Result<int> Loop::run() {
    for (;;) {
        std::array<pollfd, 6> fds{pollfd{signals_.get(), POLLIN, 0},
                                  pollfd{timer_.get(), POLLIN, 0},
                                  pollfd{parts_.wake.fd(), POLLIN, 0},
                                  pollfd{parts_.kernel.event_fd(), POLLIN, 0},
                                  pollfd{parts_.controller.watch_fd(), POLLIN, 0},
                                  pollfd{parts_.handover_fd, POLLIN, 0}};
        if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) {
            return fail_errno("poll");
        }
        if (fds[0].revents != 0) {
            if (int signal = take_signal()) {
                return signal;
            }
        }
        if (fds[3].revents != 0) {
            static_cast<void>(parts_.kernel.poll_events([this](const sl_event& event) { take_event(event); }));
        }
        if (fds[4].revents != 0 && parts_.controller.watch_due()) {
            rescan(false, "the directory changed");
        }
        if (fds[2].revents != 0) {
            parts_.wake.drain();
            for (const sl_event& event : parts_.events.take()) {
                take_event(event);
            }
            parts_.drainer.look_at_rules();
            reclaiming_ = true;
            reclaim();
        }
        if (fds[1].revents != 0) {
            tick();
        }
        if (fds[5].revents != 0) {
            return 0;
        }
    }
}

int Loop::take_signal() {
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof(info)) != sizeof(info)) {
        return 0;
    }
    if (info.ssi_signo == SIGHUP) {
        if (auto reopened = parts_.agent.reopen_log(); !reopened) {
            spdlog::error("{}; the file that was open stays so", reopened.error().text());
        }
        rescan(true, "SIGHUP");
        return 0;
    }
    return static_cast<int>(info.ssi_signo);
}

void Loop::tick() {
    std::uint64_t expired = 0;
    if (::read(timer_.get(), &expired, sizeof(expired)) != sizeof(expired)) {
        return;
    }
    const std::uint64_t now = monotonic_ns();
    parts_.agent.beat(now);
    parts_.publisher.sweep(now, [this](const sl_event& event) { take_event(event); });
    ++ticks_;
    if (ticks_ % kTicksSecond == 0) {
        std::string error = parts_.controller.resolve_clients();
        if (error != client_error_ && !error.empty()) {
            spdlog::error("{}", error);
        }
        client_error_ = std::move(error);
        if (parts_.capture != nullptr) {
            parts_.capture->look();
        }
        parts_.agent.trim();
        reclaim();
        retire_others();
    }
    // What the watch cannot see: a directory that did not exist, or a failure that was not a file's.
    if (ticks_ % kTicksRetry == 0 && !parts_.controller.load_state().last_success) {
        rescan(true, "trying again");
    }
}

void Loop::rescan(bool everything, const char* why) {
    LoadReport report = parts_.controller.rescan(everything);
    log_load(report, why, parts_.last_errors);
    if (report.outcome == LoadReport::Outcome::kInForce) {
        parts_.drainer.look_at_rules();
        reclaiming_ = true;
        reclaim();
    }
    if (report.changes >= kTrimChanges) {
        give_memory_back();
    }
}

void Loop::reclaim() {
    if (reclaiming_) {
        reclaiming_ = parts_.publisher.reclaim() > 0;
        parts_.agent.forget_clusters(parts_.publisher.take_freed_clusters());
    }
}

// Not before there is something to take their place.
void Loop::retire_others() {
    if (alone_ || parts_.publisher.generation() == 0) {
        return;
    }
    alone_ = true;  // tried once: what cannot be removed now is for a person to look at
    auto retired = parts_.kernel.retire_others(parts_.kernel_options);
    if (!retired) {
        spdlog::error(
            "what an agent of another ABI version left in force stays so (sluiced --uninstall removes all): {}",
            retired.error().text());
        return;
    }
    for (const std::string& version : *retired) {
        spdlog::warn(
            "an agent of ABI {} was in force here: its programs are gone, and its connections go on unaccounted",
            version);
    }
}

void Loop::take_event(const sl_event& event) {
    if (event.kind == SL_EVENT_NO_LISTENER) {
        if (parts_.capture != nullptr) {
            parts_.capture->unheard(event.netns_cookie, event.process);
        }
        return;
    }
    if (event.kind != SL_EVENT_RETURNED) {
        parts_.drainer.look_at_connections();
    }
    if (event.kind == SL_EVENT_GATED) {
        return;  // one a request while a drain goes on: status and metrics show it
    }
    if (parts_.budget.take(monotonic_ns())) {
        spdlog::info("{}", event_text(event, parts_.publisher));
    }
}

}  // namespace

void log_load(const LoadReport& report, const std::string& what, std::vector<std::string>& last) {
    for (const std::string& warning : report.warnings) {
        spdlog::warn("{}", warning);
    }
    switch (report.outcome) {
        case LoadReport::Outcome::kUnchanged:
            if (!last.empty()) {
                spdlog::info("{}: the directory is good again; generation {} stays in force", what, report.generation);
            }
            break;
        case LoadReport::Outcome::kInForce:
            spdlog::info("{}: {} objects taken, generation {} is in force", what, report.changes, report.generation);
            break;
        case LoadReport::Outcome::kRefused:
            if (report.errors == last) {
                return;
            }
            for (std::size_t i = 0; i < report.errors.size() && i < kErrorsLogged; ++i) {
                spdlog::error("{}", report.errors[i]);
            }
            spdlog::error("{}: refused with {} errors; {}", what, report.errors.size(),
                          report.from_state        ? "the last good objects of the state database are in force"
                          : report.generation == 0 ? "nothing is in force yet"
                                                   : "what was in force stays in force");
            break;
    }
    last = report.errors;
}

Result<Wake> Wake::make() {
    Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) {
        return fail_errno("eventfd");
    }
    return Wake(std::move(fd));
}

void Wake::notify() const {
    const std::uint64_t one = 1;
    // Full means that the loop is awake already.
    static_cast<void>(::write(fd_.get(), &one, sizeof(one)) == sizeof(one));
}

void Wake::drain() const {
    std::uint64_t count = 0;
    static_cast<void>(::read(fd_.get(), &count, sizeof(count)) == sizeof(count));
}

Result<> block_signals() {
    sigset_t set = loop_signals();
    if (int code = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); code != 0) {
        return fail_errno(code, "blocking signals");
    }
    ::signal(SIGPIPE, SIG_IGN);
    return {};
}

Result<int> run_loop(LoopParts parts) {
    sigset_t set = loop_signals();
    Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals) {
        return fail_errno("signalfd");
    }
    auto timer = make_timer();
    if (!timer) {
        return std::unexpected(timer.error());
    }
    return Loop(std::move(parts), std::move(signals), std::move(*timer)).run();
}

}  // namespace sluice::daemon
