// Copies of requests for mirror destinations: sent once, answers thrown away, nobody waits for them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "proxy/body.h"
#include "proxy/routing.h"

namespace sluice::proxy {

class ClientConnection;
class Worker;
struct HeldTable;

// All of one worker's mirrors, within Limits::mirrors and mirror_octets. What does not fit is counted as skipped
// (Recorder::mirror_skipped) under: "cluster_not_found", "body" (larger than may be kept, or the octets held for
// mirrors were used up while it came in), "requests", "octets".
class Mirrors {
  public:
    explicit Mirrors(Worker& worker);
    ~Mirrors();

    // Sends a copy of the request that `context` is of. `body`: all of it; null: it was not kept.
    void send(const ClientConnection& connection, HeldTable* held, const Context& context, const ClusterPtr& cluster,
              const Pieces* body);
    // Counts octets that are kept for mirrors; false: that would be too many, and they do not count.
    bool hold(std::uint64_t octets);
    void let_go(std::uint64_t octets) { octets_ -= octets; }

  private:
    class Copy;
    void over(Copy& copy);

    Worker& worker_;
    std::uint64_t octets_ = 0;
    std::vector<std::unique_ptr<Copy>> copies_;  // those under way first
    std::size_t under_way_ = 0;
};

}  // namespace sluice::proxy
