// One agent hands its run directory over to the next (sluiced --takeover) without closing a listening socket.
//
// Over RUN/handover.sock (SOCK_SEQPACKET, only for the agent's own user): the successor asks; the agent sends each of
// its --listen addresses with its sockets (SCM_RIGHTS), ends its admin API, lets go of its locks and says so; the
// successor adopts the tables, listens, and says so; then the agent stops accepting, drains and ends. Until then it
// serves: a successor that fails has changed nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::daemon {

// An agent's listening sockets by address ("127.0.0.1:18080").
struct Inherited {
    std::string address;
    std::vector<Fd> sockets;
};

// The agent's side of one handover.
class Successor {
  public:
    explicit Successor(Fd connection) : connection_(std::move(connection)) {}
    // The sockets stay open here too.
    Result<> send(const std::vector<Inherited>& listeners);
    // Everything is let go of: it is the successor's turn.
    Result<> give();
    // Waits until it listens. False: it ended before, or took too long.
    bool listens(std::chrono::milliseconds limit);
    // Keeps the connection open until this process ends: by it the successor knows that we still serve.
    void keep() { static_cast<void>(connection_.release()); }

  private:
    Fd connection_;
};

class HandoverDoor {
  public:
    static Result<HandoverDoor> open(const std::string& run);
    int fd() const { return fd_.get(); }  // readable: accept()
    // The one who asks; empty: whoever it was may not, or left.
    std::optional<Successor> accept() const;

  private:
    explicit HandoverDoor(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

// The successor's side.
class Predecessor {
  public:
    // Asks the agent that runs in `run` and waits until it let go. Empty: nobody is there.
    static Result<std::optional<Predecessor>> ask(const std::string& run);

    std::vector<Inherited> take_listeners() { return std::move(listeners_); }
    // We listen: it may end.
    void release() const;
    // It has ended. Any thread.
    bool gone() const;

  private:
    Fd connection_;
    std::vector<Inherited> listeners_;
};

}  // namespace sluice::daemon
