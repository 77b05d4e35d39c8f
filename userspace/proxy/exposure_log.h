// The exposure log: which arm of an experiment a user saw, a line a request, for those who analyse it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "proxy/log_file.h"
#include "proxy/record.h"
#include "telemetry/reading.h"

namespace sluice::proxy {

struct ExposureLogOptions {
    std::string path{};  // "-": standard output; empty: there is no log
    std::size_t ring = LogFileOptions().ring;
    std::chrono::milliseconds interval = LogFileOptions().interval;
};

// A request has a line if a key was assigned by an Experiment with `exposure` and the key is of the share that it
// samples. Lines that find no room are dropped and counted, reason "buffer"; those that cannot be written too, reason
// "write".
class ExposureLog {
  public:
    // Opens or makes the file (0640; lines are appended) and starts the thread.
    static Result<std::unique_ptr<ExposureLog>> open(ExposureLogOptions options);
    // Ends as LogFile does. Its recorders are gone by then.
    ~ExposureLog();

    // For one worker. Any thread.
    std::unique_ptr<Recorder> recorder();
    // LogFile::reopen().
    Result<> reopen() { return file_->reopen(); }
    // Any thread: adds the counts of dropped lines.
    void read(telemetry::Reading& reading) const;

  private:
    class Lane;
    explicit ExposureLog(std::unique_ptr<LogFile> file) : file_(std::move(file)) {}

    const std::unique_ptr<LogFile> file_;
};

}  // namespace sluice::proxy
