#include "ctl/stopper.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace sluice::ctl {

namespace {

sigset_t signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGWINCH}) {
        ::sigaddset(&set, signal);
    }
    return set;
}

}  // namespace

Result<Stopper> Stopper::make() {
    const sigset_t set = signals();
    Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd || ::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
        return fail_errno("signalfd");
    }
    return Stopper(std::move(fd));
}

Stopper::~Stopper() {
    if (fd_) {
        const sigset_t set = signals();
        ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
    }
}

Stopper::Woken Stopper::wait(std::chrono::milliseconds time, int input) const {
    const auto end = std::chrono::steady_clock::now() + time;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        std::array<pollfd, 2> fds{pollfd{fd_.get(), POLLIN, 0}, pollfd{input, POLLIN, 0}};
        const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(std::clamp<long>(left, 0, 3'600'000)));
        if (ready == 0 && left <= 3'600'000) {
            return Woken::kTime;
        }
        if (fds[0].revents != 0) {
            signalfd_siginfo info{};
            if (::read(fd_.get(), &info, sizeof info) == sizeof info) {
                return info.ssi_signo == SIGWINCH ? Woken::kResized : Woken::kStop;
            }
        }
        if (ready > 0 && fds[1].revents != 0) {
            return Woken::kInput;
        }
    }
}

bool Stopper::stopped_within(std::chrono::milliseconds time) const {
    const auto end = std::chrono::steady_clock::now() + time;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        switch (wait(std::max(left, std::chrono::milliseconds(0)))) {
            case Woken::kStop:
                return true;
            case Woken::kTime:
                return false;
            case Woken::kResized:
            case Woken::kInput:
                break;
        }
    }
}

}  // namespace sluice::ctl
