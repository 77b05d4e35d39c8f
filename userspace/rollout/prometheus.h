// What a Prometheus server says: instant queries, and the values and counters of a canary's versions out of them.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/canary.h"
#include "rollout/gates.h"

namespace sluice::rollout {

// One element of an instant vector; a scalar has no labels.
struct PromqlValue {
    std::map<std::string, std::string> labels;
    double value = 0;
};

// The JSON of /api/v1/query as values, NaN left out: there it means that nothing was there to compute with. Errors: the
// server's own, a type other than vector and scalar, or what is no such answer. Pure.
Result<std::vector<PromqlValue>> parse_promql_answer(std::string_view body);

class Prometheus {
  public:
    // `url`: of the server; what it may serve below a path is kept. Queries end at once when `stop` is requested.
    explicit Prometheus(std::string url, std::stop_token stop = {});
    Result<std::vector<PromqlValue>> query(const std::string& promql, std::chrono::nanoseconds timeout) const;

  private:
    std::string url_;
    std::stop_token stop_;
};

// The value of `destination_version` (or whatever label tells versions apart) that stands for each subset.
struct VersionNames {
    std::string champion, challenger;
};

// Values of one query gate as it asks for them (config::Gate). Several elements for one version are one value: the
// largest, or the smallest where the gate has only a minimum, so that no instance hides another.
Seen::Asked ask_query(const Prometheus& server, const config::Gate& gate, const VersionNames& versions);

// Errors and latencies of both versions since the stage began, out of Istio's standard metrics; of a mirror stage the
// challenger's are those of copies (sluice_mirror_*). Errors are those of the reporter that saw the higher rate:
// retries hide a version's errors from reporter="source", lost connections hide from "destination". Latencies are what
// clients waited ("source"). What has no series is absent. `problem`: why something is absent; empty: nothing is.
struct FromMetrics {
    std::optional<Errors> champion_errors, challenger_errors;
    std::optional<Durations> champion_durations, challenger_durations;
    std::string problem;
};
FromMetrics ask_metrics(const Prometheus& server, const std::string& service, const VersionNames& versions,
                        const std::string& challenger_subset, bool mirror, std::chrono::milliseconds window);

// The pieces of it, pure. Failed: 5xx, and no whole answer that was not the client's doing. Of several values of the
// label `reporter` the one with the higher rate.
std::optional<Errors> errors_of(const std::vector<PromqlValue>& values, const std::string& label,
                                const std::string& version);
// `unit`: how many of the bounds' unit are a second. Cumulative counts by `le`.
std::optional<Durations> durations_of(const std::vector<PromqlValue>& values, const std::string& label,
                                      const std::string& version, double unit);

}  // namespace sluice::rollout
