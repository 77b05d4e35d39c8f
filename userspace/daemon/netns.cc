#include "daemon/netns.h"

#include <sched.h>
#include <sys/socket.h>

namespace sluice::daemon {

std::uint64_t netns_cookie(int socket) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return ::getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

NetnsThread::NetnsThread() : thread_([this] { serve(); }) {
    pthread_setname_np(thread_.native_handle(), "sluice-netns");
}

NetnsThread::~NetnsThread() {
    {
        const std::lock_guard lock(mutex_);
        ends_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

Result<> NetnsThread::run(int file, const std::function<Result<>()>& call) {
    const std::lock_guard one(callers_);
    std::unique_lock lock(mutex_);
    file_ = file;
    call_ = &call;
    changed_.notify_all();
    changed_.wait(lock, [this] { return call_ == nullptr; });
    return std::move(result_);
}

void NetnsThread::serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return ends_ || call_ != nullptr; });
        if (ends_) {
            return;
        }
        result_ = ::setns(file_, CLONE_NEWNET) == 0 ? (*call_)() : Result<>(fail_errno("setns"));
        call_ = nullptr;
        changed_.notify_all();
    }
}

}  // namespace sluice::daemon
