// The admin API's HTTP server (libmicrohttpd): a Unix socket for everything, a TCP port for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "admin/backend.h"
#include "base/result.h"

namespace sluice::admin {

struct ServerOptions {
    std::string socket;  // path of the Unix socket; empty: none
    std::string http;    // ADDRESS:PORT, [ADDRESS]:PORT or localhost:PORT; port 0: any; empty: none
    std::size_t body_bytes = 64u << 20;
    unsigned connections = 64;  // at once, each door
    unsigned timeout_s = 10;    // of an idle connection
};

// Serves from construction to destruction, on threads of its own (two for the Unix socket, one for TCP). A socket file
// that an earlier agent left is replaced atomically; the caller holds the instance lock, so nobody else serves it.
// Destruction waits for running requests and removes the socket file.
class Server {
  public:
    // `backend` must outlive the server.
    static Result<Server> start(const ServerOptions& options, Backend& backend);
    ~Server();
    Server(Server&&) noexcept;
    Server& operator=(Server&&) noexcept;

    std::uint16_t http_port() const;  // 0: no TCP door

  private:
    struct Impl;
    explicit Server(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::admin
