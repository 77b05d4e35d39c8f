#include "proxy/exposure_log.h"

#include "proxy/experiment_counts.h"
#include "proxy/exposure_line.h"
#include "proxy/log_inlet.h"

namespace sluice::proxy {

// One worker's way in.
class ExposureLog::Lane final : public Recorder {
  public:
    explicit Lane(LogFile::Inlet& inlet) : inlet_(inlet) {}

    void finished(const Record& record) override {
        if (!exposed(record)) {
            return;
        }
        text_.clear();
        line_.write(record, inlet_.started_unix_ns(record), text_);
        inlet_.push(text_);
    }
    void tried(const TryRecord&) override {}
    void mirror_skipped(const VirtualHost&, const Cluster*, const char*) override {}
    void refused(const VirtualHost*, const char*) override {}

  private:
    LogFile::Inlet& inlet_;
    ExposureLine line_;
    std::string text_;
};

Result<std::unique_ptr<ExposureLog>> ExposureLog::open(ExposureLogOptions options) {
    auto file = LogFile::open({"exposure log", std::move(options.path), options.ring, options.interval});
    if (!file) {
        return std::unexpected(std::move(file.error()));
    }
    return std::unique_ptr<ExposureLog>(new ExposureLog(std::move(*file)));
}

ExposureLog::~ExposureLog() = default;

std::unique_ptr<Recorder> ExposureLog::recorder() {
    return std::make_unique<Lane>(file_->inlet());
}

void ExposureLog::read(telemetry::Reading& reading) const {
    using telemetry::ProxiedCount;
    reading.proxied_counts.push_back({ProxiedCount::What::kExposureDropped, {}, "buffer", file_->dropped()});
    reading.proxied_counts.push_back({ProxiedCount::What::kExposureDropped, {}, "write", file_->unwritten()});
}

}  // namespace sluice::proxy
