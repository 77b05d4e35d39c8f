// A log of lines, written by a thread of its own, so that no worker ever waits for a disk.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::proxy {

struct LogFileOptions {
    std::string what = "log";                 // for errors
    std::string path{};                       // "-": standard output
    std::size_t ring = 1 << 20;               // octets held for a worker, a power of two
    std::chrono::milliseconds interval{100};  // between writes, unless a ring is half full before
};

// Lines that find their worker's ring full are dropped and counted; those that cannot be written (ENOSPC, a closed
// pipe) too.
class LogFile {
  public:
    // One worker's way in.
    class Inlet;

    // Opens or makes the file (0640; lines are appended) and starts the thread.
    static Result<std::unique_ptr<LogFile>> open(LogFileOptions options);
    // Writes what is there; what a reader does not take within a second is dropped. Nobody uses an inlet any more.
    ~LogFile();

    // For one worker, as long as the log lives. Any thread.
    Inlet& inlet();
    // Opens the path anew, after somebody moved the file away: what is taken from the rings afterwards goes there. On
    // failure nothing changes. Any thread.
    Result<> reopen();

    // Lines that found no room, and that were not written. Any thread.
    std::uint64_t dropped() const;
    std::uint64_t unwritten() const { return unwritten_.load(); }

  private:
    LogFile(LogFileOptions options, Fd file, Fd wake);
    void main();
    void drain(Inlet& inlet);
    // How much of it was written.
    std::size_t write(std::string_view octets);
    bool writable() const;
    void wake() const;

    const LogFileOptions options_;
    const Fd wake_;
    Fd file_;                   // the thread's
    bool regular_ = true;       // of file_
    mutable std::mutex mutex_;  // no worker takes it
    std::vector<std::unique_ptr<Inlet>> inlets_;
    Fd next_file_;  // of reopen()
    std::atomic<std::uint64_t> unwritten_{0};
    std::atomic<std::int64_t> end_ns_{0};  // by the steady clock; 0: it goes on
    std::thread thread_;
};

}  // namespace sluice::proxy
