// What the agent knows of versions, for canaries; and the samples that these and `sluice tail` share.
#include <algorithm>
#include <map>

#include "daemon/agent.h"
#include "daemon/clock.h"
#include "model/names.h"

namespace sluice::daemon {

namespace {

using Side = telemetry::ProxiedLabels::Side;

constexpr std::uint64_t kSampleAheadNs = 2'000'000'000;  // how long requests are sampled after each question
constexpr std::uint64_t kProxied = 1ull << 32;           // a source beside the numbers of cluster records

// The labels that a workload's version is taken from (model/workload.cc), best first.
std::string version_label(const config::Labels& labels) {
    for (const char* name : {"version", "app.kubernetes.io/version", "model-version"}) {
        if (const auto found = labels.find(name); found != labels.end() && !found->second.empty()) {
            return found->second;
        }
    }
    return {};
}

// The version that every endpoint of the subset has; empty: they differ, have none, or no route names the subset.
std::string endpoints_version(const model::Mesh& mesh, const std::string& host, const std::string& subset) {
    std::string out;
    for (const auto& [key, service] : mesh.services()) {
        if (key.host != host) {
            continue;
        }
        for (const model::ClusterPtr& cluster : model::clusters_of(*service->route)) {
            if (cluster->host != host || cluster->subset != subset) {
                continue;
            }
            for (const model::Endpoint& endpoint : cluster->endpoints) {
                const std::string& version = endpoint.workload->version;
                if (version == "unknown" || (!out.empty() && out != version)) {
                    return {};
                }
                out = version;
            }
        }
    }
    return out;
}

// Tries, as endpoints got them; and what only the client's side knows: requests that reached no endpoint, and those
// that timed out, whose tries look like given up ones to the endpoint.
void add_proxied_row(admin::ClusterRequests& out, const telemetry::ProxiedLabels& labels,
                     const sl_request_counts& counts) {
    if (labels.side != Side::kSource || labels.to == nullptr) {
        out.add(labels, counts);
    } else if (labels.flags.find("UT") != std::string::npos || labels.flags.find("DT") != std::string::npos) {
        out.failed += counts.requests;
    }
}

}  // namespace

Result<> Agent::take_samples() {
    sl_store(&publisher_.tables().control->sample_until_ns, monotonic_ns() + kSampleAheadNs);
    auto polled = kernel_.poll_samples([this](const sl_sample& sample) {
        proxy::Sample kept;
        kept.seen = sample;
        samples_.push(kept);
        hear(kept);
    });
    if (lane_ != nullptr) {
        lane_->recorders().take_samples([this](const proxy::Sample& sample) {
            if (!sample.mirror) {  // `sluice tail` shows what clients asked
                samples_.push(sample);
            }
            hear(sample);
        });
    }
    return polled;
}

// Only what was answered, and not given up by its client.
void Agent::hear(const proxy::Sample& sample) {
    constexpr auto kGivenUp = static_cast<std::uint32_t>(proxy::Flag::kDownstreamConnectionTermination);
    const bool whole = sample.proxied ? (sample.flags & kGivenUp) == 0 : sample.seen.reason == SL_REASON_NONE;
    if (!listener_ || sample.seen.status == 0 || !whole) {
        return;
    }
    if (const model::ClusterPtr cluster = publisher_.cluster(sample.seen.cluster)) {
        listener_({.host = cluster->host,
                   .subset = cluster->subset,
                   .mirror = sample.mirror,
                   .seconds = static_cast<double>(sample.seen.duration_ns) / 1e9});
    }
}

void Agent::listen_to_answers(std::function<void(const VersionAnswer&)> listener) {
    std::lock_guard lock(kernel_mutex_);
    listener_ = std::move(listener);
}

Result<> Agent::pull_answers() {
    std::lock_guard lock(kernel_mutex_);
    return take_samples();
}

Result<> Agent::count_versions(const std::string& host, const std::function<void(const VersionCount&)>& call) {
    auto totals = request_totals();
    if (!totals) {
        return std::unexpected(std::move(totals.error()));
    }
    for (const auto& [number, counts] : *totals) {
        if (const model::ClusterPtr cluster = publisher_.cluster(number); cluster && cluster->host == host) {
            call({number, cluster->subset, false, counts});
        }
    }
    if (lane_ == nullptr) {
        return {};
    }
    std::map<std::pair<std::string, bool>, admin::ClusterRequests> proxied;
    lane_->recorders().visit([&](const telemetry::ProxiedLabels& labels, const sl_request_counts& counts) {
        if (labels.cluster != Identity{} && labels.service.host == host) {
            add_proxied_row(proxied[{labels.service.subset, labels.side == Side::kMirror}], labels, counts);
        }
    });
    for (const auto& [who, counts] : proxied) {
        call({kProxied, who.first, who.second, counts});
    }
    return {};
}

VersionPlace Agent::place(const config::Object& object) {
    const auto& canary = std::get<config::Canary>(object.spec);
    const std::vector<std::string> readings = model::readings(canary.host, object.key.ns);
    VersionPlace out;
    controller_.view([&](const model::Mesh& mesh, const admin::ViewContext&) {
        for (const std::string& reading : readings) {
            const bool known = std::ranges::any_of(mesh.services(),
                                                   [&](const auto& service) { return service.first.host == reading; });
            if (known && out.host.empty()) {
                out.host = reading;
            }
        }
        if (out.host.empty() && !readings.empty()) {
            out.host = readings.front();
        }
        const auto version_of = [&](const std::string& subset) {
            for (const auto& [key, rule] : mesh.objects()) {
                const auto* policy = std::get_if<config::DestinationRule>(&rule->spec);
                if (policy == nullptr || !std::ranges::count(model::readings(policy->host, key.ns), out.host)) {
                    continue;
                }
                for (const config::Subset& one : policy->subsets) {
                    std::string version = one.name == subset ? version_label(one.labels) : std::string();
                    if (!version.empty()) {
                        return version;
                    }
                }
            }
            std::string version = endpoints_version(mesh, out.host, subset);
            return version.empty() ? subset : version;
        };
        out.names = {version_of(canary.champion), version_of(canary.challenger)};
    });
    return out;
}

}  // namespace sluice::daemon
