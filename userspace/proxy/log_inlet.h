// A worker's way into a log.
#pragma once

#include <ctime>

#include "proxy/log_file.h"
#include "proxy/log_ring.h"
#include "proxy/record.h"

namespace sluice::proxy {

// All but what says so belongs to the worker.
class LogFile::Inlet {
  public:
    Inlet(const LogFile& log, std::size_t size) : log_(log), lines_(size) {}

    // A whole line with its newline. Never waits.
    void push(std::string_view line) {
        if (!lines_.push(line)) {
            dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        }
        if (lines_.half_full() && !woken_.load(std::memory_order_relaxed) && !woken_.exchange(true)) {
            log_.wake();
        }
    }

    // The request's start by the wall clock, which is compared with the other once a second.
    std::int64_t started_unix_ns(const Record& record) {
        constexpr std::int64_t kSecond = 1'000'000'000;
        if (record.ended_ns >= compare_at_) {
            to_wall_ = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
            compare_at_ = record.ended_ns + kSecond;
        }
        return static_cast<std::int64_t>(record.started_ns) + to_wall_;
    }

    static std::int64_t clock_ns(clockid_t clock) {
        constexpr std::int64_t kSecond = 1'000'000'000;
        timespec now{};
        ::clock_gettime(clock, &now);
        return now.tv_sec * kSecond + now.tv_nsec;
    }

  private:
    friend class LogFile;
    const LogFile& log_;
    LogRing lines_;
    std::atomic<bool> woken_{false};         // the thread was told that it is half full
    std::atomic<std::uint64_t> dropped_{0};  // any thread reads
    std::uint64_t compare_at_ = 0;
    std::int64_t to_wall_ = 0;
};

}  // namespace sluice::proxy
