#include "proxy/access_log.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <ctime>

#include "bpf/lib/random.h"
#include "proxy/log_ring.h"
#include "proxy/replies.h"

namespace sluice::proxy {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kLastWrites = kSecond;
constexpr int kStalledMs = 100;  // between looks whether to end, while nobody takes what is written

std::int64_t clock_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return now.tv_sec * kSecond + now.tv_nsec;
}

Result<Fd> open_file(const std::string& path) {
    Fd file(path == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                        : ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640));
    if (!file) {
        return fail_errno("access log " + path);
    }
    return file;
}

bool is_regular(const Fd& file) {
    struct stat about {};
    return ::fstat(file.get(), &about) == 0 && S_ISREG(about.st_mode);
}

// What is logged whatever the sample.
bool failed(const Record& record) {
    return record.status == 0 || record.status >= 500 || (record.flags & ~bit(Flag::kDelayInjected)) != 0;
}

}  // namespace

struct AccessLog::Ring {
    explicit Ring(std::size_t size) : lines(size) {}
    LogRing lines;
    std::atomic<bool> woken{false};         // the thread was told that it is half full
    std::atomic<std::uint64_t> dropped{0};  // the worker's
};

// One worker's way in.
class AccessLog::Lane final : public Recorder {
  public:
    Lane(const AccessLog& log, Ring& ring)
        : log_(log),
          ring_(ring),
          line_(log.options_.format),
          // Of 2^64 draws; a sample of 1 takes all.
          below_(log.options_.sample >= 1 ? UINT64_MAX
                                          : static_cast<std::uint64_t>(std::ldexp(log.options_.sample, 64))) {
        if (::getrandom(&random_.state, sizeof random_.state, 0) != sizeof random_.state) {
            random_.state = static_cast<__u64>(clock_ns(CLOCK_REALTIME));
        }
    }

    void finished(const Record& record) override {
        if (log_.options_.sample < 1 && !failed(record) && sl_random_next(&random_) >= below_) {
            return;
        }
        text_.clear();
        line_.write(record, wall_ns(record), text_);
        if (!ring_.lines.push(text_)) {
            ring_.dropped.store(ring_.dropped.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        }
        if (ring_.lines.half_full() && !ring_.woken.load(std::memory_order_relaxed) && !ring_.woken.exchange(true)) {
            log_.wake();
        }
    }
    void tried(const TryRecord&) override {}
    void mirror_skipped(const VirtualHost&, const Cluster*, const char*) override {}
    void refused(const VirtualHost*, const char*) override {}

  private:
    // The request's start by the wall clock, which is compared with the other once a second.
    std::int64_t wall_ns(const Record& record) {
        if (record.ended_ns >= compare_at_) {
            to_wall_ = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
            compare_at_ = record.ended_ns + kSecond;
        }
        return static_cast<std::int64_t>(record.started_ns) + to_wall_;
    }

    const AccessLog& log_;
    Ring& ring_;
    AccessLine line_;
    std::string text_;
    const std::uint64_t below_;
    sl_random random_{};
    std::uint64_t compare_at_ = 0;
    std::int64_t to_wall_ = 0;
};

Result<std::unique_ptr<AccessLog>> AccessLog::open(AccessLogOptions options) {
    auto file = open_file(options.path);
    if (!file) {
        return std::unexpected(std::move(file.error()));
    }
    Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) {
        return fail_errno("eventfd");
    }
    return std::unique_ptr<AccessLog>(new AccessLog(std::move(options), std::move(*file), std::move(wake)));
}

AccessLog::AccessLog(AccessLogOptions options, Fd file, Fd wake)
    : options_(std::move(options)), wake_(std::move(wake)), file_(std::move(file)), regular_(is_regular(file_)) {
    thread_ = std::thread([this] { main(); });
    pthread_setname_np(thread_.native_handle(), "sluice-log");
}

AccessLog::~AccessLog() {
    end_ns_ = clock_ns(CLOCK_MONOTONIC) + kLastWrites;
    wake();
    thread_.join();
}

void AccessLog::wake() const {
    const std::uint64_t one = 1;
    static_cast<void>(::write(wake_.get(), &one, sizeof one) == sizeof one);  // full: it is awake already
}

std::unique_ptr<Recorder> AccessLog::recorder() {
    const std::lock_guard lock(mutex_);
    Ring& ring = *rings_.emplace_back(std::make_unique<Ring>(options_.ring));
    return std::make_unique<Lane>(*this, ring);
}

Result<> AccessLog::reopen() {
    auto file = open_file(options_.path);
    if (!file) {
        return std::unexpected(std::move(file.error()));
    }
    {
        const std::lock_guard lock(mutex_);
        next_file_ = std::move(*file);
    }
    wake();
    return {};
}

void AccessLog::read(telemetry::Reading& reading) const {
    using telemetry::ProxiedCount;
    std::uint64_t dropped = 0;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& ring : rings_) {
            dropped += ring->dropped.load(std::memory_order_relaxed);
        }
    }
    reading.proxied_counts.push_back({ProxiedCount::What::kLogDropped, {}, "buffer", dropped});
    reading.proxied_counts.push_back({ProxiedCount::What::kLogDropped, {}, "write", unwritten_.load()});
}

void AccessLog::main() {
    for (bool last = false; !last;) {
        pollfd woken{wake_.get(), POLLIN, 0};
        ::poll(&woken, 1, static_cast<int>(options_.interval.count()));
        std::uint64_t count = 0;
        static_cast<void>(::read(wake_.get(), &count, sizeof count) == sizeof count);
        last = end_ns_ != 0;
        std::vector<Ring*> rings;
        {
            const std::lock_guard lock(mutex_);
            if (next_file_) {
                file_ = std::move(next_file_);
                regular_ = is_regular(file_);
            }
            for (const auto& ring : rings_) {
                rings.push_back(ring.get());
            }
        }
        for (Ring* ring : rings) {
            drain(*ring);
        }
    }
}

// What was there when it began, all of it: files change between whole lines only.
void AccessLog::drain(Ring& ring) {
    ring.woken = false;
    for (std::size_t left = ring.lines.used(); left != 0;) {
        const std::string_view piece = ring.lines.front(left);
        const std::size_t written = write(piece);
        const std::string_view lost = piece.substr(written);
        unwritten_ += static_cast<std::uint64_t>(std::ranges::count(lost, '\n'));
        ring.lines.pop(piece.size());
        left -= piece.size();
    }
}

// Whether a pipe, terminal or socket takes something before the log has to end.
bool AccessLog::writable() const {
    for (;;) {
        pollfd out{file_.get(), POLLOUT, 0};
        if (::poll(&out, 1, kStalledMs) > 0) {
            return true;
        }
        const std::int64_t end = end_ns_;
        if (end != 0 && clock_ns(CLOCK_MONOTONIC) >= end) {
            return false;
        }
    }
}

// No more at once than what does not block after poll().
std::size_t AccessLog::write(std::string_view octets) {
    std::size_t written = 0;
    while (written < octets.size()) {
        if (!regular_ && !writable()) {
            break;
        }
        const std::size_t size =
            regular_ ? octets.size() - written : std::min<std::size_t>(octets.size() - written, PIPE_BUF);
        const ssize_t done = ::write(file_.get(), octets.data() + written, size);
        if (done > 0) {
            written += static_cast<std::size_t>(done);
        } else if (done == 0 || (errno != EINTR && errno != EAGAIN)) {
            break;
        }
    }
    return written;
}

}  // namespace sluice::proxy
