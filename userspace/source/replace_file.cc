#include "source/replace_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>

#include "base/fd.h"

namespace sluice::source {

namespace {

void step(const StepHook& hook, const char* name) {
    if (hook) {
        hook(name);
    }
}

std::string directory_of(const std::string& path) {
    const std::size_t slash = path.find_last_of('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Result<> sync_directory(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) {
        return fail_errno("cannot sync the directory " + path);
    }
    return {};
}

// A file under a random hidden name; unlinked on destruction unless the name was given away.
class Temporary {
  public:
    static Result<Temporary> create(const std::string& directory, mode_t mode) {
        Temporary out;
        std::uint64_t random = 0;
        if (::getrandom(&random, sizeof random, 0) != sizeof random) {
            return fail_errno("getrandom");
        }
        char name[64];
        std::snprintf(name, sizeof name, "%s%016llx%s", std::string(kTemporaryPrefix).c_str(),
                      static_cast<unsigned long long>(random), std::string(kTemporarySuffix).c_str());
        std::string path = directory + "/" + name;
        out.fd_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
        if (!out.fd_) {
            return fail_errno("cannot create a file in " + directory);
        }
        out.path_ = std::move(path);
        return out;
    }
    Temporary(Temporary&& other) noexcept : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}
    Temporary& operator=(Temporary&&) = delete;
    ~Temporary() {
        if (!path_.empty()) {
            ::unlink(path_.c_str());
        }
    }

    const std::string& path() const { return path_; }
    int fd() const { return fd_.get(); }
    void given_away() { path_.clear(); }

    Result<> write(std::string_view content) {
        while (!content.empty()) {
            const ssize_t wrote = ::write(fd_.get(), content.data(), content.size());
            if (wrote < 0 && errno == EINTR) {
                continue;
            }
            if (wrote < 0) {
                return fail_errno("cannot write " + path_);
            }
            content.remove_prefix(static_cast<std::size_t>(wrote));
        }
        return {};
    }

    // After the last rename, which changes the ctime.
    FileStamp stamp() const {
        struct stat status {};
        timespec now{};
        ::clock_gettime(CLOCK_REALTIME, &now);
        ::fstat(fd_.get(), &status);
        return {Signature::of(status), std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec};
    }

  private:
    Temporary() = default;
    std::string path_;
    Fd fd_;
};

// Whether somebody has the file open for writing. A read lease is refused exactly then; where leases are not
// available (other owners, some file systems) the answer is no.
bool open_for_writing(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) {
        return false;
    }
    if (::fcntl(fd.get(), F_SETLEASE, F_RDLCK) == 0) {
        ::fcntl(fd.get(), F_SETLEASE, F_UNLCK);
        return false;
    }
    return errno == EAGAIN;
}

bool same_inode(const std::string& path, const Signature& signature) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 && status.st_dev == signature.device && status.st_ino == signature.inode;
}

int exchange(const std::string& a, const std::string& b) {
    return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
}

}  // namespace

Result<ReplaceFile> ReplaceFile::open(const std::string& file, std::size_t limit) {
    ReplaceFile out;
    out.file_ = file;
    char target[PATH_MAX];
    if (::realpath(file.c_str(), target) == nullptr) {
        return errno == ENOENT ? fail_errno(ESTALE, file + " was changed meanwhile") : fail_errno(file);
    }
    out.target_ = target;
    auto read = read_file(out.target_, limit);
    if (!read) {
        return read.error().code == ENOENT ? fail_errno(ESTALE, file + " was changed meanwhile")
                                           : std::unexpected(std::move(read.error()).within(file));
    }
    out.read_ = std::move(*read);
    return out;
}

// The path holds the very file that was read, with the bytes it had.
bool ReplaceFile::is_as_read(const std::string& path) const {
    if (!same_inode(path, read_.signature) || open_for_writing(path)) {
        return false;
    }
    const auto now = read_file(path, read_.bytes.size());
    return now && now->bytes == read_.bytes;
}

Result<FileStamp> ReplaceFile::replace(std::string_view content, const StepHook& hook) {
    step(hook, "read");
    if (open_for_writing(target_)) {
        return fail_errno(ESTALE, file_ + " is open for writing");
    }
    auto temporary = Temporary::create(directory_of(target_), 0600);
    if (!temporary) {
        return std::unexpected(temporary.error());
    }
    step(hook, "created");
    if (auto written = temporary->write(content); !written) {
        return std::unexpected(written.error());
    }
    step(hook, "written");
    struct stat fresh {};
    ::fstat(temporary->fd(), &fresh);
    const struct stat& old = read_.status;
    if ((fresh.st_uid != old.st_uid || fresh.st_gid != old.st_gid) &&
        ::fchown(temporary->fd(), old.st_uid, old.st_gid) != 0) {
        return fail_errno("cannot keep the owner of " + file_);
    }
    if (::fchmod(temporary->fd(), old.st_mode & 07777) != 0) {
        return fail_errno("cannot keep the mode of " + file_);
    }
    if (::fsync(temporary->fd()) != 0) {
        return fail_errno("cannot sync " + temporary->path());
    }
    step(hook, "synced");
    const Signature ours = temporary->stamp().signature;
    if (auto swapped = swap_in(temporary->path(), ours, hook); !swapped) {
        if (same_inode(target_, ours)) {
            temporary->given_away();  // nothing of ours may be removed by name any more
        }
        return std::unexpected(swapped.error());
    }
    temporary->given_away();
    if (auto synced = sync_directory(directory_of(target_)); !synced) {
        return std::unexpected(synced.error());
    }
    step(hook, "directory synced");
    return temporary->stamp();
}

Result<> ReplaceFile::swap_in(const std::string& temporary, const Signature& ours, const StepHook& hook) const {
    if (exchange(temporary, target_) != 0) {
        if (errno == ENOENT) {
            return fail_errno(ESTALE, file_ + " was changed meanwhile");
        }
        if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
            return fail_errno("cannot replace " + file_);
        }
        // This file system cannot exchange names: the smallest window that is left.
        if (!is_as_read(target_)) {
            return fail_errno(ESTALE, file_ + " was changed meanwhile");
        }
        if (::rename(temporary.c_str(), target_.c_str()) != 0) {
            return fail_errno("cannot replace " + file_);
        }
        step(hook, "exchanged");
        return {};
    }
    step(hook, "exchanged");
    if (is_as_read(temporary)) {
        ::unlink(temporary.c_str());
        step(hook, "old removed");
        return {};
    }
    // An editor was faster: its file goes back. If yet another one came meanwhile, that newest one stays.
    if (exchange(temporary, target_) == 0 && !same_inode(temporary, ours)) {
        (void)exchange(temporary, target_);
    }
    return fail_errno(ESTALE, file_ + " was changed meanwhile");
}

Result<> ReplaceFile::remove(const StepHook& hook) {
    step(hook, "read");
    // By a hidden name first, so that what is removed can be compared and put back.
    auto temporary = Temporary::create(directory_of(target_), 0600);
    if (!temporary) {
        return std::unexpected(temporary.error());
    }
    step(hook, "created");
    if (::rename(target_.c_str(), temporary->path().c_str()) != 0) {
        return errno == ENOENT ? fail_errno(ESTALE, file_ + " was changed meanwhile")
                               : fail_errno("cannot remove " + file_);
    }
    step(hook, "exchanged");
    if (!is_as_read(temporary->path())) {
        const std::string path = temporary->path();
        if (::link(path.c_str(), target_.c_str()) != 0 && errno != EEXIST) {
            temporary->given_away();
            return fail_errno("cannot put " + file_ + " back from " + path);
        }
        return fail_errno(ESTALE, file_ + " was changed meanwhile");
    }
    if (target_ != file_ && ::unlink(file_.c_str()) != 0 && errno != ENOENT) {
        return fail_errno("cannot remove " + file_);
    }
    ::unlink(temporary->path().c_str());
    temporary->given_away();
    step(hook, "old removed");
    return sync_directory(directory_of(file_));
}

Result<FileStamp> create_file(const std::string& file, std::string_view content, const StepHook& hook) {
    auto temporary = Temporary::create(directory_of(file), 0644);
    if (!temporary) {
        return std::unexpected(temporary.error());
    }
    step(hook, "created");
    if (auto written = temporary->write(content); !written) {
        return std::unexpected(written.error());
    }
    step(hook, "written");
    if (::fsync(temporary->fd()) != 0) {
        return fail_errno("cannot sync " + temporary->path());
    }
    step(hook, "synced");
    if (::link(temporary->path().c_str(), file.c_str()) != 0) {
        return fail_errno("cannot create " + file);
    }
    step(hook, "linked");
    ::unlink(temporary->path().c_str());
    temporary->given_away();
    if (auto synced = sync_directory(directory_of(file)); !synced) {
        return std::unexpected(synced.error());
    }
    step(hook, "directory synced");
    return temporary->stamp();
}

}  // namespace sluice::source
