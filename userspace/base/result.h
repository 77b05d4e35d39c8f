// Errors are values: Result<T> end to end. A function returns an Error or logs, never both; only daemon/ and ctl/ log.
#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <utility>

namespace sluice {

// What failed, in words that name the operation and the object; `code` is an errno value or 0.
struct [[nodiscard]] Error {
    int code = 0;
    std::string message;

    // The message, with the errno's text behind it when there is one.
    std::string text() const { return code == 0 ? message : message + ": " + std::strerror(code); }

    // The same error seen from one level up: "outer: message".
    Error within(const std::string& outer) && { return Error{code, outer + ": " + message}; }
};

template <typename T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(std::string message) {
    return std::unexpected(Error{0, std::move(message)});
}
inline std::unexpected<Error> fail_errno(int code, std::string message) {
    return std::unexpected(Error{code, std::move(message)});
}
// Uses the calling thread's errno.
inline std::unexpected<Error> fail_errno(std::string message) {
    return fail_errno(errno, std::move(message));
}

}  // namespace sluice
