#include "admin/experiments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "admin/shares.h"
#include "model/experiment.h"

namespace sluice::admin {

namespace {

using telemetry::ExperimentRow;

struct Arm {
    std::string name, buckets;
    std::optional<std::string> subset;
    std::optional<std::uint64_t> parts;  // buckets that it has
};

// One experiment over all rules that it splits.
struct Group {
    const config::Experiment* experiment = nullptr;
    std::string host;
    std::vector<std::string> rules;
    std::vector<Arm> arms;
};

std::string range_text(std::uint64_t begin, std::uint64_t end) {
    return begin == end ? "" : begin + 1 == end ? std::to_string(begin) : fmt::format("{}-{}", begin, end - 1);
}

void add_rule(Group& group, const model::HttpRoute& rule) {
    if (std::ranges::find(group.rules, rule.name) != group.rules.end()) {
        return;  // of another port or scope
    }
    group.rules.push_back(rule.name);
    const std::vector<model::ExperimentArm> arms = model::arms_of(rule);
    std::uint64_t all = 0, sum = 0, begin = 0;
    for (const model::ExperimentArm& arm : arms) {
        all += arm.weight;
    }
    for (const model::ExperimentArm& arm : arms) {
        sum += arm.weight;
        const std::uint64_t end = all == 0 ? 0 : group.experiment->buckets * sum / all;
        const auto known = std::ranges::find(group.arms, arm.name, &Arm::name);
        if (known == group.arms.end()) {
            group.arms.push_back({arm.name, range_text(begin, end), arm.subset, end - begin});
        } else {
            if (known->buckets != range_text(begin, end)) {
                known->buckets.clear();
            }
            if (known->parts != end - begin) {
                known->parts.reset();
            }
            if (known->subset != arm.subset) {
                known->subset.reset();
            }
        }
        begin = end;
    }
}

Json text_or_null(const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

Json milliseconds(const ExperimentRow& row, double p) {
    if (row.requests == 0) {
        return nullptr;
    }
    return std::round(telemetry::experiment_quantile(row, p) / 1e3) / 1e3;
}

void add_counts(Json& row, const ExperimentRow& counted, std::uint64_t keyed) {
    row["observed_share"] = counted.arm == telemetry::kNoKeyArm ? Json(nullptr) : share(counted.requests, keyed);
    row["requests"] = counted.requests;
    row["errors"] = counted.failed;
    row["error_share"] = share(counted.failed, counted.requests);
    row["p50_ms"] = milliseconds(counted, 0.5);
    row["p99_ms"] = milliseconds(counted, 0.99);
}

Json head_of(const config::ObjectKey& key, const Group& group, const std::string& arm) {
    return Json{{"experiment", key.name}, {"namespace", key.ns}, {"service", group.host}, {"arm", arm}};
}

void add_rows(Json& out, const config::ObjectKey& key, const Group& group, const CountsOf& counts) {
    const std::optional<ExperimentCounts> counted = counts ? counts(key) : std::nullopt;
    const auto of_arm = [&](const std::string& name) {
        ExperimentRow none;
        none.arm = name;
        if (!counted) {
            return none;
        }
        const auto found = std::ranges::find(counted->arms, name, &ExperimentRow::arm);
        return found == counted->arms.end() ? none : *found;
    };
    std::uint64_t keyed = 0;
    for (const Arm& arm : group.arms) {
        keyed += of_arm(arm.name).requests;
    }
    const std::string rules = fmt::format("{}", fmt::join(group.rules, ","));
    for (const Arm& arm : group.arms) {
        Json row = head_of(key, group, arm.name);
        row["subset"] = arm.subset ? text_or_null(*arm.subset) : Json(nullptr);
        row["buckets"] = text_or_null(arm.buckets);
        row["set_share"] = arm.parts ? share(*arm.parts, group.experiment->buckets) : Json(nullptr);
        if (counted) {
            add_counts(row, of_arm(arm.name), keyed);
            row["since_generation"] = counted->generation;
        }
        row["rules"] = rules;
        out.push_back(std::move(row));
    }
    if (const ExperimentRow drawn = of_arm(telemetry::kNoKeyArm); drawn.requests != 0) {
        Json row = head_of(key, group, drawn.arm);
        for (const char* column : {"subset", "buckets", "set_share"}) {
            row[column] = nullptr;
        }
        add_counts(row, drawn, keyed);
        row["since_generation"] = counted->generation;
        row["rules"] = rules;
        out.push_back(std::move(row));
    }
}

}  // namespace

Json experiment_rows(const Services& services, const std::string& host, const CountsOf& counts) {
    std::map<config::ObjectKey, Group> groups;
    for (const auto& [key, service] : services) {
        if (!host.empty() && !means(host, *service)) {
            continue;
        }
        for (const model::HttpRoute& rule : service->route->http) {
            if (rule.experiment == nullptr || rule.experiment_source == nullptr) {
                continue;
            }
            Group& group = groups[rule.experiment_source->key];
            group.experiment = rule.experiment;
            group.host = service->host;
            add_rule(group, rule);
        }
    }
    Json out = Json::array();
    for (const auto& [key, group] : groups) {
        add_rows(out, key, group, counts);
    }
    return out;
}

}  // namespace sluice::admin
