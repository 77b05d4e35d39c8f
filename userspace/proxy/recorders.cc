#include "proxy/recorders.h"

namespace sluice::proxy {

class Recorders::FanOut final : public Recorder {
  public:
    FanOut(Counters& counters, ExperimentCounts& experiments, Sampler& sampler, std::unique_ptr<Recorder> log,
           std::unique_ptr<Recorder> exposures)
        : counters_(counters),
          experiments_(experiments),
          sampler_(sampler),
          log_(std::move(log)),
          exposures_(std::move(exposures)) {}

    void finished(const Record& record) override {
        counters_.finished(record);
        experiments_.finished(record);
        sampler_.finished(record);
        if (log_ != nullptr) {
            log_->finished(record);
        }
        if (exposures_ != nullptr) {
            exposures_->finished(record);
        }
    }
    void tried(const TryRecord& record) override {
        counters_.tried(record);
        sampler_.tried(record);
    }
    void mirror_skipped(const VirtualHost& host, const Cluster* cluster, const char* why) override {
        counters_.mirror_skipped(host, cluster, why);
    }
    void refused(const VirtualHost* host, const char* why) override { counters_.refused(host, why); }

  private:
    Counters& counters_;
    ExperimentCounts& experiments_;
    Sampler& sampler_;
    const std::unique_ptr<Recorder> log_, exposures_;  // null: none
};

// Without a path there is no log.
template <typename Log, typename Options>
static Result<std::unique_ptr<Log>> open_log(const Options& options) {
    return options.path.empty() ? Result<std::unique_ptr<Log>>() : Log::open(options);
}

Result<std::unique_ptr<Recorders>> Recorders::open(const AccessLogOptions& log, const sl_tables& tables,
                                                   const ExposureLogOptions& exposures) {
    std::unique_ptr<Recorders> made(new Recorders(tables));
    auto opened = open_log<AccessLog>(log);
    auto exposed = open_log<ExposureLog>(exposures);
    if (!opened || !exposed) {
        return std::unexpected(std::move(!opened ? opened.error() : exposed.error()));
    }
    made->log_ = std::move(*opened);
    made->exposures_ = std::move(*exposed);
    return made;
}

Recorders::~Recorders() = default;

std::unique_ptr<Recorder> Recorders::recorder() {
    Counters& counters = *counters_.emplace_back(std::make_unique<Counters>(tables_));
    ExperimentCounts& experiments = *experiments_.emplace_back(std::make_unique<ExperimentCounts>());
    Sampler& sampler = *samplers_.emplace_back(std::make_unique<Sampler>(tables_));
    return std::make_unique<FanOut>(counters, experiments, sampler, log_ == nullptr ? nullptr : log_->recorder(),
                                    exposures_ == nullptr ? nullptr : exposures_->recorder());
}

void Recorders::read(telemetry::Reading& reading) const {
    for (const auto& counters : counters_) {
        counters->read(reading);
    }
    if (log_ != nullptr) {
        log_->read(reading);
    }
    reading.experiments = experiments();
    if (exposures_ != nullptr) {
        exposures_->read(reading);
    } else {
        std::uint64_t unlogged = 0;
        for (const telemetry::ExperimentRow& row : reading.experiments) {
            unlogged += row.exposures;
        }
        reading.proxied_counts.push_back({telemetry::ProxiedCount::What::kExposureDropped, {}, "no_log", unlogged});
    }
    reading.proxied_counts.push_back({telemetry::ProxiedCount::What::kSampleLost, {}, "buffer", samples_lost()});
}

void Recorders::visit(const Counters::Visit& call) const {
    for (const auto& counters : counters_) {
        counters->visit(call);
    }
}

void Recorders::take_samples(const std::function<void(const Sample&)>& call) const {
    for (const auto& sampler : samplers_) {
        sampler->take(call);
    }
}

std::uint64_t Recorders::samples_lost() const {
    std::uint64_t sum = 0;
    for (const auto& sampler : samplers_) {
        sum += sampler->lost();
    }
    return sum;
}

std::vector<telemetry::ExperimentRow> Recorders::experiments() const {
    std::vector<telemetry::ExperimentRow> out;
    for (const auto& counts : experiments_) {
        counts->read(out);
    }
    return out;
}

Result<> Recorders::reopen_logs() const {
    Result<> log = log_ == nullptr ? Result<>() : log_->reopen();
    Result<> exposures = exposures_ == nullptr ? Result<>() : exposures_->reopen();
    if (!log && !exposures) {
        return fail(log.error().text() + "; " + exposures.error().text());
    }
    return log ? std::move(exposures) : std::move(log);
}

}  // namespace sluice::proxy
