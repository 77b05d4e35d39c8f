// The access log: a line a request, written by a thread of its own, so that no worker ever waits for a disk.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "proxy/access_line.h"
#include "proxy/record.h"
#include "telemetry/reading.h"

namespace sluice::proxy {

struct AccessLogOptions {
    std::string path{};  // "-": standard output; empty: there is no log
    LogFormat format = LogFormat::kText;
    // The part of the requests that is logged, 0..1. What failed is logged in any case: no answer, 5xx, or any response
    // flag but DI.
    double sample = 1;
    std::size_t ring = 1 << 20;               // octets held for a worker, a power of two
    std::chrono::milliseconds interval{100};  // between writes, unless a ring is half full before
};

// Lines that find their worker's ring full are dropped and counted, reason "buffer"; those that cannot be written
// (ENOSPC, a closed pipe) too, reason "write".
class AccessLog {
  public:
    // Opens or makes the file (0640; lines are appended) and starts the thread.
    static Result<std::unique_ptr<AccessLog>> open(AccessLogOptions options);
    // Writes what is there; what a reader does not take within a second is dropped. Its recorders are gone by then.
    ~AccessLog();

    // For one worker. Any thread.
    std::unique_ptr<Recorder> recorder();
    // Opens the path anew, after somebody moved the file away: what is taken from the rings afterwards goes there. On
    // failure nothing changes. Any thread.
    Result<> reopen();
    // Any thread: adds the counts of dropped lines.
    void read(telemetry::Reading& reading) const;

  private:
    class Lane;
    struct Ring;
    AccessLog(AccessLogOptions options, Fd file, Fd wake);
    void main();
    void drain(Ring& ring);
    // How much of it was written.
    std::size_t write(std::string_view octets);
    bool writable() const;
    void wake() const;

    const AccessLogOptions options_;
    const Fd wake_;
    Fd file_;                   // the thread's
    bool regular_ = true;       // of file_
    mutable std::mutex mutex_;  // no worker takes it
    std::vector<std::unique_ptr<Ring>> rings_;
    Fd next_file_;  // of reopen()
    std::atomic<std::uint64_t> unwritten_{0};
    std::atomic<std::int64_t> end_ns_{0};  // by the steady clock; 0: it goes on
    std::thread thread_;
};

}  // namespace sluice::proxy
