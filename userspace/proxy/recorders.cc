#include "proxy/recorders.h"

namespace sluice::proxy {

class Recorders::FanOut final : public Recorder {
  public:
    FanOut(Counters& counters, Sampler& sampler, std::unique_ptr<Recorder> log)
        : counters_(counters), sampler_(sampler), log_(std::move(log)) {}

    void finished(const Record& record) override {
        counters_.finished(record);
        sampler_.finished(record);
        if (log_ != nullptr) {
            log_->finished(record);
        }
    }
    void tried(const TryRecord& record) override { counters_.tried(record); }
    void mirror_skipped(const VirtualHost& host, const Cluster* cluster, const char* why) override {
        counters_.mirror_skipped(host, cluster, why);
    }
    void refused(const VirtualHost* host, const char* why) override { counters_.refused(host, why); }

  private:
    Counters& counters_;
    Sampler& sampler_;
    const std::unique_ptr<Recorder> log_;  // null: none
};

Result<std::unique_ptr<Recorders>> Recorders::open(const AccessLogOptions& log, const sl_tables& tables) {
    if (log.path.empty()) {
        return std::unique_ptr<Recorders>(new Recorders(nullptr, tables));
    }
    auto opened = AccessLog::open(log);
    if (!opened) {
        return std::unexpected(std::move(opened.error()));
    }
    return std::unique_ptr<Recorders>(new Recorders(std::move(*opened), tables));
}

Recorders::~Recorders() = default;

std::unique_ptr<Recorder> Recorders::recorder() {
    Counters& counters = *counters_.emplace_back(std::make_unique<Counters>(tables_));
    Sampler& sampler = *samplers_.emplace_back(std::make_unique<Sampler>(tables_));
    return std::make_unique<FanOut>(counters, sampler, log_ == nullptr ? nullptr : log_->recorder());
}

void Recorders::read(telemetry::Reading& reading) const {
    for (const auto& counters : counters_) {
        counters->read(reading);
    }
    if (log_ != nullptr) {
        log_->read(reading);
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

Result<> Recorders::reopen_log() const {
    return log_ == nullptr ? Result<>() : log_->reopen();
}

}  // namespace sluice::proxy
