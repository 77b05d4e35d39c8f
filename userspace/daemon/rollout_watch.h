// What the versions of a canary do: the agent's own counters and samples, or a Prometheus server's metrics.
//
// Requests and failures are counted, all of them, in both lanes; in the proxy lane each try of a request counts, as its
// endpoint got it: retries hide a version's errors from its clients, but not from its judge. Durations come from the
// sample of finished requests that `sluice tail` reads: exact ones, from the request's first octet to the answer's
// last, of requests that were answered; of copies too. What comes faster than it is read is lost whichever version it
// was.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "admin/top.h"
#include "base/result.h"
#include "config/objects.h"
#include "rollout/host.h"
#include "rollout/prometheus.h"

namespace sluice::daemon {

// Counters of one subset out of one source. They only grow while `source` stays what it is.
struct VersionCount {
    std::uint64_t source = 0;
    std::string_view subset;
    bool mirror = false;  // copies, else requests of clients
    const admin::ClusterRequests& counts;
};

struct VersionAnswer {
    std::string_view host, subset;
    bool mirror = false;  // of a copy
    double seconds = 0;
};

// The service of a canary by its whole name, and its subsets as the label destination_version tells them apart: the
// value of the subset's label `version` (or the others that a workload's version is taken from), else the version that
// all its endpoints have, else the subset's own name.
struct VersionPlace {
    std::string host;
    rollout::VersionNames names;
};

// What the agent gives. Any thread.
class VersionSource {
  public:
    virtual ~VersionSource() = default;
    virtual Result<> count_versions(const std::string& host, const std::function<void(const VersionCount&)>& call) = 0;
    // Called for every sampled request that was answered, whoever pulled it; empty: nobody listens. It may not call
    // back.
    virtual void listen_to_answers(std::function<void(const VersionAnswer&)> listener) = 0;
    // Takes what was sampled, and keeps the sampling on for two seconds.
    virtual Result<> pull_answers() = 0;
    virtual VersionPlace place(const config::Object& canary) = 0;
};

// While there are watches a thread pulls samples, so that none is lost between looks. Watches may outlive nothing of
// this; the source must outlive it.
class VersionWatches final : public rollout::Watches {
  public:
    explicit VersionWatches(VersionSource& source);
    ~VersionWatches() override;
    std::unique_ptr<rollout::Watch> watch(const config::ObjectPtr& canary, std::function<void()> answered) override;

  private:
    class Watch;
    void hear(const VersionAnswer& answer);
    void pull();

    VersionSource& source_;
    std::mutex mutex_;  // watches_, what they heard, ending_
    std::condition_variable changed_;
    std::vector<Watch*> watches_;
    bool ending_ = false;
    std::thread puller_;
};

}  // namespace sluice::daemon
