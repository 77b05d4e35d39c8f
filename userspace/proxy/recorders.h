// All that is recorded of finished requests: counters, access log and samples of every worker.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "proxy/access_log.h"
#include "proxy/counters.h"
#include "proxy/sampler.h"

namespace sluice::proxy {

class Recorders {
  public:
    // `tables`: of the publisher; without a path there is no log. An error names the file that could not be opened.
    static Result<std::unique_ptr<Recorders>> open(const AccessLogOptions& log, const sl_tables& tables);
    // Whoever records (the proxy) is gone by then.
    ~Recorders();

    // For one worker: tells counters, log and sampler. Before any of the calls below.
    std::unique_ptr<Recorder> recorder();

    // Any thread: adds what was counted so far.
    void read(telemetry::Reading& reading) const;
    // Any thread: calls for every row of requests.
    void visit(const Counters::Visit& call) const;
    // Requests that ended since the last call and were sampled (see Sampler). One caller at a time.
    void take_samples(const std::function<void(const Sample&)>& call) const;
    std::uint64_t samples_lost() const;
    // Opens the log's file anew; nothing without log. Any thread.
    Result<> reopen_log() const;

  private:
    class FanOut;
    Recorders(std::unique_ptr<AccessLog> log, const sl_tables& tables) : log_(std::move(log)), tables_(tables) {}

    const std::unique_ptr<AccessLog> log_;  // null: none
    const sl_tables& tables_;
    std::vector<std::unique_ptr<Counters>> counters_;
    std::vector<std::unique_ptr<Sampler>> samplers_;
};

}  // namespace sluice::proxy
