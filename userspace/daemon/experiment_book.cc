#include "daemon/experiment_book.h"

#include <algorithm>
#include <string>

#include "base/identity.h"
#include "proxy/experiment.h"

namespace sluice::daemon {

namespace {

using telemetry::ExperimentRow;

std::map<config::ObjectKey, std::string> shapes_of(const model::Mesh& mesh) {
    std::map<config::ObjectKey, std::string> out;
    const auto& objects = mesh.objects();
    const auto first = objects.lower_bound({config::Kind::kExperiment, "", ""});
    if (first == objects.end() || first->first.kind != config::Kind::kExperiment) {
        return out;
    }
    for (const auto& [key, service] : mesh.services()) {
        for (const model::HttpRoute& rule : service->route->http) {
            const std::shared_ptr<const proxy::Split> split = proxy::split_of(rule);
            if (split == nullptr || rule.experiment_source == nullptr) {
                continue;
            }
            std::string& text = out[rule.experiment_source->key];
            text += split->suffix + '\0' + split->key.name + '\0' + std::to_string(split->buckets);
            for (std::size_t i = 0; i < split->arms.size(); ++i) {
                text +=
                    '\0' + split->arms[i].name + '\0' + split->arms[i].subset + '\0' + std::to_string(split->ends[i]);
            }
        }
    }
    return out;
}

// The arms of one experiment, each once.
std::vector<ExperimentRow> arms_of(const config::ObjectKey& key, const std::vector<ExperimentRow>& rows) {
    std::vector<ExperimentRow> out;
    for (const ExperimentRow& row : rows) {
        if (row.experiment != key.name || row.ns != key.ns) {
            continue;
        }
        const auto known = std::ranges::find(out, row.arm, &ExperimentRow::arm);
        if (known == out.end()) {
            out.push_back(row);
            continue;
        }
        known->requests += row.requests;
        known->failed += row.failed;
        known->duration_ns += row.duration_ns;
        std::ranges::transform(known->duration, row.duration, known->duration.begin(), std::plus());
    }
    return out;
}

std::uint64_t without(std::uint64_t now, std::uint64_t before) {
    return now - std::min(now, before);
}

}  // namespace

void ExperimentBook::follow(const model::Mesh& mesh, const proxy::Recorders& recorders, std::uint64_t generation) {
    const std::map<config::ObjectKey, std::string> shapes = shapes_of(mesh);
    const std::lock_guard lock(mutex_);
    std::erase_if(bases_, [&](const auto& base) { return !shapes.contains(base.first); });
    std::optional<std::vector<ExperimentRow>> rows;
    for (const auto& [key, text] : shapes) {
        const std::uint64_t shape = Identity::of(text).lo;
        const auto known = bases_.find(key);
        if (known != bases_.end() && known->second.shape == shape) {
            continue;
        }
        if (!rows) {
            rows = recorders.experiments();
        }
        bases_[key] = {shape, {generation, arms_of(key, *rows)}};
    }
}

std::optional<admin::ExperimentCounts> ExperimentBook::since(const config::ObjectKey& experiment,
                                                             const proxy::Recorders& recorders) const {
    const std::lock_guard lock(mutex_);
    const auto base = bases_.find(experiment);
    if (base == bases_.end()) {
        return std::nullopt;
    }
    admin::ExperimentCounts out{base->second.counts.generation, arms_of(experiment, recorders.experiments())};
    for (ExperimentRow& row : out.arms) {
        const auto before = std::ranges::find(base->second.counts.arms, row.arm, &ExperimentRow::arm);
        if (before == base->second.counts.arms.end()) {
            continue;
        }
        row.requests = without(row.requests, before->requests);
        row.failed = without(row.failed, before->failed);
        row.duration_ns = without(row.duration_ns, before->duration_ns);
        std::ranges::transform(row.duration, before->duration, row.duration.begin(), without);
    }
    return out;
}

}  // namespace sluice::daemon
