#include "source/catalog.h"

#include <fcntl.h>
#include <unistd.h>

#include <ctime>

#include "base/fd.h"

namespace sluice::source {

namespace {

// Coarser than any tick that file systems stamp with (4 ms at CONFIG_HZ=250, 10 ms at 100).
constexpr std::int64_t kStampGranularityNs = 20'000'000;

std::int64_t nanoseconds(const timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return nanoseconds(now);
}

}  // namespace

Signature Signature::of(const struct stat& status) {
    return {.device = status.st_dev,
            .inode = status.st_ino,
            .size = static_cast<std::uint64_t>(status.st_size),
            .mtime_ns = nanoseconds(status.st_mtim),
            .ctime_ns = nanoseconds(status.st_ctim)};
}

bool FileState::proves(const Signature& now) const {
    return now == signature && std::max(now.mtime_ns, now.ctime_ns) + kStampGranularityNs < read_at_ns;
}

Identity Catalog::identity(const config::ObjectKey& key) {
    return Identity::of(key.text());
}

Catalog::Found Catalog::find(const config::ObjectKey& key) const {
    const auto entry = by_key_.find(identity(key));
    if (entry == by_key_.end()) {
        return {};
    }
    const FileState& state = files_.at(*entry->second.file);
    return {entry->second.file, &state.documents[entry->second.index]};
}

std::optional<std::uint64_t> Catalog::digest(const config::ObjectKey& key) const {
    if (const Found found = find(key); found.document != nullptr) {
        return found.document->digest;
    }
    const auto assumed = assumed_.find(key);
    return assumed == assumed_.end() ? std::nullopt : std::optional(assumed->second);
}

void Catalog::put(const std::string& file, std::optional<FileState> state) {
    const auto old = files_.find(file);
    if (old != files_.end()) {
        for (const Document& document : old->second.documents) {
            const auto entry = by_key_.find(identity(document.key));
            if (entry != by_key_.end() && entry->second.file == &old->first) {
                by_key_.erase(entry);
            }
        }
    }
    if (!state) {
        if (old != files_.end()) {
            files_.erase(old);
        }
        return;
    }
    const auto at = files_.insert_or_assign(file, std::move(*state)).first;
    for (std::uint32_t i = 0; i < at->second.documents.size(); ++i) {
        by_key_[identity(at->second.documents[i].key)] = Entry{&at->first, i};
    }
}

void Catalog::touch(const std::string& file, const Signature& signature, std::int64_t read_at_ns) {
    FileState& state = files_.at(file);
    state.signature = signature;
    state.read_at_ns = read_at_ns;
}

Result<FileBytes> read_file(const std::string& path, std::size_t limit) {
    FileBytes out;
    out.read_at_ns = now_ns();
    // Non-blocking: a FIFO with a YAML name must not hold us up.
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd) {
        return fail_errno("cannot be read");
    }
    if (::fstat(fd.get(), &out.status) != 0) {
        return fail_errno("cannot be read");
    }
    if (!S_ISREG(out.status.st_mode)) {
        return fail("is not a regular file");
    }
    out.signature = Signature::of(out.status);
    const auto too_large = [limit](std::uint64_t size) {
        return fail("has " + std::to_string(size) + " bytes or more, allowed are " + std::to_string(limit) +
                    " (limit file_bytes)");
    };
    if (out.signature.size > limit) {
        return too_large(out.signature.size);
    }
    out.bytes.resize(out.signature.size + 1);  // one more than expected: sees growth without another fstat
    std::size_t length = 0;
    for (;;) {
        const ssize_t got = ::read(fd.get(), out.bytes.data() + length, out.bytes.size() - length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno("cannot be read");
        }
        length += static_cast<std::size_t>(got);
        if (got == 0) {
            break;
        }
        if (length > limit) {
            return too_large(length);
        }
        if (length == out.bytes.size()) {
            out.bytes.resize(length + length / 2 + 4096);
        }
    }
    out.bytes.resize(length);
    return out;
}

Identity bytes_digest(std::string_view bytes) {
    return Identity::of(bytes);
}

bool is_temporary(std::string_view name) {
    return name.starts_with(kTemporaryPrefix) && name.ends_with(kTemporarySuffix);
}

}  // namespace sluice::source
