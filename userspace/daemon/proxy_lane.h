// The proxy lane of this agent: the engine, its listeners, and the table of what is in force.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "compile/publisher.h"
#include "daemon/capture.h"
#include "daemon/event_queue.h"
#include "daemon/experiment_book.h"
#include "daemon/listeners.h"
#include "daemon/options.h"
#include "model/mesh.h"
#include "proxy/proxy.h"
#include "proxy/recorders.h"

namespace sluice::daemon {

class ProxyLane {
  public:
    // Starts the workers; nothing is accepted before listen(). References must outlive the lane; `capture` may be
    // null: then only --listen brings connections.
    static Result<std::unique_ptr<ProxyLane>> start(const Options& options, const sl_tables& tables, EventQueue& events,
                                                    Capture* capture);

    // What of a change the lane cannot carry out, as diagnostics. Nothing is in force yet, but if all is well, whoever
    // is to be captured finds the agent.
    std::vector<std::string> check(const model::Delta& delta);
    // The lane follows what was published: request heads that are whole after the return are decided by it. One caller
    // at a time.
    void publish(const model::Mesh& mesh, const compile::Publisher& publisher);
    // Takes connections from now on.
    Result<> listen(std::vector<Listening> listeners, const ClientOption& client);

    // What the workers recorded.
    const proxy::Recorders& recorders() const { return *recorders_; }
    const ExperimentBook& experiments() const { return experiments_; }

    proxy::Proxy& engine() { return *proxy_; }
    const proxy::Proxy& engine() const { return *proxy_; }
    const Capture* capture() const { return capture_; }  // null: there is none

  private:
    Capture* capture_ = nullptr;
    std::unique_ptr<proxy::Recorders> recorders_;
    std::unique_ptr<proxy::Proxy> proxy_;
    proxy::TablePtr table_;
    ExperimentBook experiments_;
};

}  // namespace sluice::daemon
