// What the admin API says about this agent: controller, tables and kernel seen together.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "admin/backend.h"
#include "admin/top.h"
#include "bpf/kernel.h"
#include "compile/publisher.h"
#include "daemon/controller.h"
#include "daemon/drain.h"
#include "daemon/event_log.h"
#include "daemon/options.h"
#include "daemon/proxy_lane.h"
#include "daemon/rollout_canaries.h"
#include "daemon/rollout_watch.h"
#include "daemon/sample_ring.h"
#include "telemetry/exposition.h"

namespace sluice::daemon {

// Thread-safe. References must outlive the agent.
class Agent : public admin::Backend, public VersionSource {
  public:
    // `lane` is null without proxy lane. `changed` is called after an apply that published.
    Agent(const Options& options, Controller& controller, compile::Publisher& publisher, bpf::Kernel& kernel,
          const ProxyLane* lane, const LogBudget& budget, std::function<void()> changed);

    admin::Json status() override;
    std::string list(admin::List what, const admin::ListFilter& filter) override;
    Result<admin::Json> experiments(const admin::ListFilter& filter) override;
    admin::Json maps() override;
    Result<admin::Json> map(const std::string& name) override;
    Result<admin::Json> explain(const admin::ExplainQuery& query) override;
    Result<admin::Json> answer(const verify::Question& question) override;
    Result<std::string> history(const admin::HistoryQuery& query) override;
    admin::Answer rollback(const admin::RollbackRequest& request) override;
    admin::Answer compare(const admin::CompareQuery& query) override;
    admin::Answer weight(const admin::WeightRequest& request) override;
    Result<std::string> connections(const admin::ConnectionsQuery& query) override;
    Result<admin::Json> tail(const admin::TailQuery& query) override;
    Result<std::string> top(const admin::TopQuery& query) override;
    admin::Answer apply(const admin::ApplyRequest& request) override;
    admin::Answer canaries(const std::string& name) override;
    admin::Answer command_canary(const admin::CanaryRequest& request) override;
    std::string metrics() override;
    std::string unhealthy() override;
    std::string unready() override;

    Result<> count_versions(const std::string& host, const std::function<void(const VersionCount&)>& call) override;
    void listen_to_answers(std::function<void(const VersionAnswer&)> listener) override;
    Result<> pull_answers() override;
    VersionPlace place(const config::Object& canary) override;

    // The control thread is alive.
    void beat(std::uint64_t now_ns);
    // Where status reads about drains. Once, before anybody asks.
    void set_drain_facts(std::function<DrainFacts()> facts) { drain_facts_ = std::move(facts); }
    // Where canaries are asked for. Once, before anybody asks.
    void set_canaries(Canaries& canaries) { canaries_ = &canaries; }
    // Opens the access log anew, after somebody moved the file away; nothing without one.
    Result<> reopen_log() const { return lane_ == nullptr ? Result<>() : lane_->recorders().reopen_logs(); }
    // Once a second: gives the memory of large replies back, when there were any.
    void trim();
    // Flow and request rows of cluster records that were freed: their numbers will name others.
    void forget_clusters(const std::vector<std::uint32_t>& numbers);

  private:
    using RequestTotals = std::unordered_map<std::uint32_t, admin::ClusterRequests>;  // by cluster number
    using UnroutedTotals = std::unordered_map<std::string, admin::ClusterRequests>;

    admin::Json splits();
    admin::Json watching();
    admin::Json lanes() const;
    admin::Json drains() const;
    // Of one host, or all; an error when there is none of that name.
    Result<std::vector<model::ServicePortPtr>> services_of(const std::string& host);
    Result<RequestTotals> request_totals();
    // Takes what was sampled since the last call. Needs kernel_mutex_.
    Result<> take_samples();
    void hear(const proxy::Sample& sample);
    admin::Json canary_states();
    void read_canaries(telemetry::Reading& reading);
    // Adds what clients of the proxy lane asked, by cluster; returns what came to none, by admin::service_key.
    UnroutedTotals add_proxied(RequestTotals& totals) const;
    telemetry::Reading read();
    void read_names(telemetry::Reading& reading) const;
    std::uint64_t ejected_now() const;

    const Options& options_;
    Controller& controller_;
    compile::Publisher& publisher_;
    bpf::Kernel& kernel_;
    const ProxyLane* lane_;
    const LogBudget& budget_;
    std::function<void()> changed_;
    std::function<DrainFacts()> drain_facts_;
    Canaries* canaries_ = nullptr;
    const std::uint64_t started_ns_;
    std::atomic<std::uint64_t> beat_ns_;
    std::atomic<std::size_t> reply_bytes_{0};  // since the last trim()
    std::mutex kernel_mutex_;                  // the kernel's reading functions, samples_
    SampleRing samples_{admin::kSamplesMax};
    std::function<void(const VersionAnswer&)> listener_;  // under kernel_mutex_
    std::mutex scrape_mutex_;                             // exposition_
    telemetry::Exposition exposition_;
};

}  // namespace sluice::daemon
