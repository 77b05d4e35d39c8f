// Experiments, arm by arm, as metrics.
#include "made_reading.h"

namespace sluice::telemetry {
namespace {

using testing::HasSubstr;
using testing::Not;

class ExperimentMetrics : public ReadingTest {
  protected:
    ExperimentRow& row(const std::string& arm, std::uint64_t requests, std::uint64_t duration_ns) {
        ExperimentRow made;
        made.experiment = "ranking";
        made.ns = "ml";
        made.arm = arm;
        made.requests = requests;
        made.duration_ns = requests * duration_ns;
        made.duration[experiment_bucket(duration_ns)] = requests;
        made.codes = {{200, requests}};
        return reading.experiments.emplace_back(std::move(made));
    }
};

TEST_F(ExperimentMetrics, AreSummedOverWorkersByArmAndCode) {
    row("control", 3, 4'000'000);
    row("control", 2, 4'000'000);
    ExperimentRow& treated = row("treatment", 4, 1'000'000);
    treated.codes = {{200, 1}, {503, 2}};
    treated.other_codes = 1;
    const std::string text = this->text();
    const auto requests = series(text, "sluice_experiment_requests_total");
    const std::string head = "{experiment=\"ranking\",namespace=\"ml\",arm=";
    EXPECT_EQ(requests, (std::map<std::string, double>{{head + "\"control\",response_code=\"200\"}", 5},
                                                       {head + "\"treatment\",response_code=\"200\"}", 1},
                                                       {head + "\"treatment\",response_code=\"503\"}", 2},
                                                       {head + "\"treatment\",response_code=\"other\"}", 1}}));
    EXPECT_THAT(text, HasSubstr("sluice_experiment_duration_seconds_sum{experiment=\"ranking\",namespace=\"ml\",arm="
                                "\"control\"} 0.02\n"));
    // 4 ms is in the bucket that ends there.
    const std::string bucket =
        "sluice_experiment_duration_seconds_bucket{experiment=\"ranking\",namespace=\"ml\",arm=\"control\",le=";
    EXPECT_THAT(text, HasSubstr(bucket + "\"0.00315\"} 0\n"));
    EXPECT_THAT(text, HasSubstr(bucket + "\"0.004\"} 5\n"));
    EXPECT_THAT(text, HasSubstr(bucket + "\"+Inf\"} 5\n"));
    EXPECT_THAT(text, Not(HasSubstr("sluice_exposures_total{")));
}

TEST_F(ExperimentMetrics, TellOfExposuresAndWhatBecameOfThem) {
    row("control", 5, 1).exposures = 3;
    ExperimentRow& only = row("treatment", 0, 1);  // answered by another arm
    only.codes.clear();
    only.exposures = 2;
    reading.proxied_counts.push_back({ProxiedCount::What::kExposureDropped, {}, "buffer", 1});
    const std::string text = this->text();
    EXPECT_THAT(text, HasSubstr("sluice_exposures_total{experiment=\"ranking\",namespace=\"ml\",arm=\"control\"} 3\n"));
    EXPECT_THAT(text,
                HasSubstr("sluice_exposures_total{experiment=\"ranking\",namespace=\"ml\",arm=\"treatment\"} 2\n"));
    EXPECT_THAT(text, HasSubstr("sluice_exposures_dropped_total{reason=\"buffer\"} 1\n"));
    EXPECT_THAT(text, Not(HasSubstr("sluice_experiment_duration_seconds_count{experiment=\"ranking\",namespace=\"ml\","
                                    "arm=\"treatment\"}")));
}

TEST(ExperimentQuantile, IsLinearWithinItsBucket) {
    EXPECT_EQ(experiment_quantile({}, 0.5), 0);
    ExperimentRow row;
    row.requests = 100;
    row.duration[experiment_bucket(4'500'000)] = 90;   // 4 to 5 ms
    row.duration[experiment_bucket(90'000'000)] = 10;  // 80 to 100 ms
    EXPECT_DOUBLE_EQ(experiment_quantile(row, 0.45), 4'500'000);
    EXPECT_DOUBLE_EQ(experiment_quantile(row, 0.9), 5'000'000);
    EXPECT_DOUBLE_EQ(experiment_quantile(row, 0.95), 90'000'000);
    row.duration.fill(0);
    row.duration.back() = 100;
    EXPECT_DOUBLE_EQ(experiment_quantile(row, 0.5), 100e9) << "all that is known: longer than that";
}

TEST(ExperimentQuantile, OfAnyDurationIsWithinAFewPercent) {
    for (std::uint64_t ns = 110'000; ns < 90'000'000'000; ns += ns / 7) {
        ExperimentRow row;
        row.requests = 1000;
        row.duration[experiment_bucket(ns)] = 1000;
        EXPECT_NEAR(experiment_quantile(row, 0.5) / static_cast<double>(ns), 1, 0.15) << ns;
    }
}

}  // namespace
}  // namespace sluice::telemetry
