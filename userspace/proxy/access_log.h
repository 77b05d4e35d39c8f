// The access log: a line a request.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "proxy/access_line.h"
#include "proxy/log_file.h"
#include "proxy/record.h"
#include "telemetry/reading.h"

namespace sluice::proxy {

struct AccessLogOptions {
    std::string path{};  // "-": standard output; empty: there is no log
    LogFormat format = LogFormat::kText;
    // The part of the requests that is logged, 0..1. What failed is logged in any case: no answer, 5xx, or any response
    // flag but DI.
    double sample = 1;
    std::size_t ring = LogFileOptions().ring;
    std::chrono::milliseconds interval = LogFileOptions().interval;
};

// Lines that find no room are dropped and counted, reason "buffer"; those that cannot be written too, reason "write".
class AccessLog {
  public:
    // Opens or makes the file (0640; lines are appended) and starts the thread.
    static Result<std::unique_ptr<AccessLog>> open(AccessLogOptions options);
    // Ends as LogFile does. Its recorders are gone by then.
    ~AccessLog();

    // For one worker. Any thread.
    std::unique_ptr<Recorder> recorder();
    // LogFile::reopen().
    Result<> reopen() { return file_->reopen(); }
    // Any thread: adds the counts of dropped lines.
    void read(telemetry::Reading& reading) const;

  private:
    class Lane;
    AccessLog(const AccessLogOptions& options, std::unique_ptr<LogFile> file)
        : format_(options.format), sample_(options.sample), file_(std::move(file)) {}

    const LogFormat format_;
    const double sample_;
    const std::unique_ptr<LogFile> file_;
};

}  // namespace sluice::proxy
