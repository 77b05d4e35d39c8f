// All that is recorded of finished requests: counters, logs and samples of every worker.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "proxy/access_log.h"
#include "proxy/counters.h"
#include "proxy/experiment_counts.h"
#include "proxy/exposure_log.h"
#include "proxy/sampler.h"

namespace sluice::proxy {

class Recorders {
  public:
    // `tables`: of the publisher; without a path there is no log. An error names the file that could not be opened.
    static Result<std::unique_ptr<Recorders>> open(const AccessLogOptions& log, const sl_tables& tables,
                                                   const ExposureLogOptions& exposures = {});
    // Whoever records (the proxy) is gone by then.
    ~Recorders();

    // For one worker: tells counters, logs and sampler. Before any of the calls below.
    std::unique_ptr<Recorder> recorder();

    // Any thread: adds what was counted so far.
    void read(telemetry::Reading& reading) const;
    // Any thread: calls for every row of requests.
    void visit(const Counters::Visit& call) const;
    // Requests that ended since the last call and were sampled (see Sampler). One caller at a time.
    void take_samples(const std::function<void(const Sample&)>& call) const;
    std::uint64_t samples_lost() const;
    // What was counted of experiments so far. Rows of one arm repeat: each worker has its own. Any thread.
    std::vector<telemetry::ExperimentRow> experiments() const;
    // Opens the logs' files anew; nothing without logs. An error names each that could not be. Any thread.
    Result<> reopen_logs() const;

  private:
    class FanOut;
    explicit Recorders(const sl_tables& tables) : tables_(tables) {}

    std::unique_ptr<AccessLog> log_;          // null: none
    std::unique_ptr<ExposureLog> exposures_;  // null: none
    const sl_tables& tables_;
    std::vector<std::unique_ptr<Counters>> counters_;
    std::vector<std::unique_ptr<ExperimentCounts>> experiments_;
    std::vector<std::unique_ptr<Sampler>> samplers_;
};

}  // namespace sluice::proxy
