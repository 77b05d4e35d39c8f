#include "proxy/log_file.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "proxy/log_inlet.h"

namespace sluice::proxy {

namespace {

constexpr std::int64_t kLastWrites = 1'000'000'000;
constexpr int kStalledMs = 100;  // between looks whether to end, while nobody takes what is written

// A FIFO that nobody reads yet must not hold up who opens it: its own reader holds it open then.
Fd open_path(const char* path) {
    constexpr int kFlags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    Fd file(::open(path, O_WRONLY | kFlags, 0640));
    return !file && errno == ENXIO ? Fd(::open(path, O_RDWR | kFlags, 0640)) : std::move(file);
}

Result<Fd> open_file(const LogFileOptions& options) {
    Fd file = options.path == "-" ? Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)) : open_path(options.path.c_str());
    if (!file) {
        return fail_errno(options.what + " " + options.path);
    }
    return file;
}

bool is_regular(const Fd& file) {
    struct stat about {};
    return ::fstat(file.get(), &about) == 0 && S_ISREG(about.st_mode);
}

std::int64_t monotonic_ns() {
    return LogFile::Inlet::clock_ns(CLOCK_MONOTONIC);
}

}  // namespace

Result<std::unique_ptr<LogFile>> LogFile::open(LogFileOptions options) {
    auto file = open_file(options);
    if (!file) {
        return std::unexpected(std::move(file.error()));
    }
    Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) {
        return fail_errno("eventfd");
    }
    return std::unique_ptr<LogFile>(new LogFile(std::move(options), std::move(*file), std::move(wake)));
}

LogFile::LogFile(LogFileOptions options, Fd file, Fd wake)
    : options_(std::move(options)), wake_(std::move(wake)), file_(std::move(file)), regular_(is_regular(file_)) {
    thread_ = std::thread([this] { main(); });
    pthread_setname_np(thread_.native_handle(), "sluice-log");
}

LogFile::~LogFile() {
    end_ns_ = monotonic_ns() + kLastWrites;
    wake();
    thread_.join();
}

void LogFile::wake() const {
    const std::uint64_t one = 1;
    static_cast<void>(::write(wake_.get(), &one, sizeof one) == sizeof one);  // full: it is awake already
}

LogFile::Inlet& LogFile::inlet() {
    const std::lock_guard lock(mutex_);
    return *inlets_.emplace_back(std::make_unique<Inlet>(*this, options_.ring));
}

Result<> LogFile::reopen() {
    auto file = open_file(options_);
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

std::uint64_t LogFile::dropped() const {
    const std::lock_guard lock(mutex_);
    std::uint64_t sum = 0;
    for (const auto& inlet : inlets_) {
        sum += inlet->dropped_.load(std::memory_order_relaxed);
    }
    return sum;
}

void LogFile::main() {
    for (bool last = false; !last;) {
        pollfd woken{wake_.get(), POLLIN, 0};
        ::poll(&woken, 1, static_cast<int>(options_.interval.count()));
        std::uint64_t count = 0;
        static_cast<void>(::read(wake_.get(), &count, sizeof count) == sizeof count);
        last = end_ns_ != 0;
        std::vector<Inlet*> inlets;
        {
            const std::lock_guard lock(mutex_);
            if (next_file_) {
                file_ = std::move(next_file_);
                regular_ = is_regular(file_);
            }
            for (const auto& inlet : inlets_) {
                inlets.push_back(inlet.get());
            }
        }
        for (Inlet* inlet : inlets) {
            drain(*inlet);
        }
    }
}

// What was there when it began, all of it: files change between whole lines only.
void LogFile::drain(Inlet& inlet) {
    inlet.woken_ = false;
    for (std::size_t left = inlet.lines_.used(); left != 0;) {
        const std::string_view piece = inlet.lines_.front(left);
        const std::size_t written = write(piece);
        const std::string_view lost = piece.substr(written);
        unwritten_ += static_cast<std::uint64_t>(std::ranges::count(lost, '\n'));
        inlet.lines_.pop(piece.size());
        left -= piece.size();
    }
}

// Whether a pipe, terminal or socket takes something before the log has to end.
bool LogFile::writable() const {
    for (;;) {
        pollfd out{file_.get(), POLLOUT, 0};
        if (::poll(&out, 1, kStalledMs) > 0) {
            return true;
        }
        const std::int64_t end = end_ns_;
        if (end != 0 && monotonic_ns() >= end) {
            return false;
        }
    }
}

// No more at once than what does not block after poll().
std::size_t LogFile::write(std::string_view octets) {
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
