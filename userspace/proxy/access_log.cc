#include "proxy/access_log.h"

#include <sys/random.h>

#include <cmath>

#include "bpf/lib/random.h"
#include "proxy/log_inlet.h"
#include "proxy/replies.h"

namespace sluice::proxy {

namespace {

// What is logged whatever the sample.
bool failed(const Record& record) {
    return record.status == 0 || record.status >= 500 || (record.flags & ~bit(Flag::kDelayInjected)) != 0;
}

}  // namespace

// One worker's way in.
class AccessLog::Lane final : public Recorder {
  public:
    Lane(const AccessLog& log, LogFile::Inlet& inlet)
        : inlet_(inlet),
          line_(log.format_),
          all_(log.sample_ >= 1),
          // Of 2^64 draws.
          below_(all_ ? UINT64_MAX : static_cast<std::uint64_t>(std::ldexp(log.sample_, 64))) {
        if (::getrandom(&random_.state, sizeof random_.state, 0) != sizeof random_.state) {
            random_.state = static_cast<__u64>(LogFile::Inlet::clock_ns(CLOCK_REALTIME));
        }
    }

    void finished(const Record& record) override {
        if (!all_ && !failed(record) && sl_random_next(&random_) >= below_) {
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
    AccessLine line_;
    std::string text_;
    const bool all_;
    const std::uint64_t below_;
    sl_random random_{};
};

Result<std::unique_ptr<AccessLog>> AccessLog::open(AccessLogOptions options) {
    auto file = LogFile::open({"access log", options.path, options.ring, options.interval});
    if (!file) {
        return std::unexpected(std::move(file.error()));
    }
    return std::unique_ptr<AccessLog>(new AccessLog(options, std::move(*file)));
}

AccessLog::~AccessLog() = default;

std::unique_ptr<Recorder> AccessLog::recorder() {
    return std::make_unique<Lane>(*this, file_->inlet());
}

void AccessLog::read(telemetry::Reading& reading) const {
    using telemetry::ProxiedCount;
    reading.proxied_counts.push_back({ProxiedCount::What::kLogDropped, {}, "buffer", file_->dropped()});
    reading.proxied_counts.push_back({ProxiedCount::What::kLogDropped, {}, "write", file_->unwritten()});
}

}  // namespace sluice::proxy
