// The two listening sockets of the admin API.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::admin {

// Listens at `path` with mode 0660. The name appears when the socket already listens, in place of what was there.
Result<Fd> listen_unix(const std::string& path);

struct TcpListener {
    Fd fd;
    std::string host;        // as configured, without port and brackets
    std::uint16_t port = 0;  // as bound
};
Result<TcpListener> listen_tcp(const std::string& address);

}  // namespace sluice::admin
