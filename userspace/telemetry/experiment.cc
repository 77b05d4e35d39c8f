#include "telemetry/experiment.h"

#include <array>
#include <string_view>

#include "telemetry/exposition.h"

namespace sluice::telemetry {

namespace {

constexpr double kSecond = 1e9;

constexpr auto kSeconds = [] {
    std::array<double, kExperimentBounds.size()> out{};
    std::ranges::transform(kExperimentBounds, out.begin(), [](std::uint64_t ns) { return ns / kSecond; });
    return out;
}();

using ArmLabels = std::array<std::string_view, 3>;

ArmLabels labels_of(const ExperimentRow& row) {
    return {row.experiment, row.ns, row.arm};
}

}  // namespace

double experiment_quantile(const ExperimentRow& row, double p) {
    const double rank = p * static_cast<double>(row.requests);
    double below = 0;
    for (std::size_t i = 0; i < row.duration.size() && row.requests != 0; ++i) {
        const auto here = static_cast<double>(row.duration[i]);
        if (below + here >= rank && here > 0) {
            const double low = i == 0 ? 0 : static_cast<double>(kExperimentBounds[i - 1]);
            const double high = i < kExperimentBounds.size() ? static_cast<double>(kExperimentBounds[i]) : low;
            return low + (high - low) * std::max(rank - below, 0.0) / here;
        }
        below += here;
    }
    return 0;
}

void experiment_counters(SeriesBook& book, const Reading& reading, std::string& out) {
    static const std::vector<std::string> kCodeLabels{"experiment", "namespace", "arm", "response_code"};
    static const std::vector<std::string> kArmLabels{"experiment", "namespace", "arm"};
    static const std::vector<std::string> kReason{"reason"};
    Family requests(book, "sluice_experiment_requests_total", "Requests of experiments, by the arm that answered.",
                    Kind::kCounter, kCodeLabels);
    Family exposures(book, "sluice_exposures_total",
                     "Assignments that the exposure log was to tell, by the arm that was assigned.", Kind::kCounter,
                     kArmLabels);
    for (const ExperimentRow& row : reading.experiments) {
        const auto add = [&](std::string_view code, std::uint64_t count) {
            requests.add(std::array<std::string_view, 4>{row.experiment, row.ns, row.arm, code},
                         static_cast<double>(count));
        };
        for (const auto& [code, count] : row.codes) {
            add(std::to_string(code), count);
        }
        if (row.other_codes != 0) {
            add("other", row.other_codes);
        }
        if (row.exposures != 0) {
            exposures.add(labels_of(row), static_cast<double>(row.exposures));
        }
    }
    std::move(requests).write(out);
    std::move(exposures).write(out);
    Family dropped(book, "sluice_exposures_dropped_total", "Assignments that the exposure log does not tell.",
                   Kind::kCounter, kReason);
    for (const ProxiedCount& row : reading.proxied_counts) {
        if (row.what == ProxiedCount::What::kExposureDropped) {
            dropped.add(std::array<std::string_view, 1>{row.reason}, static_cast<double>(row.count));
        }
    }
    std::move(dropped).write(out);
}

void experiment_durations(SeriesBook& book, const Reading& reading, std::string& out) {
    static const std::vector<std::string> kArmLabels{"experiment", "namespace", "arm"};
    Family family(book, "sluice_experiment_duration_seconds",
                  "Durations of requests of experiments, by the arm that answered.", Kind::kHistogram, kArmLabels);
    for (const ExperimentRow& row : reading.experiments) {
        if (row.requests == 0) {
            continue;  // only what it was to expose
        }
        std::array<__u64, kExperimentBounds.size() + 1> counts{};
        std::ranges::copy(row.duration, counts.begin());
        family.add_histogram(labels_of(row), kSeconds, counts, static_cast<double>(row.duration_ns) / kSecond);
    }
    std::move(family).write(out);
}

}  // namespace sluice::telemetry
