#include "source/watch.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "source/catalog.h"
#include "source/tree.h"

namespace sluice::source {

namespace {

// No IN_MODIFY: a file that is being written is looked at when its writer closes it.
constexpr std::uint32_t kTreeEvents = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |
                                      IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

}  // namespace

Result<Watch> Watch::create(Debounce debounce) {
    Watch watch;
    watch.debounce_ = debounce;
    watch.inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!watch.inotify_) {
        return fail_errno("inotify_init1 (fs.inotify.max_user_instances may be reached)");
    }
    watch.timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    watch.poll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!watch.timer_ || !watch.poll_) {
        return fail_errno("timerfd or epoll");
    }
    for (const int fd : {watch.inotify_.get(), watch.timer_.get()}) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (::epoll_ctl(watch.poll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
            return fail_errno("epoll_ctl");
        }
    }
    return watch;
}

Result<> Watch::add(const std::string& directory) {
    const int watch = ::inotify_add_watch(inotify_.get(), directory.c_str(), kTreeEvents);
    if (watch < 0) {
        return fail_errno(errno == ENOSPC ? "is not watched: raise fs.inotify.max_user_watches" : "is not watched");
    }
    directories_[watch] = directory;
    return {};
}

Result<> Watch::add_outside(const std::string& directory, const std::string& name) {
    const int watch = ::inotify_add_watch(inotify_.get(), directory.c_str(), kTreeEvents);
    if (watch < 0) {
        return fail_errno("is not watched");
    }
    outside_[watch].insert(name);
    return {};
}

bool Watch::due() {
    drain();
    if (!burst_) {
        return false;
    }
    std::uint64_t expirations = 0;
    return ::read(timer_.get(), &expirations, sizeof expirations) == sizeof expirations;
}

Suspects Watch::take() {
    drain();
    burst_ = false;
    const itimerspec off{};
    ::timerfd_settime(timer_.get(), 0, &off, nullptr);
    return std::exchange(suspects_, {});
}

void Watch::drain() {
    alignas(inotify_event) char buffer[16384];
    bool relevant = false;
    for (;;) {
        const ssize_t got = ::read(inotify_.get(), buffer, sizeof buffer);
        if (got <= 0) {
            break;
        }
        for (ssize_t at = 0; at < got;) {
            const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
            relevant |=
                see(event->wd, event->mask, event->len > 0 ? std::string_view(event->name) : std::string_view());
            at += static_cast<ssize_t>(sizeof *event + event->len);
        }
    }
    if (relevant) {
        arm();
    }
}

bool Watch::see(int watch, std::uint32_t mask, std::string_view name) {
    bool everything = (mask & IN_Q_OVERFLOW) != 0;
    bool file = false;
    if (const auto outside = outside_.find(watch); outside != outside_.end()) {
        everything |= outside->second.contains(std::string(name));
    }
    if (const auto directory = directories_.find(watch); directory != directories_.end()) {
        if (name.empty()) {
            everything |= (mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0;
        } else if (mask & IN_ISDIR) {
            // What is inside a directory that came or went has no events of its own. Its attributes do not matter.
            everything |= !name.starts_with('.') && !(mask & IN_ATTRIB);
        } else if (is_rules_name(name)) {
            file = true;
            suspects_.files.insert(directory->second + "/" + std::string(name));
        } else {
            everything |= name.starts_with("..");  // Kubernetes swaps a volume's files by renaming the link ..data
        }
    }
    if (mask & IN_IGNORED) {
        directories_.erase(watch);
        outside_.erase(watch);
    }
    suspects_.everything |= everything;
    return everything || file;
}

void Watch::arm() {
    const auto now = std::chrono::steady_clock::now();
    if (!burst_) {
        burst_ = true;
        first_ = now;
    }
    const auto wait = std::clamp<std::chrono::nanoseconds>(first_ + debounce_.longest - now,
                                                           std::chrono::nanoseconds(1), debounce_.quiet);
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(wait.count() / 1'000'000'000);
    when.it_value.tv_nsec = static_cast<long>(wait.count() % 1'000'000'000);
    ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

}  // namespace sluice::source
