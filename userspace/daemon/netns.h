// Work in other network namespaces, on a thread of its own: no other thread ever leaves the agent's.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::daemon {

// SO_NETNS_COOKIE of a socket's namespace: never given twice, unlike the inode of its file. 0: the kernel does not
// tell.
std::uint64_t netns_cookie(int socket);

// Thread-safe; calls wait for each other. Needs CAP_SYS_ADMIN.
class NetnsThread {
  public:
    NetnsThread();
    ~NetnsThread();
    NetnsThread(const NetnsThread&) = delete;
    NetnsThread& operator=(const NetnsThread&) = delete;

    // Runs `call` in the namespace behind `file` (/proc/PID/ns/net or the like) and returns what it returned. It must
    // not come back here.
    Result<> run(int file, const std::function<Result<>()>& call);

  private:
    void serve();

    std::mutex callers_;  // one at a time
    std::mutex mutex_;    // what follows
    std::condition_variable changed_;
    const std::function<Result<>()>* call_ = nullptr;
    int file_ = -1;
    Result<> result_;
    bool ends_ = false;
    std::thread thread_;
};

}  // namespace sluice::daemon
