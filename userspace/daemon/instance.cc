#include "daemon/instance.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

namespace sluice::daemon {

Result<Fd> take_instance(const std::string& run) {
    std::error_code error;
    std::filesystem::create_directories(run, error);
    if (error) {
        return fail_errno(error.value(), "making the run directory '" + run + "'");
    }
    const std::string path = run + "/sluiced.pid";
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!fd) {
        return fail_errno("opening '" + path + "'");
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        int code = errno;
        char pid[32] = {};
        ssize_t size = ::read(fd.get(), pid, sizeof(pid) - 1);
        std::string owner(pid, size > 0 ? static_cast<std::size_t>(size) : 0);
        while (!owner.empty() && owner.back() == '\n') {
            owner.pop_back();
        }
        if (code != EWOULDBLOCK) {
            return fail_errno(code, "locking '" + path + "'");
        }
        return fail("another sluiced (process " + (owner.empty() ? "unknown" : owner) + ") runs in '" + run +
                    "': stop it, or choose another --run directory");
    }
    const std::string mine = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd.get(), 0) != 0 ||
        ::pwrite(fd.get(), mine.data(), mine.size(), 0) != static_cast<ssize_t>(mine.size())) {
        return fail_errno("writing '" + path + "'");
    }
    return fd;
}

}  // namespace sluice::daemon
